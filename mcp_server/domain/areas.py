"""The areas of the domain, in the order in which people see them. A new capability is one line here, and then
`python scripts/known.py`."""

from importlib import import_module
from pathlib import Path

from mcp_server.kernel.area import Area
from mcp_server.kernel.areas import Areas, Known

NAMES = (
    "people",
    "agents",
    "processes",
    "scaling",
    "tasks",
    "state",
    "locks",
    "deployments",
    "email",
    "approvals",
    "messages",
    "calls",
    "events",
    "commit",
    "operating",
    "search",
)
KNOWN = Path(__file__).with_name("known.jsonl")
"""What is known of each before it is loaded. Made of their records by `python scripts/known.py`."""


def load(name: str) -> Area:
    """The record of an area, in `mcp_server.domain.<name>.area`."""
    return import_module(f"mcp_server.domain.{name}.area").AREA


AREAS = Areas(known=Known.read(KNOWN.read_text("utf-8")), load=load)


def load_whole(name: str) -> None:
    """Load an area's record and its use cases, which is nearly all of its code, and what does its part with it."""
    AREAS.load_with_hearers(name)
    import_module(f"mcp_server.domain.{name}.service")


def load_every() -> None:
    """Load the record of every area, for what reads across all of them."""
    list(AREAS.all)
