"""`doctor` warns of what other users of the machine may read or change, and says what closes it."""

import subprocess
import sys
from pathlib import Path

import pytest

from mcp_server.commands.doctor import run_doctor
from mcp_server.domain.areas import AREAS
from mcp_server.persistence.database import make_backend
from mcp_server.upkeep.modes import inspect_modes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes mean nothing there")


def kept(folder: Path, mode: int) -> Path:
    folder.mkdir()
    for name in ("desk.db", "desk.db-wal", "desk.db.lock", "other"):
        (folder / name).touch()
        (folder / name).chmod(0o600)
    folder.chmod(mode)
    return folder / "desk.db"


def test_what_nobody_else_reaches_is_fine_whatever_its_mode(tmp_path: Path):
    database = kept(tmp_path / "narrow", 0o700)
    database.chmod(0o666)
    (found,) = inspect_modes(database, [database.parent, tmp_path / "none"])
    assert (found.ok, found.warns, found.remedy) == (True, None, None)
    (found,) = inspect_modes(kept(tmp_path / "wide", 0o755), [])
    assert found.warns is None, "its files are narrow"
    (found,) = inspect_modes(kept(tmp_path / "sticky", 0o1777), [])
    assert found.warns is None


def test_what_others_reach_is_named_with_the_commands_that_close_it(tmp_path: Path):
    database = kept(tmp_path / "a folder", 0o777)
    (tmp_path / "a folder" / "desk.db-wal").chmod(0o644)
    (tmp_path / "a folder" / "other").chmod(0o666)
    outbox = tmp_path / "outbox"
    outbox.mkdir(mode=0o755)
    (found,) = inspect_modes(database, [outbox])
    assert found.ok and found.warns
    assert str(database) not in found.detail.split(", "), "it is narrow itself"
    assert "other," not in found.detail, "what is not ours"
    assert found.remedy is not None
    for command in found.remedy.removeprefix("Where they should not: ").removesuffix(".").split("; "):
        subprocess.run(command, shell=True, check=True)
    (found,) = inspect_modes(database, [outbox])
    assert found.warns is None


def test_windows_is_told_nothing(tmp_path: Path):
    assert inspect_modes(kept(tmp_path / "x", 0o777), [tmp_path], "win32") == []


def test_doctor_warns_and_is_content_all_the_same(sqlite_url: str, capsys: pytest.CaptureFixture[str]):
    make_backend(sqlite_url, AREAS).prepare()
    flags = {"database": sqlite_url}
    assert run_doctor(flags, as_json=False) == 0
    assert "ok   file_modes: Nobody but this user" in capsys.readouterr().out
    database = Path(sqlite_url.removeprefix("sqlite:///"))
    database.chmod(0o644)
    database.parent.chmod(0o755)
    assert run_doctor(flags, as_json=False) == 0
    out = capsys.readouterr().out
    assert f"warn file_modes: Other users of this machine may read or change {database}" in out
    assert f"     -> Where they should not: chmod 600 {database}" in out
    run_doctor(flags, as_json=True)
    assert '"warns": true' in capsys.readouterr().out
