"""What a program that this one starts finds in its environment. Never all of ours: that may hold the passwords of a
mail server, tokens, keys. Who needs more names it."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL = (
    *("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"),
    *("APPDATA", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATHEXT", "PROGRAMDATA", "PROGRAMFILES"),
    *("SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE", "WINDIR"),
)
"""Who one is, where things are, in which language; without the second half, Windows starts next to nothing."""


def passed_on(
    environment: Mapping[str, str] = os.environ, named: tuple[str, ...] = (), prefixes: tuple[str, ...] = ()
) -> dict[str, str]:
    """The usual variables of an environment, those that are named, and those whose names begin in some way."""
    wanted = {*USUAL, *named}
    return {name: value for name, value in environment.items() if name in wanted or name.startswith(prefixes)}
