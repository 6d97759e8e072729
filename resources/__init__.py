"""What a model or an IDE can read: the catalogue of resources, as data. One scheme, `ops://`."""

from resources import agents, state, system, tasks
from resources.spec import Resource

RESOURCES: tuple[Resource, ...] = (*agents.RESOURCES, *tasks.RESOURCES, *state.RESOURCES, *system.RESOURCES)
