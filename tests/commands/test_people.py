"""`user` and `key` on the command line: what people and scripts see, and what never appears anywhere."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mcp_server.__main__ import command_line
from mcp_server.domain.people.secrets import sha256_of
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.times import system_clock
from mcp_server.persistence.event_loops import run_on
from tests.world import open_world


@pytest.fixture
def run(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command on one database."""
    monkeypatch.setenv("DATAMCP_DATABASE", sqlite_url)
    return lambda *line: CliRunner().invoke(command_line(), list(line))


def shown(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def found(url: str, text: str) -> str:
    """Whom a text proves now, or why it proves nobody."""
    async with open_world(url) as world:
        world.clock.now = system_clock()
        one = await world.desk.get(Standing).proved(sha256_of(text))
        return one.label if isinstance(one, Actor) else one


def proved(url: str, text: str) -> str:
    return run_on(url, found(url, text))


def test_a_user_is_added_shown_changed_disabled_and_enabled(run: Callable[..., Result]):
    added = shown(run("user", "add", "ann", "--role", "viewer", "--address", "ann@example.org", "--json"))["user"]
    assert (added["name"], added["role"], added["address"]) == ("ann", "viewer", "ann@example.org")
    changed = shown(run("user", "set", "ann", "--role", "operator", "--address", "", "--json"))["user"]
    assert changed["role"] == "operator" and "address" not in changed
    assert shown(run("user", "disable", "ann", "--json"))["user"]["status"] == "disabled"
    assert shown(run("user", "enable", "ann", "--json"))["user"] == changed
    assert shown(run("user", "list", "--json"))["users"] == [shown(run("user", "show", "ann", "--json"))["user"]]
    assert "ann  operator  enabled" in run("user", "list").stdout


def test_a_key_is_printed_once_and_alone_on_stdout(run: Callable[..., Result], sqlite_url: str):
    assert run("user", "add", "ann").exit_code == 0
    made = run("key", "create", "--user", "ann", "--name", "laptop", "--expires-in", "30d")
    text = made.stdout.strip()
    assert text.startswith("dmcp_") and made.stdout.count("\n") == 1 and "It is not shown again" in made.stderr
    assert text not in made.stderr and proved(sqlite_url, text) == "user:ann"
    (listed,) = shown(run("key", "list", "ann", "--json"))["keys"]
    assert (listed["holder"], listed["name"], listed["state"]) == ("user:ann", "laptop", "live")
    both = run("key", "list"), run("key", "list", "--json"), run("user", "show", "ann")
    assert not any(secret in one.output for one in both for secret in (text, sha256_of(text)))


def test_whoever_makes_the_first_key_hears_that_servers_ask_for_keys_from_then_on(run: Callable[..., Result]):
    first, second = (run("key", "create", "--agent", "scribe") for _ in range(2))
    assert "restart servers" in first.stderr and "restart servers" not in second.stderr


def test_what_people_call_themselves_and_their_keys_breaks_no_line(run: Callable[..., Result]):
    nasty = "Ann\u202eeve\u200b" + "\u2066" * 3
    assert run("user", "add", "ann", "--display-name", nasty).exit_code == 0
    assert run("key", "create", "--user", "ann", "--name", nasty).exit_code == 0
    for line in (("user", "list"), ("key", "list")):
        told = run(*line).stdout
        assert told.count("\n") == 1 and not any(mark in told for mark in "\u202e\u200b\u2066")


def test_a_key_is_rotated_and_revoked(run: Callable[..., Result], sqlite_url: str):
    made = shown(run("key", "create", "--agent", "scribe", "--json"))
    key_id, first = made["key"]["id"], made["text"]
    second = shown(run("key", "rotate", key_id, "--json"))["text"]
    assert (proved(sqlite_url, first), proved(sqlite_url, second)) == ("unknown", "agent:scribe")
    third = run("key", "rotate", key_id, "--grace", "1h").stdout.strip()
    assert {proved(sqlite_url, second), proved(sqlite_url, third)} == {"agent:scribe"}
    assert shown(run("key", "revoke", key_id, "--json"))["key"]["state"] == "revoked"
    assert {proved(sqlite_url, second), proved(sqlite_url, third)} == {"revoked", "unknown"}


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (("user", "show", "bob"), 1, "There is no user bob"),
        (("user", "add", "ann"), 1, "There is a user ann already"),
        (("user", "add", "ANN"), 1, "There is a user ann already"),
        (("user", "add", "a:b"), 2, "name a:b"),
        (("user", "add", "a\x1b[31mb"), 2, "U+001B"),
        (("user", "add", "a\u202eb"), 2, "name"),
        (("user", "add", "bob", "--address", "nonsense"), 2, "not an email address"),
        (("user", "add", "bob", "--role", "king"), 2, "is not one of"),
        (("key", "create"), 2, "Say whose key it is"),
        (("key", "create", "--user", "ann", "--agent", "scribe"), 2, "Say whose key it is"),
        (("key", "create", "--user", "bob"), 1, "There is no user bob"),
        (("key", "create", "--user", "ann", "--role", "admin"), 2, "role admin is none that ann has"),
        (("key", "create", "--user", "ann", "--permissions", "tasks:fly"), 2, "permissions"),
        (("key", "create", "--user", "ann", "--toolsets", "bogus"), 2, "toolsets"),
        (("key", "create", "--user", "ann", "--namespace", "a/b"), 2, "namespace a/b"),
        (("key", "create", "--user", "ann", "--expires-in", "soon"), 2, "Write 30d, 12h or 45m"),
        (("key", "revoke", "key_none"), 1, "There is no key key_none"),
        (("key", "rotate", "key_none"), 1, "There is no key key_none"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(run: Callable[..., Result], line: Any, code: int, says: str):
    assert run("user", "add", "ann").exit_code == 0
    done = run(*line)
    assert done.exit_code == code and says in done.stderr and done.stdout == "", done.output
    assert "\x1b" not in done.stderr and "\u202e" not in done.stderr


@pytest.mark.parametrize("setting", [{"DATAMCP_ROLE": "operator"}, {"DATAMCP_READ_ONLY": "1"}])
def test_who_may_not_manage_users_changes_nothing(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, setting: dict[str, str]
):
    assert run("user", "add", "ann").exit_code == 0
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    for line in (("user", "add", "eve"), ("user", "disable", "ann"), ("key", "create", "--agent", "scribe")):
        assert run(*line).exit_code == 1
    assert [one["name"] for one in shown(run("user", "list", "--json"))["users"]] == ["ann"]


def test_the_log_says_who_did_what_and_holds_no_secret(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATAMCP_USER", "root-of-all")
    done = run("key", "create", "--agent", "scribe", "--json")
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (line,) = [one for one in told if one["event"] == "elevated"]
    assert (line["what"], line["by"], line["holder"]) == ("key.created", "user:root-of-all", "agent:scribe")
    text = json.loads(done.stdout)["text"]
    assert text not in done.stderr and sha256_of(text) not in done.stderr


@pytest.mark.slow
def test_of_several_that_rotate_at_once_each_text_that_was_printed_last_counts(tmp_path: Path):
    """Whoever is told a text was told one that counted; who came too late is told so."""
    url = f"sqlite:///{tmp_path}/desk.db"

    async def command(*line: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mcp_server", *line, "--database", url, "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async def all_of_them() -> None:
        key_id = json.loads((await command("key", "create", "--agent", "scribe"))[1])["key"]["id"]
        done = await asyncio.gather(*(command("key", "rotate", key_id, "--grace", "1h") for _ in range(4)))
        texts = [json.loads(out)["text"] for code, out in done if code == 0]
        assert texts and {code for code, _ in done} <= {0, 1}
        assert "agent:scribe" in [await found(url, text) for text in texts]
        await asyncio.gather(*(command("key", "revoke", key_id) for _ in range(3)))
        assert "agent:scribe" not in [await found(url, text) for text in texts]

    asyncio.run(all_of_them())


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_a_key_whole_or_none(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/desk.db"

    async def killed() -> None:
        for delay in (0.2, 0.5, 0.8, 1.1, 1.5):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mcp_server", "key", "create", "--agent", "scribe", "--database", url),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            await asyncio.sleep(delay)
            if process.returncode is None:
                process.kill()
            await process.wait()
        async with open_world(url) as world:
            from mcp_server.domain.people.managing import PeopleService

            assert all(one.state == "live" for one in await world.desk.get(PeopleService).keys(world.call))

    asyncio.run(killed())
    from mcp_server.upkeep.inspection import replay_database

    assert replay_database(url).ok
