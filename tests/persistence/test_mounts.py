"""A file system that others may share is known by its kind, on each system from what that tells."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcp_server.persistence.sqlite import mounts
from mcp_server.persistence.sqlite.mounts import by_mount, on_linux, on_windows, shared_kind
from mcp_server.upkeep.inspection import inspect_database

LINUX = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home/me rw shared:2 - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/me/local rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/two\\040words rw - virtiofs share rw
33 22 0:42 / /mnt/over rw - ext4 /dev/sdc1 rw
34 22 0:43 / /mnt/over rw - fuse.sshfs me@server: rw
a line that makes no sense
"""
MACOS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//me@server/share on /Volumes/a (b) (smbfs, nodev, nosuid, mounted by me)
server:/export on /Volumes/nfs (nfs)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/desk.db", "ext4"),
        ("/home/me/desk", "nfs4"),
        ("/home/me/local/desk", "xfs"),
        ("/home/melanie", "ext4"),
        ("/mnt/two words/x", "virtiofs"),
        ("/mnt/over", "fuse.sshfs"),
    ],
)
def test_on_linux_it_is_that_of_the_innermost_mount(path: str, kind: str):
    assert on_linux(PurePosixPath(path), LINUX) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/Users/me", "apfs"), ("/Volumes/a (b)/x", "smbfs"), ("/Volumes/nfs/x", "nfs"), ("/Volumes/nfsx", "apfs")],
)
def test_on_macos_it_is_what_mount_says(path: str, kind: str):
    assert by_mount(PurePosixPath(path), MACOS) == kind


def test_on_windows_a_share_and_a_drive_that_stands_for_one_are_known():
    asked: list[str] = []

    def type_of_drive(root: str) -> int:
        asked.append(root)
        return 4 if root == "Z:\\" else 3

    assert on_windows(PureWindowsPath("//server/share/x"), type_of_drive) == "network share"
    assert on_windows(PureWindowsPath("Z:/x"), type_of_drive) == "network drive"
    assert on_windows(PureWindowsPath("C:/x"), type_of_drive) is None
    assert asked == ["Z:\\", "C:\\"]


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "fuse.sshfs", "network share"]
)
def test_what_others_may_share_is_told_at_the_start_and_by_doctor(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setitem(mounts._KINDS, "linux", lambda path: kind)
    monkeypatch.setitem(mounts._KINDS, "darwin", lambda path: kind)
    assert shared_kind(tmp_path, "linux") == kind
    told = {finding.name: finding for finding in inspect_database(f"sqlite:///{tmp_path}/desk.db")}
    assert not told["file_system"].ok and kind in told["file_system"].detail


@pytest.mark.parametrize("kind", [None, "ext4", "xfs", "apfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs"])
def test_what_is_local_is_not_warned_of(kind: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(mounts._KINDS, "linux", lambda path: kind)
    assert shared_kind(tmp_path, "linux") is None


@pytest.mark.parametrize("system", ["linux", "darwin", "win32", "freebsd14"])
def test_where_nothing_is_told_nothing_is_warned_of(system: str, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.setattr("subprocess.run", fails)
    monkeypatch.setattr(Path, "read_text", fails)
    assert shared_kind(Path("/tmp"), system) is None


@given(st.text(max_size=200))
@example(" ")
@example("1 2 - ext4")
def test_no_list_of_mounts_is_a_failure(text: str):
    for path in (PurePosixPath("/"), PurePosixPath("/home/me")):
        on_linux(path, text)
        on_linux(path, f"1 2 3 4 5 - {text}")
        by_mount(path, text)
