"""Which locks keep which files, and a guard for git."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_server.domain.locks.model import AcquireLock, ReleaseLock
from mcp_server.hooks.guard import names_of
from tests.hooks.asking import asked, stdin, text_of
from tests.world import World, open_world, speaking

pytestmark = pytest.mark.anyio


async def lock(world: World, agent: str, name: str, mode: str = "exclusive", seconds: float = 600) -> None:
    holder = speaking(await world.agent(agent))
    request = AcquireLock.model_validate({"name": name, "mode": mode, "ttl_seconds": seconds})
    assert (await world.desk.locks.acquire(holder, request)).lock is not None


def edit(world: World, folder: Path, file: str, agent: str | None = "scribe") -> str:
    """Why a file may not be edited; nothing where it may."""
    return text_of(asked(world, "codex", "edit", stdin("codex", "edit", folder, file), agent))


@pytest.mark.parametrize(
    ("name", "mode", "file", "is_kept"),
    [
        ("src/app.py", "exclusive", "src/app.py", True),
        ("src/app.py", "shared", "src/app.py", True),
        ("./src//app.py", "exclusive", "src/app.py", True),
        ("src/**", "exclusive", "src/deep/app.py", True),
        ("**", "exclusive", "readme.md", True),
        ("src/*.py", "shared", "src/app.py", True),
        ("src/*.py", "exclusive", "src/deep/app.py", False),
        ("src/app.py", "exclusive", "src/app.pyc", False),
        ("app/[id]/page.tsx", "exclusive", "app/[id]/page.tsx", True),
        ("caf\u00e9.md", "exclusive", "cafe\u0301.md", True),
        ("deploy", "exclusive", "src/app.py", False),
    ],
)
async def test_a_file_is_kept_by_anothers_lock_on_it_by_name_or_glob(world, tmp_path, name, mode, file, is_kept):
    await world.agent("scribe")
    await lock(world, "painter", name, mode)
    assert ("is held" in edit(world, tmp_path, file)) is is_kept


async def test_who_until_when_and_what_to_do_is_said(world: World, tmp_path: Path):
    await lock(world, "painter", "src/**", "shared", seconds=240)
    told = edit(world, tmp_path, "src/app.py", "nobody")
    assert told == (
        'src/app.py is held by the lock "src/**" (shared) by agent:painter via user:tester until '
        "2027-01-15T08:04:00.000Z, 240 s from now. Nothing was changed. Work on something else meanwhile, or wait for "
        'it with locks_acquire(name="src/app.py", wait_seconds=50), or ask with messages_send.'
    )


async def test_own_locks_pass_and_so_do_those_that_ended(world: World, tmp_path: Path):
    scribe = await world.agent("scribe")
    await lock(world, "scribe", "src/app.py")
    assert edit(world, tmp_path, "src/app.py") == ""
    assert edit(world, tmp_path, "src/app.py", "painter") != ""
    await world.desk.locks.release(speaking(scribe), ReleaseLock(name="src/app.py"))
    await lock(world, "painter", "src/app.py", seconds=60)
    assert edit(world, tmp_path, "src/app.py") != ""
    world.clock.advance(61)
    assert edit(world, tmp_path, "src/app.py") == "", "expired, though nobody has cleared it away"


async def test_a_shared_lock_of_ones_own_does_not_open_what_others_share(world: World, tmp_path: Path):
    await lock(world, "scribe", "src/app.py", "shared")
    await lock(world, "painter", "src/app.py", "shared")
    assert "agent:painter" in edit(world, tmp_path, "src/app.py")


async def test_many_files_of_one_patch_are_looked_at_and_the_first_are_named(world: World, tmp_path: Path):
    await lock(world, "painter", "src/**")
    patch = "".join(f"*** Update File: src/{number}.py\n@@\n-a\n+b\n" for number in range(9))
    payload = stdin("codex", "edit", tmp_path) | {"tool_input": {"command": f"*** Begin Patch\n{patch}*** End Patch"}}
    told = text_of(asked(world, "codex", "edit", payload, "scribe"))
    assert told.count("is held by") == 5 and "And 4 more." in told


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("NotebookEdit", {"notebook_path": "src/app.py"}),
        ("MultiEdit", {"file_path": "src/app.py", "edits": [{"old_string": "a", "new_string": "b"}]}),
        ("replace_string_in_file", {"filePath": "src/app.py"}),
        ("multi_replace_string_in_file", {"replacements": [{"filePath": "other.py"}, {"filePath": "src/app.py"}]}),
        ("Write", '{"file_path": "src/app.py"}'),
        ("apply_patch", "*** Begin Patch\n*** Update File: a.py\n*** Move to: src/app.py\n*** End Patch"),
        ("apply_patch", {"input": "*** Delete File: src/app.py"}),
    ],
)
async def test_every_clients_editing_tools_are_known_whichever_client_runs_the_hook(world, tmp_path, tool, arguments):
    await lock(world, "painter", "src/app.py")
    payload = stdin("claude-code", "edit", tmp_path) | {"tool_name": tool, "tool_input": arguments}
    assert asked(world, "claude-code", "edit", payload, "scribe").code == 2
    assert asked(world, "claude-code", "edit", payload | {"tool_name": "Read"}, "scribe").code == 0


def test_a_file_goes_by_its_path_in_the_project_the_repository_and_the_machine(tmp_path: Path):
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    package = tmp_path / "repository" / "packages" / "web"
    package.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(package)
    names = names_of("../web/./app.py", str(package), [str(package)])
    assert names[0] == "app.py" and {"packages/web/app.py", str(package / "app.py")} <= set(names)
    assert "app.py" in names_of(str(link / "app.py"), "/", [str(package)])
    assert "app.py" in names_of(str(package / "app.py"), "/", [str(link)])
    assert names_of("/elsewhere/a.py", "/", [str(package)]) == ["/elsewhere/a.py"]


@pytest.mark.slow
async def test_git_commits_nothing_that_another_holds(sqlite_url: str, tmp_path: Path):
    """As docs/wake.md has it: a real repository, and the hook where git looks for it."""
    repository = tmp_path / "repository"
    (repository / "src").mkdir(parents=True)

    def git(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DATAMCP_", "GIT_"))}
        who = {f"GIT_{part}_{what}": "t@x.org" for part in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return subprocess.run(
            ["git", "-C", str(repository), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=clean | who | {"DATAMCP_DATABASE": sqlite_url} | environment,
        )

    git("init", "-q")
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mcp_server hook git-pre-commit\n')
    hook.chmod(0o755)
    no_text = os.fsdecode(b"caf\xe9.md")
    for name in ("src/app.py", "caf\u00e9 [1].md", no_text):
        (repository / name).write_text("x")
    git("add", "-A")
    async with open_world(sqlite_url) as world:
        await world.agent("scribe")
        await lock(world, "painter", "src/**")
        refused = git("commit", "-qm", "one", DATAMCP_AGENT="scribe")
        assert refused.returncode == 1 and 'src/app.py is held by the lock "src/**"' in refused.stderr
        assert git("commit", "-qm", "one", DATAMCP_AGENT="painter").returncode == 0
        (repository / "src/app.py").unlink()
        git("add", "-A")
        git("config", "datamcp.agent", "scribe")
        refused = git("commit", "-qm", "two")
        assert refused.returncode == 1, "to delete it is to change it"
        git("config", "datamcp.agent", "painter")
        assert git("commit", "-qm", "two").returncode == 0
        assert (
            git("commit", "-qm", "three", "--allow-empty", DATAMCP_DATABASE="sqlite:////nowhere/x.db").returncode == 0
        )
        broken = git("commit", "-qm", "four", "--allow-empty", DATAMCP_DATABASE="mysql://x")
        assert broken.returncode == 0, broken.stderr


async def test_what_is_staged_is_compared_with_locks(sqlite_url, tmp_path, monkeypatch, capsysbinary):
    from mcp_server.hooks import git
    from mcp_server.hooks.entry import run, understood

    monkeypatch.setenv("DATAMCP_DATABASE", sqlite_url)
    said = {"rev-parse": f"{tmp_path}\n", "diff": "a.md\0src/app.py\0", "config": "scribe\n"}
    monkeypatch.setattr(git, "_git", lambda what, *_: said[what])
    async with open_world(sqlite_url) as world:
        await world.agent("scribe")
        line = understood(["hook", "git-pre-commit"])
        assert line is not None and run(line) == 0
        await lock(world, "painter", "src/app.py")
        assert run(line) == 1
        assert capsysbinary.readouterr().err.startswith(b"data-mcp-server-agent: src/app.py is held (exclusive) by")
        said["config"] = "painter\n"
        assert run(line) == 0
        said["diff"] = ""
        monkeypatch.setenv("DATAMCP_DATABASE", "mysql://x")
        assert run(line) == 0, "nothing is staged"
