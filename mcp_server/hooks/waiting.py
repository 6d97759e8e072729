"""`hook wait`: sleep until something came for an idle session, as cheaply as can be."""

from __future__ import annotations

import contextlib
import gc
import os
from itertools import count
from os import getppid
from time import monotonic, sleep

from mcp_server.hooks.glance import told
from mcp_server.kernel import private_files
from mcp_server.persistence.sqlite.library import UNTRUSTED, load_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from mcp_server.hooks.events import Hook

LOOK_EVERY_SECONDS = 0.5
ASK_SERVER_EVERY_SECONDS = 2.0
"""Of PostgreSQL, where each look is a question to the server."""

SESSION_EVERY_LOOKS = 20
WAIT_SECONDS = 8 * 3600
"""As long as the clients' configurations allow it."""

FIRST_LOOK_AFTER_SECONDS = 1.0
"""What there is at the end of a turn is told by the hook that runs then."""


def news_in_time(hook: Hook, session: str) -> str | None:
    """What came, on one line; None once the time is over, the session has ended, or another waits for it already."""
    if hook.known is None:
        hook.memory.open(session)
    seconds = float(hook.flags.get("seconds", WAIT_SECONDS))
    with _alone(f"{hook.memory.path}.{_digest(session)}.waits") as is_alone:
        return _wait(hook, session, monotonic() + seconds) if is_alone else None


def _wait(hook: Hook, session: str, end: float) -> str | None:
    gc.enable()  # `main` stops it, for what ends at once
    every = ASK_SERVER_EVERY_SECONDS if hook.settings.path is None else LOOK_EVERY_SECONDS
    seen: object = None
    for look in _looks(every, end):
        version = hook.desk.version()
        if version != seen or look % SESSION_EVERY_LOOKS == 0:
            hook.known = hook.memory.session(session)
        if hook.known is None or hook.known.ended:
            return None
        line = None if version == seen else _news(hook)
        if line is not None:
            return line
        seen = version
    return None


def _looks(every: float, end: float) -> Iterator[int]:
    """Numbers of looks, with a pause before each, until the time is over or the client is gone."""
    parent, pause = getppid(), FIRST_LOOK_AFTER_SECONDS
    for look in count():
        left = end - monotonic()
        sleep(max(0.0, min(pause, left)))
        if getppid() != parent:
            return
        yield look
        pause = every
        if left <= 0:
            return


def _news(hook: Hook) -> str | None:
    glance = hook.glance()
    fresh = hook.fresh(glance)
    return told(glance, fresh, " ") if fresh else None


@contextlib.contextmanager
def _alone(path: str) -> Generator[bool]:
    """Whether nobody else is in here with the same path; a process that dies leaves at once."""
    library = load_library()
    private_files.leave_empty(path)
    connection = library.connect(path, isolation_level=None, timeout=0)
    try:
        connection.execute(UNTRUSTED)
        connection.execute("BEGIN EXCLUSIVE")
    except library.Error:
        connection.close()
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
        connection.close()


def _digest(session: str) -> str:
    """A session's id as part of a file's name."""
    import hashlib

    return hashlib.sha256(session.encode("utf-8", "backslashreplace")).hexdigest()[:16]
