"""What this program writes is its user's alone from the first moment, and goes through nobody's links."""

import os
import stat
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from mcp_server.kernel import private_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes mean nothing there")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Generator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_files_and_folders_are_their_users_alone_whatever_the_umask(tmp_path: Path):
    deep = tmp_path / "one" / "two"
    private_files.make_folder(deep)
    private_files.put(deep / "put", "text")
    private_files.leave_empty(deep / "empty")
    for opened in (private_files.create, private_files.append, private_files.both_ways):
        os.close(opened(deep / opened.__name__))
    with private_files.replacing(deep / "whole", is_durable=True) as file:
        (part,) = deep.glob("whole.*.part")
        assert mode_of(part) == 0o600
        file.write(b"x")
    assert {mode_of(path) for path in (tmp_path / "one", deep)} == {0o700}
    assert {path.name for path in deep.iterdir()} == {"put", "empty", "create", "append", "both_ways", "whole"}
    assert {mode_of(path) for path in deep.iterdir()} == {0o600}


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path):
    tmp_path.chmod(0o755)
    private_files.make_folder(tmp_path)
    assert mode_of(tmp_path) == 0o755


def test_a_link_in_a_files_place_is_never_written_through(tmp_path: Path):
    victim, link, nowhere = tmp_path / "victim", tmp_path / "link", tmp_path / "nowhere"
    victim.write_text("kept")
    link.symlink_to(victim)
    nowhere.symlink_to(tmp_path / "elsewhere")
    for opened in (private_files.create, private_files.append, private_files.both_ways):
        for planted in (link, nowhere):
            with pytest.raises(OSError):
                opened(planted)
    for planted in (link, nowhere):
        private_files.put(planted, "new")
        assert not planted.is_symlink() and planted.read_text() == "new"
    assert victim.read_text() == "kept" and not (tmp_path / "elsewhere").exists()


def test_what_fails_half_way_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path):
    path = tmp_path / "file"
    private_files.put(path, "before")
    with pytest.raises(RuntimeError), private_files.replacing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("file", "before")]


def test_a_link_of_another_user_on_the_way_is_refused_and_ones_own_is_followed(tmp_path: Path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    inside = tmp_path / "link" / "folder"
    private_files.make_folder(inside)
    private_files.leave_empty(inside / "file")
    assert (tmp_path / "real" / "folder" / "file").exists()
    if os.geteuid() == 0:
        os.lchown(tmp_path / "link", 4242, 4242)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
    for step in (private_files.make_folder, private_files.leave_empty):
        with pytest.raises(PermissionError, match="link is a link that another user made"):
            step(inside)


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        private_files.make_folder(tmp_path / "file")
    with pytest.raises(OSError):
        private_files.make_folder(tmp_path / "file" / "deep")


def test_links_that_lead_nowhere_are_made_where_they_lead(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "desk.db").symlink_to(tmp_path / "real" / "desk.db")
    private_files.leave_empty(tmp_path / "desk.db")
    assert mode_of(tmp_path / "real" / "desk.db") == 0o600
