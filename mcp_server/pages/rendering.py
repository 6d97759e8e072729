"""Pages from templates: `templates/*.html` hold all markup, `static/` what goes into them as it is.

Every value is escaped, and one that is missing is an error. Jinja2 is imported when a page is first shown, so a server
that shows none does not wait for it.
"""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = "mcp_server.pages"


def render(name: str, **values: object) -> str:
    """The page that a template makes of these values."""
    return _environment().get_template(name).render(values)


@cache
def static_text(name: str) -> str:
    """A file of `static/`. Templates take it in by this name too, so what is shown is what was hashed."""
    return (files(_PACKAGE) / "static" / name).read_text("utf-8")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["static_text"] = static_text
    return environment
