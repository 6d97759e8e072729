"""The SQLite library of this process, and whether it is safe to share a file with it."""

import importlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from types import ModuleType

from mcp_server.kernel.errors import Unavailable

CHOICE = "DATAMCP_SQLITE"
"""The variable of the environment that names one of `LIBRARIES` to use, whatever else is there."""
LIBRARIES = {
    "pysqlite3": ("pysqlite3.dbapi2", "pysqlite3"),
    "apsw": ("mcp_server.persistence.sqlite.door", "mcp_server.persistence.sqlite.door"),
    "sqlite3": ("sqlite3", "sqlite3"),
}
"""What may be used, the best first: the module that is asked, and the one that stands for `sqlite3` then."""
UNTRUSTED = "PRAGMA trusted_schema = OFF"
"""Said on every connection: what stands in a file's schema runs no function that does more than compute."""
_WHEELS_OF_PYSQLITE3 = {
    ("linux", "x86_64"),
    ("darwin", "arm64"),
    ("win32", "amd64"),
    ("win32", "x86"),
}


@cache
def load_library() -> ModuleType:
    """The SQLite library of this whole process: pysqlite3 where it has a wheel, else apsw, else the standard one.

    Who imports the standard one afterwards gets the same: of two libraries in one process, each would drop the other's
    locks.

    Raises:
        Unavailable: the environment names a library that is not there.
    """
    found: dict[str, ModuleType] = dict(_found(os.environ.get(CHOICE)))
    name = next((name for name, module in found.items() if is_safe(library_version(module))), next(iter(found), None))
    if name is None:
        raise Unavailable(
            f"The SQLite library that {CHOICE} names, {os.environ.get(CHOICE)!r}, is not installed.",
            next=f"Install it, name another of {', '.join(LIBRARIES)}, or take {CHOICE} out of the environment.",
        )
    sys.modules.setdefault("sqlite3", sys.modules[LIBRARIES[name][1]])
    return found[name]


def _found(choice: str | None) -> Iterator[tuple[str, ModuleType]]:
    """The libraries that are there, up to the first that is safe."""
    for name, (module, _) in LIBRARIES.items():
        if choice in {None, "", name}:
            try:
                library = importlib.import_module(module)
            except ImportError:
                continue
            yield name, library
            if is_safe(library_version(library)):
                return


def library_version(library: ModuleType | None = None) -> tuple[int, int, int]:
    """The version of the SQLite library in use."""
    major, minor, patch = (library or load_library()).sqlite_version_info
    return major, minor, patch


def is_safe(version: tuple[int, int, int]) -> bool:
    """Whether several connections may write and checkpoint a WAL database at once without corrupting it.

    3.7.0 to 3.51.2 may corrupt it, but for the fixed releases 3.44.6 and 3.50.7 (sqlite.org, "WAL-reset bug").
    """
    fixed = {(3, 44): 6, (3, 50): 7}
    if version[:2] in fixed:
        return version[2] >= fixed[version[:2]]
    return version >= (3, 51, 3)


OLDEST = (3, 43, 0)
"""Whose full-text index forgets what it has no copy of; nobody may ask for an older one."""


def remedy(system: str = sys.platform, machine: str | None = None) -> str:
    """How this machine gets a safe library: what has a wheel there."""
    import platform  # a start that goes well needs it for nothing

    there = (system, (machine or platform.machine()).lower())
    package = "pysqlite3" if there in _WHEELS_OF_PYSQLITE3 else "apsw"
    return f"Install {package} (pip install {package}), or use a Python whose own SQLite is 3.51.3 or newer"


def require_safe_library(*, allow_unsafe: bool) -> None:
    """Refuse a SQLite that can corrupt a database shared by several connections, and one that is too old in any case.

    Raises:
        Unavailable: naming the version and the remedy.
    """
    version = library_version()
    if not is_safe(version) and not allow_unsafe:
        raise Unavailable(
            f"SQLite {'.'.join(map(str, version))} can corrupt a database that several processes use.",
            next=f"{remedy()}; or set DATAMCP_ALLOW_UNSAFE_SQLITE=true if no other process will ever open this "
            "database.",
        )
    if version < OLDEST:
        raise Unavailable(
            f"SQLite {'.'.join(map(str, version))} is too old: search needs {'.'.join(map(str, OLDEST))} or newer.",
            next=f"{remedy()}.",
        )
