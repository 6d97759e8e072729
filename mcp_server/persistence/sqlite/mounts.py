"""What kind of file system a database lies on: locks and shared memory work between processes of one machine alone.

SQLite's own word: a write-ahead log does not work over a network. Mounts that a virtual machine shares with its host
are of the same kind, although they look like a folder.
"""

import ctypes
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any

_SHARED = re.compile(
    r"nfs|cifs|smb|9p|virtiofs|ceph|afs|lustre|gluster|gfs2|ocfs2|vboxsf|vmhgfs|prl_fs|webdav|davfs|ncpfs|afpfs"
    r"|osxfs|grpcfuse|fakeowner|network|fuse\.(?!fuse-overlayfs)"
)
_ESCAPE = re.compile(r"\\([0-7]{3})")
_MOUNTED = re.compile(r"^.* on (?P<place>.*) \((?P<kind>[^,)]+).*\)$", re.MULTILINE)
_DRIVE_REMOTE = 4


def shared_kind(path: Path, system: str = sys.platform) -> str | None:
    """The kind of file system of a path, where others than this machine's processes may use it; else None."""
    try:
        kind = _KINDS.get(system, _mounted)(path)
    except OSError:
        return None
    return kind if kind is not None and _SHARED.match(kind) else None


def on_linux(path: PurePath, mounts: str) -> str | None:
    """The kind by the text of `/proc/self/mountinfo`."""
    return _innermost(path, _of_mountinfo(mounts))


def by_mount(path: PurePath, said: str) -> str | None:
    """The kind by what `mount` says on macOS and BSD."""
    return _innermost(path, ((found["place"], found["kind"]) for found in _MOUNTED.finditer(said)))


def on_windows(path: PurePath, type_of_drive: Callable[[str], int]) -> str | None:
    """`network` for a share and for a drive that stands for one."""
    if path.drive.startswith("\\\\"):
        return "network share"
    return "network drive" if type_of_drive(f"{path.drive}\\") == _DRIVE_REMOTE else None


def _of_mountinfo(mounts: str) -> Iterator[tuple[str, str]]:
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) > 4 and kinds:
            yield _ESCAPE.sub(lambda code: chr(int(code[1], 8)), fields[4]), kinds[0]


def _innermost(path: PurePath, mounts: Iterator[tuple[str, str]]) -> str | None:
    """The kind of the mount whose place is nearest to a path; of two at one place, the later lies above."""
    found, depth = None, -1
    for place, kind in mounts:
        parts = len(PurePath(place).parts)
        if path.is_relative_to(place) and parts >= depth:
            found, depth = kind, parts
    return found


def _in_proc(path: Path) -> str | None:
    return on_linux(path.resolve(), Path("/proc/self/mountinfo").read_text("utf-8", "replace"))


def _mounted(path: Path) -> str | None:
    said = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False, env={}).stdout
    return by_mount(path.resolve(), said)


def _of_drive(path: Path) -> str | None:
    windows: Any = getattr(ctypes, "windll", None)
    return None if windows is None else on_windows(path.resolve(), windows.kernel32.GetDriveTypeW)


_KINDS: dict[str, Callable[[Path], str | None]] = {"linux": _in_proc, "win32": _of_drive}
