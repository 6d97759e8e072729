"""From events to the resources they change: what a subscriber is told about."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

EVENTS_URI = "ops://events"


def plain(uri: str) -> str:
    """A URI as the house names the resource: escapes undone, no query."""
    return unquote(uri.split("?", 1)[0])


def changed_uris(events: Iterable[Mapping[str, Any]]) -> set[str]:
    """The URIs of every resource that these events changed, each once however many events there were."""
    uris: set[str] = set()
    for event in events:
        uris.add(EVENTS_URI)
        uris |= _uris(event["aggregate_type"], event["aggregate_id"])
    return uris


def _uris(aggregate_type: str, aggregate_id: str) -> set[str]:
    match aggregate_type:
        case "task":
            return {"ops://tasks", f"ops://tasks/{aggregate_id}"}
        case "agent":
            return {"ops://agents", f"ops://agents/{aggregate_id}"}
        case "instance":
            return {"ops://agents"}
        case "lock":
            return {"ops://locks"}
        case "document":
            return {f"ops://state/{aggregate_id}"}
        case _:
            return set()
