"""Who has overtaken calls that people said yes to, where their refusal does not say so itself."""

from collections.abc import Mapping
from typing import NamedTuple

from mcp_server.domain.events.newest import last_change
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.store import Database
from mcp_server.kernel.times import Micros, iso

_NAMED: Mapping[str, str] = {"task_id": "task", "agent_id": "agent", "deployment_id": "deployment"}
"""The details by which a refusal names the thing that it is about, with what kind of thing that is."""


class _Thing(NamedTuple):
    kind: str
    id: str


async def say_who(database: Database, error: OpsError, since: Micros) -> None:
    """Say in the refusal of a call who changed what it is about after people were asked, how and when.

    Args:
        database: whose log tells.
        error: the refusal, which is added to.
        since: when people were asked.
    """
    thing = None if "changed_by" in error.details else _thing(error)
    change = None if thing is None else await last_change(database, *thing)
    if thing is None or change is None or change.at <= since:
        return
    at = iso(change.at)
    error.details |= {"changed_by": change.actor, "changed_at": at, "changed_how": change.type}
    who = f"{thing.id} was changed by {change.actor} at {at} ({change.type})"
    error.message = f"{error.message} Since it was asked, {who}."


def _thing(error: OpsError) -> _Thing | None:
    """What a refusal is about, where it names one thing."""
    found = [
        _Thing(kind, error.details[name]) for name, kind in _NAMED.items() if isinstance(error.details.get(name), str)
    ]
    return next(iter(found), None)
