"""Who else on this machine may read or change what this server keeps."""

import shlex
import stat
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from mcp_server.upkeep.findings import Finding

_NAMED_MAX = 5


def inspect_modes(database: Path | None, folders: Iterable[Path], system: str = sys.platform) -> list[Finding]:
    """Whether others may look at the database, or into folders that hold nothing but this server's files.

    Args:
        database: the file, where it is one.
        folders: where this server alone writes.
        system: on Windows nothing is said: a file has the rights of its folder there.
    """
    if system == "win32":
        return []
    own = list(folders)
    open_to_others = [*_open_folders(own), *_beside(database, own)]
    if not open_to_others:
        return [Finding("file_modes", True, "Nobody but this user reads or changes what is kept here.")]
    told = [str(path) for path, _ in open_to_others]
    more = f" and {len(told) - _NAMED_MAX} more" if len(told) > _NAMED_MAX else ""
    detail = f"Other users of this machine may read or change {', '.join(told[:_NAMED_MAX])}{more}."
    remedy = f"Where they should not: {_narrowing(open_to_others)}."
    return [Finding("file_modes", True, detail, remedy, warns=True)]


def _open_folders(folders: list[Path]) -> Iterator[tuple[Path, str]]:
    """Folders that others may enter; what lies in one that they may not is out of their reach, whatever its mode."""
    for folder in folders:
        if _mode(folder) & 0o077:
            yield folder, "700"


def _beside(database: Path | None, folders: list[Path]) -> Iterator[tuple[Path, str]]:
    """The database, and what this server keeps beside it under its name; the folder, where others may put files."""
    if database is None:
        return
    folder = database.absolute().parent
    mode = _mode(folder)
    if folder in folders or not mode & 0o077:
        return
    if mode & 0o022 and not mode & stat.S_ISVTX:
        yield folder, "go-w"
    yield from ((path, "600") for path in sorted(folder.glob(f"{database.name}*")) if _is_open(path))


def _is_open(path: Path) -> bool:
    return not path.is_symlink() and bool(_mode(path) & 0o077)


def _mode(path: Path) -> int:
    """The mode; nothing where there is no such file."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def _narrowing(open_to_others: list[tuple[Path, str]]) -> str:
    """The commands that close them."""
    by_mode = defaultdict[str, list[str]](list)
    for path, mode in open_to_others:
        by_mode[mode].append(str(path))
    return "; ".join(shlex.join(["chmod", mode, *paths]) for mode, paths in by_mode.items())
