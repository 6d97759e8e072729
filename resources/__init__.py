"""What a model or an IDE can read: the catalogue of resources, as data. One scheme, `ops://`.

An area that can be read has a module of its name here; the health of the house comes last.
"""

from importlib import import_module
from importlib.util import find_spec

from mcp_server.domain.areas import AREAS
from resources import health, skills
from resources.spec import Resource

_READABLE = [area.name for area in AREAS.all if find_spec(f"resources.{area.name}") is not None]
RESOURCES: tuple[Resource, ...] = (
    *(resource for name in _READABLE for resource in import_module(f"resources.{name}").RESOURCES),
    *health.RESOURCES,
    *skills.RESOURCES,
)
