"""The SQLite library of this process, and whether it is safe to share a file with it."""

import importlib
import sys
from types import ModuleType

from mcp_server.kernel.errors import Unavailable


def load_library() -> ModuleType:
    """The SQLite library of this whole process: pysqlite3 where it has a wheel, else the standard one.

    Who imports the standard one afterwards gets the same: of two libraries in one process, each would drop the other's
    locks.
    """
    try:
        library = importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return importlib.import_module("sqlite3")
    sys.modules.setdefault("sqlite3", sys.modules["pysqlite3"])
    return library


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


def require_safe_library(*, allow_unsafe: bool) -> None:
    """Refuse a SQLite that can corrupt a database shared by several connections.

    Raises:
        Unavailable: naming the version and the remedy.
    """
    version = library_version()
    if not is_safe(version) and not allow_unsafe:
        raise Unavailable(
            f"SQLite {'.'.join(map(str, version))} can corrupt a database that several processes use.",
            next="Install pysqlite3 (pip install pysqlite3), or set DATAMCP_ALLOW_UNSAFE_SQLITE=true if no other "
            "process will ever open this database.",
        )
