"""Every file and folder that this program makes is its user's alone, also where the umask lets everybody in."""

import asyncio
import contextlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mcp_server.commands.transfer import _output
from mcp_server.domain.areas import AREAS
from mcp_server.domain.email.transport import Mail
from mcp_server.hooks.memory import Memory
from mcp_server.hooks.waiting import _alone
from mcp_server.integrations.clients import files
from mcp_server.integrations.file_outbox import FileOutbox
from mcp_server.integrations.kept import Command, Kept
from mcp_server.integrations.processes.logs import bound_log, open_log
from mcp_server.integrations.targets.compose import ComposeTarget
from mcp_server.integrations.workers.place import Place
from mcp_server.persistence.database import Database, make_backend
from mcp_server.runtime.local_service import LocalService
from mcp_server.runtime.replicas import _keep
from mcp_server.upkeep.backup import back_up, restore
from mcp_server.upkeep.transfer import export
from tests.world import open_world

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="modes mean nothing there")]


def too_wide(folder: Path) -> list[str]:
    """What others may read, and what its user alone may not."""
    return [
        f"{path.relative_to(folder)} {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in sorted(folder.rglob("*"))
        if not path.is_symlink() and stat.S_IMODE(path.lstat().st_mode) != (0o700 if path.is_dir() else 0o600)
    ]


@pytest.fixture(params=[0o000, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Generator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def export_to(target: Path, url: str) -> None:
    with _output(str(target), force=True) as out:
        export(url, out, 0)


async def databases(folder: Path) -> None:
    """A database in use, copied before an upgrade, backed up, restored over, and exported."""
    url = f"sqlite:///{folder}/deep/er/desk.db"
    await (await Database.open(url, AREAS)).close()
    async with open_world(url) as world:
        await world.write("notes", "a", 1)
        assert {path.name for path in (folder / "deep" / "er").iterdir()} >= {"desk.db", "desk.db-wal", "desk.db-shm"}
        assert too_wide(folder) == [], "while it is in use"
    backend: Any = make_backend(url, AREAS)
    backend._back_up(1)
    back_up(backend.file.path, folder / "copy.db", force=False)
    restore(folder / "copy.db", backend.file.path, force=True)
    restore(folder / "copy.db", folder / "new" / "desk.db", force=False)
    export_to(folder / "desk.jsonl", url)
    memory = Memory(str(folder / "hooked" / "desk.db.hooks"))
    memory.open("session")
    with _alone(f"{memory.path}.waits"):
        assert too_wide(folder) == [], "while it waits"
    memory.close()


async def what_is_deployed(folder: Path) -> None:
    """What programs, Workers and targets leave."""
    argv = (sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr)")
    ended = await Kept(folder / "runs" / "one").run(Command(argv, None, {}, "{}", 20))
    assert ended.exit_code == 0
    place = Place(folder / "workerd" / "one")
    place.write("config.capnp", "x")
    await asyncio.to_thread(place._spawn, ["/bin/sh", "-c", "echo hello"], {})
    while place.is_running:
        await asyncio.sleep(0.01)
    ComposeTarget(folder / "compose", "docker")._write(folder / "compose" / "shop" / "revision-1" / "compose.yaml", "x")
    _keep(folder / "places" / "one.routes", "{}")
    LocalService(folder / "kv" / "kv.json", lambda key: None)._said()  # type: ignore[arg-type, return-value]
    log = folder / "instances" / "one.log"
    os.close(open_log(log))
    log.write_bytes(b"x" * 100)
    assert bound_log(log, 10)


@pytest.mark.slow
@pytest.mark.usefixtures("umask")
async def test_everything_that_is_made_is_its_users_alone(tmp_path: Path):
    await databases(tmp_path)
    await what_is_deployed(tmp_path)
    mail = Mail("email_1", "<email_1@x>", 0, "a@x.org", ["b@x.org"], [], [], None, "s", "t", None, [])
    await FileOutbox(tmp_path / "outbox").send(mail, ["b@x.org"], None)  # type: ignore[arg-type]
    files.replace(tmp_path / "client" / "mcp.json", b"{}", None)
    assert too_wide(tmp_path) == []
    assert len(list(tmp_path.rglob("*"))) > 30


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_clients_file_and_its_copy_are_read_by_whom_it_was_read(tmp_path: Path, mode: int):
    path = tmp_path / "mcp.json"
    path.write_bytes(b"{}")
    path.chmod(mode)
    copy = files.back_up(path, b"{}", datetime(2026, 1, 1, tzinfo=UTC))
    files.replace(path, b"{ }", b"{}")
    assert {stat.S_IMODE(one.stat().st_mode) for one in (path, copy)} == {mode}


@pytest.mark.usefixtures("umask")
async def test_nothing_is_written_through_a_link_that_was_left_in_its_place(tmp_path: Path):
    victim, folder = tmp_path / "victim", tmp_path / "shared"
    victim.write_text("kept")
    folder.mkdir(mode=0o700)
    for name in ("copy.db", "desk.jsonl", "desk.db.lock", "outbox/email_1.eml", "one.log", "log", "x.hooks"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(victim)
    url = f"sqlite:///{tmp_path}/desk.db"
    await (await Database.open(url, AREAS)).close()
    back_up(tmp_path / "desk.db", folder / "copy.db", force=True)
    export_to(folder / "desk.jsonl", url)
    mail = Mail("email_1", "<email_1@x>", 0, "a@x.org", ["b@x.org"], [], [], None, "s", "t", None, [])
    await FileOutbox(folder / "outbox").send(mail, ["b@x.org"], None)  # type: ignore[arg-type]
    assert all(not (folder / name).is_symlink() for name in ("copy.db", "desk.jsonl", "outbox/email_1.eml"))
    with contextlib.suppress(OSError):
        os.close(open_log(folder / "one.log"))
    with pytest.raises(Exception, match="desk.db cannot be used"):
        await Database.open(f"sqlite:///{folder}/desk.db", AREAS)
    assert victim.read_text() == "kept"


@pytest.mark.slow
def test_the_programs_a_person_runs_leave_nothing_that_others_may_read(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / ".cursor").mkdir(mode=0o700)
    env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ} | {"HOME": str(home)}

    def run(*words: str, said: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mcp_server", *words],
            cwd=home, env=env, input=said, capture_output=True, text=True, timeout=120, umask=0,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("call", "tasks_create", '{"tasks": [{"title": "one"}]}')
    mail = '{"to": ["ann@example.org"], "subject": "s", "text": "t"}'
    task = run("call", "email_send", mail, "--get", "task.id").strip()
    system = subprocess.Popen([sys.executable, "-m", "mcp_server", "worker", "--system"], env=env, cwd=home, umask=0)
    try:
        waiting = {"task_id": task, "until": "terminal", "wait_seconds": 50}
        while run("call", "tasks_wait", json.dumps(waiting), "--get", "task.status").strip() != "completed":
            assert system.poll() is None
    finally:
        system.terminate()
        system.wait(60)
    assert list(home.rglob("*.eml"))
    run("backup", "copy.db")
    run("export", "desk.jsonl")
    run("restore", "--force", "copy.db")
    run("import", "desk.jsonl", "--database", f"sqlite:///{home}/other/desk.db")
    event = '{"session_id": "s", "cwd": "/", "hook_event_name": "SessionStart", "source": "startup"}'
    run("hook", "SessionStart", said=event)
    assert list(home.rglob("*.hooks"))
    assert too_wide(home) == []
    assert "ok   file_modes" in run("doctor")
