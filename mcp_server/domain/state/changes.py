"""What the versions of a document differ by, as far as it is told."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from mcp_server.domain.state.commands import DocumentHistory
from mcp_server.domain.state.model import document_id, no_document
from mcp_server.kernel.errors import OpsError, ValidationFailed
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.json_tools import Change, differences
from mcp_server.kernel.paging import COUNTED_MAX
from mcp_server.kernel.quoting import named, quoted

PLACES_SHOWN = 8
SIDES_CHARACTERS_MAX = 160
CHANGES_SHOWN = 200


def no_versions(asked: DocumentHistory, newest: int) -> OpsError:
    """The refusal of a range in which a document has no version; the newest is 0 where there is no document."""
    if newest == 0:
        return no_document(asked.namespace, asked.key)
    low, high = asked.from_version or 1, asked.to_version or "the newest"
    return ValidationFailed(
        f"{named(document_id(asked.namespace, asked.key))} has no version from {low} to {high}: its versions are 1 to "
        f"{newest}.",
        next=f"state_history(namespace={quoted(asked.namespace)}, key={quoted(asked.key)}) lists them.",
        details={"namespace": asked.namespace, "key": asked.key, "current_version": newest},
    )


def compared(old: str, new: str) -> list[Change]:
    """What changed, as far as it is counted."""
    return differences(json.loads(old), json.loads(new), COUNTED_MAX)


class Differs(NamedTuple):
    """Where a version differs from the one before: of many places the first, and how many more; and what stood and
    stands there, by the place, where both are short."""

    changed_paths: list[str]
    changed_values: dict[str, dict[str, Any]] | None


def differs_each(values: Sequence[str]) -> list[Differs]:
    """Where each value differs from the next, the one before it."""
    return [_differs(compared(old, new)) for new, old in pairwise(values)]


def _differs(changes: Sequence[Change]) -> Differs:
    first = changes[:PLACES_SHOWN]
    more = [f"and {_more(changes, PLACES_SHOWN)}"] if len(changes) > PLACES_SHOWN else []
    sides = {one.path: one.model_dump(include=_SIDES[one.op]) for one in first}
    short = {path: sides for path, sides in sides.items() if len(dump_json(sides)) <= SIDES_CHARACTERS_MAX}
    return Differs([*(one.path for one in first), *more], short or None)


_SIDES = {"add": {"new"}, "remove": {"old"}, "replace": {"old", "new"}}


def _more(found: Sequence[object], shown: int) -> str:
    """How many more were found than are shown, which were counted up to a maximum."""
    return f"{'at least ' if len(found) == COUNTED_MAX else ''}{len(found) - shown} more"


def rest(changes: Sequence[Change], oldest: int, newest: int) -> str | None:
    """How many changes are not told, and where all are seen."""
    if len(changes) <= CHANGES_SHOWN:
        return None
    return (
        f"These are the first {CHANGES_SHOWN} changes; there are {_more(changes, CHANGES_SHOWN)}. state_get(version="
        f"{oldest}) and state_get(version={newest}) read the two values."
    )
