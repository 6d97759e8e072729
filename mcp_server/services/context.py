"""What every use case has: who calls, the store, the clock, ids and randomness; and how lists are cut into pages."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from mcp_server.domain.errors import ValidationFailed
from mcp_server.domain.events import Origin
from mcp_server.domain.users import SYSTEM, Actor
from mcp_server.services.ports import Clock, NewId, Random, Row, Store

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
WAIT_SECONDS_MAX = 50.0
"""Clients cut a call at 60 seconds."""


class Progress(Protocol):
    """Tells a waiting client that the server is still there."""

    async def __call__(self, waited_seconds: float, of_seconds: float) -> None: ...


async def silent(waited_seconds: float, of_seconds: float) -> None:
    """Progress that nobody asked for."""
    del waited_seconds, of_seconds


class Ask(Protocol):
    """Asks the person at the client; the model has no part in it."""

    async def __call__(self, message: str, schema: Mapping[str, Any], state: str) -> Mapping[str, Any] | None:
        """The person's answer, `{action: accept|decline|cancel, content}`; None where the client cannot ask.

        `state` binds the answer to the question: an answer to another one does not count.
        """
        ...


async def nobody(message: str, schema: Mapping[str, Any], state: str) -> None:
    """There is nobody to ask."""
    del message, schema, state


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who makes it, and the correlation id of all that it causes."""

    actor: Actor
    correlation_id: str
    progress: Progress = silent
    ask: Ask = nobody


SYSTEM_CALL = Call(actor=SYSTEM, correlation_id="system")


@dataclass(frozen=True, slots=True)
class Context:
    """The outside, passed in: store, clock, ids, randomness."""

    store: Store
    clock: Clock
    new_id: NewId
    random: Random

    def origin(self, call: Call) -> Origin:
        """Who changes something, and when: now."""
        return Origin(at=self.clock(), actor=call.actor.label, correlation_id=call.correlation_id)


@dataclass(frozen=True, slots=True)
class Query:
    """A list statement being narrowed: filter names and their parameters."""

    statement: str
    filters: tuple[str, ...] = ()
    parameters: tuple[tuple[str, Any], ...] = ()

    def where(self, filter_name: str, **parameters: Any) -> "Query":
        """Narrow by a named filter, unless one of its values is None."""
        if any(value is None for value in parameters.values()):
            return self
        return replace(self, filters=(*self.filters, filter_name), parameters=(*self.parameters, *parameters.items()))


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows, the cursor to the next, and how many rows were left out."""

    rows: Sequence[Row]
    next_cursor: str | None
    omitted: int | None


async def fetch_page(store: Store, query: Query, limit: int, key: Sequence[str], *, also: str | None = None) -> Page:
    """Read one page.

    Args:
        store: where from.
        query: the list with its filters, the one that starts it after a cursor included.
        limit: rows at most.
        key: the columns that the cursor holds, in the order of the list.
        also: a second statement with the same filters, whose rows are merged in; the list's order then descends.
    """
    wanted = [query] if also is None else [query, replace(query, statement=also)]
    rows: list[Row] = []
    for one in wanted:
        rows += await store.fetch_all(one.statement, filters=one.filters, limit=limit + 1, **dict(one.parameters))
    if also is not None:
        rows.sort(key=lambda row: tuple(row[column] for column in key), reverse=True)
    if len(rows) <= limit:
        return Page(rows, None, None)
    total = 0
    for one in wanted:
        count = await store.fetch_one(f"{one.statement}_count", filters=one.filters, **dict(one.parameters))
        total += 0 if count is None else count["n"]
    cursor = encode_cursor([rows[limit - 1][column] for column in key])
    return Page(rows[:limit], cursor, max(total - limit, 1))


def encode_cursor(parts: list[Any]) -> str:
    """Values as opaque text."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, types: tuple[type, ...]) -> list[Any]:
    """The values behind an opaque cursor.

    Raises:
        ValidationFailed: not a cursor of this list.
    """
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if len(parts) == len(types) and all(map(isinstance, parts, types)):
            return parts
    except (binascii.Error, ValueError, TypeError):
        pass
    raise ValidationFailed(
        f"{cursor[:80]!r} is not a cursor of this list.", next="Leave it out to start at the beginning."
    )


def like(text: str | None, pattern: str = "%{}%") -> str | None:
    """Text as a LIKE pattern with `\\` as its escape, or None."""
    if text is None:
        return None
    for character in ("\\", "%", "_"):
        text = text.replace(character, f"\\{character}")
    return pattern.format(text)
