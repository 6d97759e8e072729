"""Whether files may be changed: locks of others under the names that these files go by."""

from __future__ import annotations

import json
import os
import unicodedata

from mcp_server.kernel.lines import named, quoted
from mcp_server.kernel.times import SECOND, iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcp_server.hooks.reading import Desk, Row
    from mcp_server.kernel.times import Micros

SAID_MAX = 5
NAME_CHARACTERS_MAX = 500


def names_of(path: str, folder: str, roots: Sequence[str]) -> list[str]:
    """What locks may call a file: its path below each root and below the repository, and its whole path.

    Args:
        path: as it was named, from `folder`.
        folder: the working directory.
        roots: folders of the project.
    """
    written = os.path.normpath(os.path.join(folder, path))
    real = os.path.realpath(written)
    bases = [os.path.normpath(os.path.join(folder, root)) for root in roots]
    bases += [os.path.realpath(base) for base in bases]
    bases += filter(None, (_repository(written), _repository(real)))
    found = [_below(whole, base) for whole in (written, real) for base in bases]
    return list(dict.fromkeys(_spelled(name) for name in (*found, written, real) if name))


def refusal(desk: Desk, party: str, files: Sequence[tuple[str, Sequence[str]]], now: Micros) -> str | None:
    """Why some of the files must not be changed now, and what to do; None where nothing keeps them.

    Args:
        desk: where the locks are.
        party: who would change them.
        files: each as people call it, with the names that locks may have for it.
        now: what time it is.
    """
    holds = _of_others(desk, party, now, [name for _, names in files for name in names])
    kept = [(file, hold) for file, names in files for hold in holds if _keeps(hold, names)]
    return _told(kept, now) if kept else None


def _of_others(desk: Desk, party: str, now: Micros, names: Sequence[str]) -> list[Row]:
    rows = desk.rows("locks", "lock_holds_on", names=json.dumps(list(filter(_is_text, names))))
    return [row for row in rows if row["party"] != party and row["expires_at"] > now]


def _is_text(name: str) -> bool:
    """Some names of files are no text, and so no lock's."""
    return name.isascii() or name == name.encode("utf-8", "ignore").decode()


def _told(kept: list[tuple[str, Row]], now: Micros) -> str:
    said = [_said(file, hold, now) for file, hold in kept[:SAID_MAX]]
    more = f" And {len(kept) - SAID_MAX} more." if len(kept) > SAID_MAX else ""
    file, _ = kept[0]
    return (
        f"{' '.join(said)}{more} Nothing was changed. Work on something else meanwhile, or wait for it with "
        f"locks_acquire(name={quoted(file, NAME_CHARACTERS_MAX)}, wait_seconds=50), or ask with messages_send."
    )


def label(speaker: str) -> str:
    """Who spoke, such as `agent:scribe via user:local`; a part that is no plain word stands in quotes."""
    return " ".join(map(named, speaker.split(" ")))


def _keeps(hold: Row, names: Sequence[str]) -> bool:
    """Whether a hold is on one of the names: a change needs a file alone, so a shared hold keeps it, too."""
    if hold["name"] in names:
        return True
    if not hold["pattern"]:
        return False
    from mcp_server.domain.locks.paths import may_meet  # where there are globs alone

    return any(may_meet(hold["name"], name) for name in names)


def _said(file: str, hold: Row, now: Micros) -> str:
    left = round((hold["expires_at"] - now) / SECOND)
    who = label(hold["speaker"]) + (f" ({named(hold['owner'])})" if hold["owner"] else "")
    lock = "" if hold["name"] == file else f" by the lock {named(hold['name'])}"
    return f"{named(file)} is held{lock} ({hold['mode']}) by {who} until {iso(hold['expires_at'])}, {left} s from now."


def _spelled(name: str) -> str:
    """As locks are spelled, with slashes, accents as one character, and without dots."""
    return unicodedata.normalize("NFC", name.replace(os.sep, "/"))


def _below(whole: str, base: str) -> str | None:
    inside = whole.startswith(base.rstrip(os.sep) + os.sep)
    return whole[len(base.rstrip(os.sep)) + 1 :] if inside else None


def _repository(path: str) -> str | None:
    """The nearest folder above that holds a repository."""
    return next((folder for folder in _above(path) if os.path.exists(os.path.join(folder, ".git"))), None)


def _above(path: str) -> Iterator[str]:
    folder = os.path.dirname(path)
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above
