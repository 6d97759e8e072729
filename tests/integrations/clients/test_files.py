"""Files are read, copied and replaced so that nothing is lost, and what is in the way is said."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mcp_server.integrations.clients import files
from mcp_server.kernel.errors import Conflict, OpsError, Unavailable, ValidationFailed

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)
as_other = pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read and write everything")


def test_what_is_no_file_is_told_and_what_is_missing_is_nothing(tmp_path: Path):
    assert files.read(tmp_path / "none") is None
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "circle", tmp_path / "file" / "below"):
        with pytest.raises(Unavailable, match=r"is no file|cannot be read|leads nowhere"):
            files.read(path)


def test_a_file_that_is_too_large_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "SIZE_MAX", 3)
    (tmp_path / "file").write_text("four")
    with pytest.raises(ValidationFailed, match=r"4 bytes, more than 3\. Add the server by hand"):
        files.read(tmp_path / "file")


@as_other
def test_a_file_or_folder_without_the_right_to_it_is_told(tmp_path: Path):
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(Unavailable, match="Permission denied"):
        files.read(path)
    path.chmod(0o600)
    path.parent.chmod(0o500)
    for step in (lambda: files.back_up(path, b"x", NOW), lambda: files.replace(path, b"y", b"x")):
        with pytest.raises(Unavailable, match="Permission denied"):
            step()
    path.parent.chmod(0o700)
    assert path.read_text() == "x" and list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="modes of files are another matter there")
@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_that_is_read_only_is_never_replaced_whoever_one_is(tmp_path: Path, is_link: bool):
    path = target = tmp_path / "mcp.json"
    files.require_writable(path)
    if is_link:
        target = tmp_path / "kept.json"
        path.symlink_to(target)
    target.write_text("x")
    files.require_writable(path)
    target.chmod(0o444)
    with pytest.raises(Unavailable, match=r"mcp.json cannot be written: it is read-only\. Nothing was changed"):
        files.require_writable(path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OpsError):
        files.replace(tmp_path / "file" / "deep" / "config.json", b"{}", None)
    assert (tmp_path / "file").read_text() == "x"


def test_a_copy_is_for_its_owner_alone_and_never_goes_over_another(tmp_path: Path):
    path = tmp_path / "mcp.json"
    copies = [files.back_up(path, data, NOW) for data in (b"first", b"second", b"third")]
    assert [copy.name for copy in copies] == [f"mcp.json.bak-20261126T080000Z{n}" for n in ("", "-2", "-3")]
    assert [copy.read_bytes() for copy in copies] == [b"first", b"second", b"third"]
    assert {stat.S_IMODE(copy.stat().st_mode) for copy in copies} == {0o600}
    assert list(files.backups(path)) == [b"third", b"second", b"first"]
    assert list(files.backups(tmp_path / "none" / "mcp.json")) == []


def test_a_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path):
    target, link = tmp_path / "dotfiles" / "mcp.json", tmp_path / "mcp.json"
    target.parent.mkdir()
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    files.back_up(link, b"old", NOW)
    files.replace(link, b"new", b"old")
    assert link.is_symlink() and target.read_bytes() == b"new" and stat.S_IMODE(target.stat().st_mode) == 0o640
    assert {one.name for one in target.parent.iterdir()} == {"mcp.json", "mcp.json.bak-20261126T080000Z"}
    files.replace(link, None, b"new")
    assert link.is_symlink() and not target.exists()


def test_a_file_that_changed_meanwhile_is_not_written(tmp_path: Path):
    path = tmp_path / "mcp.json"
    path.write_bytes(b"newer")
    for before in (b"old", None):
        with pytest.raises(Conflict, match="changed by another program"):
            files.replace(path, b"ours", before)
    assert path.read_bytes() == b"newer"


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "mcp.json"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="cannot be written: No space left"):
        files.replace(path, b"new", b"old")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_mark_of_byte_order_stays_and_other_encodings_are_refused():
    marked = b"\xef\xbb\xbf{}"
    assert (
        files.decoded(marked) == "{}" and files.encoded("{}", marked) == marked and files.encoded("{}", b"{}") == b"{}"
    )
    for data in ("{}".encode("utf-16"), b'{"a": "\xe9"}'):
        with pytest.raises(ValidationFailed, match="not UTF-8"):
            files.decoded(data)
    with pytest.raises(ValidationFailed, match="no UTF-8"):
        files.encoded("/home/\udce9", None)
