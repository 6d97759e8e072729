"""What `install` would do to a file, worked out before anything is written."""

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mcp_server.integrations.clients.entries import NAME, Started, is_ours, our_name, renewed
from mcp_server.integrations.clients.files import decoded, encoded
from mcp_server.integrations.clients.formats import changed, entries, format_of, not_too_deep
from mcp_server.integrations.clients.records import Client
from mcp_server.kernel.errors import Conflict, OpsError
from mcp_server.kernel.lines import one_line

_LINE_MAX = 400


class Wanted(NamedTuple):
    """What a client should start, and whether the agent that its entry names already stays."""

    started: Started
    keep_agent: bool


class Change(NamedTuple):
    """A file as it is and as it would be; None: no file. And what of ours it has then."""

    path: Path
    before: bytes | None
    after: bytes | None
    name: str
    entry: Mapping[str, Any] | None
    what: str = "server"

    @property
    def is_needed(self) -> bool:
        """Whether it changes anything."""
        return self.before != self.after

    @property
    def outcome(self) -> str:
        """What is true of the file after it."""
        return "lacks" if self.entry is None else "has"

    def diff(self) -> list[str]:
        """The lines that differ, with some around them; none may pass for another."""
        before, after = (decoded(data).splitlines() for data in (self.before, self.after))
        lines = list(difflib.unified_diff(before, after, self._named(self.before), self._named(self.after)))
        whole = json.dumps({self.name: self.entry}, ensure_ascii=False)
        told = [f"of which the {self.what}: {whole}"] if max(map(len, lines), default=0) > _LINE_MAX else []
        return [*(one_line(line.rstrip("\r\n"), _LINE_MAX) for line in lines), *map(one_line, told)]

    def _named(self, data: bytes | None) -> str:
        return "/dev/null" if data is None else str(self.path)


def found(client: Client, data: bytes | None) -> tuple[str, dict[str, Any] | None]:
    """Our server's name in a client's file, and its entry if it is there.

    Raises:
        ValidationFailed: the file cannot be read as the client reads it.
        Conflict: another server stands under our name.
    """
    if data is None:
        return NAME, None
    format_ = format_of(client.format)
    with not_too_deep():
        there = entries(format_, format_.read(decoded(data)), client.path)
    name = our_name(client, there)
    entry = there.get(name)
    if entry is not None and not is_ours(client.shape, entry):
        raise Conflict(
            f"{'.'.join((*client.path, name))!r} in it is another server.", next="Rename that one, and try again."
        )
    return name, entry


def installed(client: Client, path: Path, before: bytes | None, wanted: Wanted) -> Change:
    """The file with our server as it should be.

    Raises:
        OpsError: it has to be left alone; why.
    """
    name, entry = found(client, before)
    new = renewed(client.shape, name, entry, wanted.started, keep=wanted.keep_agent)
    after = before if new == entry else _with(client, before, name, new)
    return Change(path, before, after, name, new)


def removed(client: Client, path: Path, before: bytes | None, copies: Sequence[bytes]) -> Change:
    """The file without our server: as it was before, where nothing else has changed since.

    Args:
        client: whose file it is.
        path: of it.
        before: what it holds.
        copies: what it held before, the newest first; before all of them there may have been no file.

    Raises:
        OpsError: it has to be left alone; why.
    """
    name, entry = found(client, before)
    if entry is None:
        return Change(path, before, before, name, None)
    earlier = filter(lambda copy: _leads_to(client, copy, before, name, entry), (*copies, None))
    after = next(earlier, before)
    return Change(path, before, _with(client, before, name, None) if after is before else after, name, None)


def _with(client: Client, data: bytes | None, name: str, entry: dict[str, Any] | None) -> bytes:
    return encoded(changed(format_of(client.format), decoded(data), client.path, name, entry), data)


def _leads_to(client: Client, copy: bytes | None, now: bytes | None, name: str, entry: dict[str, Any]) -> bool:
    """Whether our entry is all that a copy lacks: then the copy is what was there before."""
    try:
        return found(client, copy)[1] is None and _with(client, copy, name, entry) == now
    except OpsError:
        return False
