"""The two commands from outside: their words, what goes wrong, and how little they load."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.config import Settings, default_database
from mcp_server.config import read_settings as read_all_settings
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.messages.model import SendMessage
from mcp_server.hooks import entry
from mcp_server.hooks.asked import BYTES_MAX, Asked
from mcp_server.hooks.clients import EVENTS
from mcp_server.hooks.events import answered
from mcp_server.hooks.settings import default_file, read_settings
from tests.hooks.asking import stdin
from tests.world import on_file, open_world

HEAVY = ("click", "pydantic", "anyio", "asyncio", "structlog", "mcp", "typing", "pathlib", "platformdirs", "tomllib")
HEAVY += ("subprocess",)
LOADS = """
import os, sys
leave = os._exit
def told(code):
    print(*sys.modules, file=sys.stderr, flush=True)
    leave(code)
os._exit = told
from mcp_server.__main__ import main
main()
"""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("DATAMCP_", "COVERAGE_"))}


def run(*arguments: str, text: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A process of its own."""
    command = [sys.executable, "-m", "mcp_server", *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, input=text, env=CLEAN | environment)


@pytest.mark.parametrize(
    "arguments", [["hook", "Stop"], ["hook", "PreToolUse"], ["hook", "SessionEnd"], ["status"]], ids=lambda a: a[-1]
)
@pytest.mark.anyio
async def test_nothing_heavy_is_loaded(sqlite_url: str, tmp_path: Path, arguments: list[str]):
    async with open_world(sqlite_url) as world:
        await world.agent("scribe")
        await world.desk.messages.send(world.call, SendMessage(to=("scribe",), body="hello"))
        await world.desk.locks.acquire(world.call, AcquireLock(name="elsewhere/**"))
    moment = {"Stop": "stop", "SessionEnd": "end"}.get(arguments[-1], "edit")
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *arguments, "--database", sqlite_url, "--agent", "scribe"],
        input=json.dumps(stdin("claude-code", moment, tmp_path)).encode(),
        capture_output=True,
        timeout=60,
        env=CLEAN,
    )
    assert done.returncode == (2 if moment == "stop" else 0), done.stderr
    *_, modules = done.stderr.decode().splitlines()
    loaded = set(modules.split())
    assert "pysqlite3.dbapi2" in loaded and not loaded & set(HEAVY), loaded & set(HEAVY)
    assert b"hello" in done.stderr or moment != "stop"


NAMES = ["session_id", "cwd", "tool_name", "tool_input", "file_path", "workspace_roots", "files", "x"]
WORDS = ["Edit", "apply_patch", "\0", "../" * 50, "\x1b[2J\ud800", "agents_register", "agent_" + "b" * 12]
LEAVES = st.none() | st.integers() | st.text(max_size=9) | st.sampled_from(WORDS)
PAYLOADS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def empty_desk(tmp_path_factory: pytest.TempPathFactory) -> str:
    return on_file(tmp_path_factory.mktemp("hooks") / "desk.db")


@pytest.mark.parametrize("moment", [*EVENTS["claude-code"], "wait"])
@given(text=st.binary(max_size=200) | PAYLOADS.map(lambda value: json.dumps(value).encode()))
def test_no_input_is_more_than_a_hook_can_take(empty_desk: str, moment: str, text: bytes):
    answer = answered(moment, {"database": empty_desk, "seconds": "0"}, text, {})
    assert answer.code == 0 and (moment == "start" or answer.out == answer.err == "")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"session_id": "'
        + b"x" * 1_000_000
        + b'", "tool_name": "Edit", "tool_input": {"file_path": "'
        + b"y" * 9000
        + b'"}}',
        b'{"session_id": 7, "cwd": [], "tool_name": {}, "tool_input": "{", "workspace_roots": {"a": 1}}',
        b'{"session_id": "\\u0000\\ud800", "tool_name": "Write", "tool_input": {"file_path": "\\u001b]0;x\\u0007"}}',
        b"\xff\xfe\x00",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_garbage_is_answered_with_silence(sqlite_url: str, text: bytes):
    on_file(Path(sqlite_url.removeprefix("sqlite:///")))
    for moment in ("edit", "prompt", "stop", "registered", "end", "wait"):
        answer = answered(moment, {"database": sqlite_url, "seconds": "0"}, text, {})
        assert (answer.code, answer.out, answer.err) == (0, "", "")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_what_a_client_sends_is_read_behind_a_mark_of_byte_order(mark: bytes):
    assert Asked(mark + b'{"session_id": "a"}', {}).session == "a"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize(("words", "code"), [("hook SessionStart", 0), ("status", 1), ("approvals list", 1)])
@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_who_cannot_be_told_is_not_troubled_by_that(sqlite_url: str, words: str, code: int, where: str):
    on_file(Path(sqlite_url.removeprefix("sqlite:///")))
    command = f"exec {shlex.quote(sys.executable)} -m mcp_server {words} {where}"
    env = CLEAN | {"DATAMCP_DATABASE": sqlite_url, "DATAMCP_AGENT": "scribe"}
    done = subprocess.run(command, shell=True, env=env, input=b"{}", stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (code, b"")


def test_more_than_any_client_sends_is_not_read():
    assert Asked(b'{"session_id": "a"}' + b" " * BYTES_MAX, {}).session is None


@pytest.mark.slow
@pytest.mark.parametrize("client", EVENTS)
def test_each_client_gets_its_answer_from_a_process_of_its_own(sqlite_url: str, tmp_path: Path, client: str):
    """With the data of the client's documents, its exit code and the bytes on stdout."""
    import anyio

    from mcp_server.hooks.clients import ANSWERS, QUIET

    async def prepare(body: str) -> None:
        from mcp_server.app import desk_on
        from mcp_server.domain.agents.commands import Register
        from mcp_server.domain.areas import AREAS
        from mcp_server.domain.locks.model import AcquireLock
        from mcp_server.persistence.database import Database
        from tests.world import caller

        database = await Database.open(sqlite_url, AREAS)
        desk = desk_on(database)
        await desk.agents.register(caller(), Register(name="scribe"))
        await desk.locks.acquire(caller(), AcquireLock(name="src/app.py", ttl_seconds=600))
        await desk.messages.send(caller(), SendMessage(to=("scribe",), body=body))
        await database.close()

    for moment, event in EVENTS[client].items():
        anyio.run(prepare, f"before {moment}")
        payload = json.dumps(stdin(client, moment, tmp_path)).encode()
        done = run("hook", event, "--client", client, text=payload, DATAMCP_DATABASE=sqlite_url, DATAMCP_AGENT="scribe")
        form = ANSWERS[client].get(moment)
        says = b"src/app.py is held" if moment == "edit" else f"before {moment}".encode()
        if form is None:
            assert (done.returncode, done.stdout, done.stderr) == (
                0,
                QUIET.get(client, "").encode() + b"\n" * (client in QUIET),
                b"",
            )
        elif form == "":
            assert (done.returncode, done.stdout) == (2, b"") and says in done.stderr
        else:
            assert (done.returncode, done.stderr) == (0, b"") and says in done.stdout
            assert json.loads(done.stdout).keys() == json.loads(form.replace("<text>", '""')).keys()


def test_a_missing_database_is_silence_and_a_broken_one_is_a_line_and_no_obstacle(tmp_path: Path):
    payload = json.dumps(stdin("claude-code", "edit", tmp_path)).encode()
    database = tmp_path / "desk.db"
    done = run("hook", "PreToolUse", "--database", f"sqlite:///{database}", text=payload)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"") and not database.exists()
    database.write_text("not a database" * 100)
    done = run("hook", "PreToolUse", "--database", f"sqlite:///{database}", text=payload)
    assert (done.returncode, done.stdout) == (0, b"") and done.stderr.count(b"\n") == 1
    assert b"cannot be read: file is not a database" in done.stderr


@pytest.mark.anyio
async def test_what_cannot_be_read_is_said_in_one_line(sqlite_url: str, capsysbinary, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    path = Path(sqlite_url.removeprefix("sqlite:///"))

    def said(database: str = sqlite_url) -> str:
        line = entry.understood(["hook", "SessionStart", "--client", "gemini", "--database", database])
        assert line is not None and entry.run(line) == 0
        out, err = capsysbinary.readouterr()
        assert out == b"{}\n"
        return err.decode()

    assert "is no database URL" in said("mysql://u:secret@x/y") and "secret" not in said("mysql://u:secret@x/y")
    assert "cannot be reached" in said("postgresql://u:secret@127.0.0.1:1/x")
    async with open_world(sqlite_url) as world:
        await world.database.write(
            lambda tx: tx._connection.execute("INSERT INTO migrations VALUES (9999, 'new', 'x')", ())
        )
    assert "has schema 9999, this version knows up to" in said()
    path.write_bytes(b"")
    assert said().count("\n") == 1 and "no such table" in said()


def test_a_locked_database_keeps_nobody_waiting(sqlite_url: str):
    from mcp_server.persistence.sqlite.library import load_library

    path = Path(sqlite_url.removeprefix("sqlite:///"))
    on_file(path)
    other = load_library().connect(str(path), isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    done = run("status", "--database", sqlite_url)
    other.close()
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"database is locked" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "is_light"),
    [
        (["hook", "Stop"], True),
        (["hook", "pre-tool-use", "--client=cursor", "--agent", "x"], True),
        (["hook", "AfterAgent", "--client", "gemini"], True),
        (["status", "--json"], True),
        (["hook", "--help"], False),
        (["hook"], False),
        (["hook", "Stop", "--agent"], False),
        (["hook", "AfterAgent"], False),
        (["hook", "Stop", "--client", "emacs"], False),
        (["hook", "leave", "--agent", "x"], False),
        (["status", "now"], False),
        (["approvals", "list", "--role", "admin"], True),
        (["approvals", "approve", "approval_x"], False),
        (["approvals", "list", "--public-url", "http://x"], False),
        (["serve"], False),
        ([], False),
    ],
)
def test_what_needs_an_explanation_is_clicks(arguments: list[str], is_light: bool):
    assert (entry.understood(arguments) is not None) is is_light


@pytest.mark.slow
def test_mistakes_are_explained_and_settings_may_stand_in_front(tmp_path: Path):
    done = run("hook", "Stopp")
    assert done.returncode == 2 and b"there is no event" in done.stderr and b"UserPromptSubmit" in done.stderr
    done = run("--database", f"sqlite:///{tmp_path}/none.db", "status", "--json")
    assert json.loads(done.stdout) == {"ok": False, "reason": "no database yet"}


@pytest.mark.anyio
async def test_a_status_line_says_how_things_stand(sqlite_url: str, capsysbinary):
    async with open_world(sqlite_url) as world:
        scribe = await world.agent("scribe")
        await world.tasks({"title": "mine", "agent_id": "scribe"}, {"title": "next", "agent_id": "scribe"})
        await world.claim_one(scribe)
        await world.desk.messages.send(world.call, SendMessage(to=("scribe",), body="hello"))
    for words in (["--agent", "scribe"], ["--agent", "scribe", "--json"], ["--user", "ann"]):
        line = entry.understood(["status", "--database", sqlite_url, *words])
        assert line is not None and entry.run(line) == 0
    first, second, third = capsysbinary.readouterr().out.decode().splitlines()
    assert first == "agent:scribe: 1 running, 1 ready, 1 unread" and third == "user:ann: 0 unread"
    told = json.loads(second)
    assert told["ok"] and (told["running"], told["ready"], told["unread"], told["locks"]) == (1, 1, 1, 0)


GIVEN = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("database", "agent", "user"), st.from_regex(r"[a-z]{0,5}", fullmatch=True))
    | {"role": st.sampled_from(["admin", "viewer"])},
)


@given(flags=GIVEN, variables=GIVEN, table=GIVEN, lower=st.booleans())
def test_settings_are_those_of_a_server(flags, variables, table, lower):
    flags = {name: value for name, value in flags.items() if value}
    table = {name: value for name, value in table.items() if value}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "desk.toml")
        file.write_text("".join(f'{name} = "{value}"\n' for name, value in table.items()))
        spelled = [f"DATAMCP_{name}" for name in (*variables, "config")]
        names = [name.lower() if lower else name.upper() for name in spelled]
        environment = dict(zip(names, [*variables.values(), str(file)], strict=True))
        light, server = read_settings(flags, environment), read_all_settings(Settings, flags, environment)
    assert (light.database, light.agent, light.user) == (server.database_url, server.agent, server.user)
    assert light.role in (None, server.role.value)


def test_the_default_database_is_where_a_server_has_it(monkeypatch: pytest.MonkeyPatch):
    for folder in (None, "", " ", "/x/data"):
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
        if folder is not None:
            monkeypatch.setenv("XDG_DATA_HOME", folder)
        assert default_file() == str(default_database())
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_file() == str(default_database())


def test_a_plugins_own_settings_count_last():
    plugin = {"CLAUDE_PLUGIN_OPTION_AGENT": "scribe", "CLAUDE_PLUGIN_OPTION_DATABASE": ""}
    assert read_settings({}, plugin).agent == "scribe" and read_settings({}, plugin).database.endswith("desk.db")
    assert read_settings({}, plugin | {"DATAMCP_AGENT": "painter"}).agent == "painter"
