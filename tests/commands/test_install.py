"""`install`: from nothing to an entry that was proven, and back."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from click.testing import CliRunner, Result
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from mcp_server.__main__ import command_line
from mcp_server.commands import install as command
from mcp_server.integrations.clients import files, proving, starting
from mcp_server.integrations.clients.entries import Started
from mcp_server.integrations.clients.proving import Proof, prove
from mcp_server.kernel.errors import Conflict, Unavailable

ROOT = Path(__file__).parent.parent.parent
SAYS_VERSION = '[ "$1" = --version ] && echo "data-mcp-server-agent, version 1" && exit 0'
proofs: list[tuple[Started, dict[str, str]]] = []


def program(folder: Path, *lines: str) -> Path:
    """Something that is installed as our program."""
    path = folder / "bin" / "data-mcp-server-agent"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


class Home:
    """A person's home with a few clients, and the command there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.cursor, self.codex = folder / ".cursor" / "mcp.json", folder / ".codex" / "config.toml"
        self.cursor.parent.mkdir()
        self.codex.parent.mkdir()
        for name in [name for name in os.environ if name.startswith(("XDG_", "DATAMCP_", "CODEX_", "UV"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        monkeypatch.chdir(folder)
        monkeypatch.setattr(command, "_folder", lambda: folder / "site-packages" / "mcp_server")
        monkeypatch.setattr("mcp_server.integrations.clients.starting._source", lambda: None)
        self.install_program(SAYS_VERSION)

    def install_program(self, *lines: str) -> None:
        path = program(self.folder, *lines)
        self.monkeypatch.setattr(command, "_program", lambda: path)

    def run(self, *arguments: str, answers: str | None = None) -> Result:
        """The command, at a terminal where there are answers."""
        if answers is not None:
            self.monkeypatch.setattr("mcp_server.commands.install._at_terminal", lambda: True)
        return CliRunner().invoke(command_line(), ["install", *arguments], input=answers)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """With two clients, and a server that always answers."""
    proofs.clear()

    def proven(started: Started, env: dict[str, str]) -> Proof:
        proofs.append((started, env))
        return Proof("agents_find", "0 agents.", 34, 0.5)

    monkeypatch.setattr(proving, "prove", proven)
    return Home(tmp_path, monkeypatch)


def test_every_client_that_is_found_gets_the_server_and_nothing_is_done_twice(home: Home):
    home.cursor.write_text('{"mcpServers": {}} // mine\n')
    done = home.run("--yes")
    assert done.exit_code == 0, done.output
    assert done.output.count("+++") == 2 and "agents_find answered '0 agents.' after 0.5 s" in done.output
    entry = {"command": str(home.folder / "bin" / "data-mcp-server-agent"), "args": []}
    assert home.cursor.read_text() == (
        f'{{"mcpServers": {{"desk": {json.dumps({**entry, "env": {"DATAMCP_AGENT": "cursor"}})}}}}} // mine\n'
    )
    codex = tomllib.loads(home.codex.read_text())["mcp_servers"]["desk"]
    assert codex["env"] == {"DATAMCP_AGENT": "codex"} and codex["command"] == entry["command"]
    assert [started.env["DATAMCP_AGENT"] for started, _ in proofs] == ["cursor", "codex"]
    assert all(set(env) <= {"HOME", "PATH", "LANG", "TERM", "USER", "LOGNAME", "SHELL", "TMPDIR"} for _, env in proofs)
    before = {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()}
    again = home.run("--yes")
    assert again.exit_code == 0 and again.output.count("has our server already") == 2 and len(proofs) == 4
    assert {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()} == before


def test_removing_leaves_every_file_as_it_was(home: Home):
    text = b'\xef\xbb\xbf{\r\n\t"mcpServers": {},\r\n\t"z": [1, 2,], // mine\r\n}'
    home.cursor.write_bytes(text)
    assert home.run("--yes").exit_code == 0 and home.codex.exists() and b'\r\n\t\t"desk"' in home.cursor.read_bytes()
    done = home.run("--remove", "--yes")
    assert done.exit_code == 0 and "deleted" in done.output
    assert home.cursor.read_bytes() == text and not home.codex.exists()
    assert home.run("--remove", "--yes").output.count("lacks our server already") == 2


def test_removing_after_other_changes_takes_ours_alone(home: Home):
    home.cursor.write_text('{"mcpServers": {}}')
    home.run("--yes", "--client", "cursor")
    data = json.loads(home.cursor.read_text())
    home.cursor.write_text(json.dumps({**data, "new": 1}))
    assert home.run("--remove", "--yes", "--client", "cursor").exit_code == 0
    assert json.loads(home.cursor.read_text()) == {"new": 1}


def test_a_dry_run_shows_and_changes_nothing(home: Home):
    done = home.run("--dry-run")
    assert done.exit_code == 0 and '+    "desk": {' in done.output and proofs == []
    assert not home.cursor.exists() and not home.codex.exists()


def test_without_a_terminal_nobody_is_asked_and_nothing_is_written(home: Home):
    done = home.run()
    assert done.exit_code == 2 and "--yes writes, --dry-run only shows" in done.output
    assert not home.cursor.exists() and not home.codex.exists()


def test_each_change_is_asked_about(home: Home):
    done = home.run(answers="n\ny\n")
    assert done.exit_code == 0 and "Cursor: left as it was." in done.output
    assert not home.cursor.exists() and home.codex.exists()


def test_agent_and_database_are_named_and_what_was_named_by_hand_stays(home: Home):
    home.run("--yes", "--client", "cursor", "--agent", "scribe", "--database", "sqlite:///desk.db")

    def env() -> dict[str, str]:
        return json.loads(home.cursor.read_text())["mcpServers"]["desk"]["env"]

    mine = {"DATAMCP_AGENT": "scribe", "DATAMCP_DATABASE": f"sqlite:///{home.folder}/desk.db"}
    assert env() == mine
    assert home.run("--yes", "--client", "cursor").exit_code == 0 and env() == mine
    assert home.run("--yes", "--client", "cursor", "--agent", "other").exit_code == 0
    assert env() == {**mine, "DATAMCP_AGENT": "other"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--agent", "two words"), "a name has up to 64 letters"),
        (("--database", "mysql://x"), "use sqlite:///path or postgresql"),
        (("--database", "sqlite:///"), "use sqlite:///path or postgresql"),
        (("--client", "emacs"), "'emacs' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused(home: Home, arguments: tuple[str, ...], why: str):
    done = home.run("--yes", *arguments)
    assert done.exit_code == 2 and why in done.output and not home.cursor.exists()


def test_a_project_gets_files_of_its_own(home: Home):
    done = home.run("--yes", "--scope", "project", "--client", "claude-code", "--client", "vscode")
    assert done.exit_code == 0, done.output
    assert "desk" in json.loads((home.folder / ".mcp.json").read_text())["mcpServers"]
    assert "desk" in json.loads((home.folder / ".vscode" / "mcp.json").read_text())["servers"]
    refused = home.run("--yes", "--scope", "project", "--client", "windsurf")
    assert refused.exit_code == 1 and "Windsurf has no file in a project that is known" in refused.output
    assert home.run("--scope", "project", "--list").output.count("our server is in ") == 2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"mcpServers": {"desk": {"command": "node"}}}', "'mcpServers.desk' in it is another server"),
        (b'{"mcpServers": {"desk": null}}', "'mcpServers.desk' in it is another server"),
        (b'{"mcpServers": [', "It is no JSON"),
        (b'{"mcpServers": [1]}', "does not hold servers"),
        ("{}".encode("utf-16"), "It is not UTF-8"),
    ],
)
def test_one_file_that_is_left_alone_keeps_no_other_client_waiting(home: Home, content: bytes, why: str):
    home.cursor.write_bytes(content)
    done = home.run("--yes")
    assert done.exit_code == 1 and "Cursor: left alone. " in done.output and why in done.output
    assert home.cursor.read_bytes() == content and "desk" in home.codex.read_text()
    assert [one.name for one in home.cursor.parent.iterdir()] == ["mcp.json"]
    assert why in home.run("--list", "--client", "cursor").output
    assert home.run("--remove", "--yes", "--client", "cursor").exit_code == 1


@pytest.mark.skipif(os.name == "nt", reason="modes of files are another matter there")
def test_a_file_that_is_read_only_is_left_alone_without_a_copy(home: Home):
    home.cursor.write_text("{}")
    home.cursor.chmod(0o444)
    done = home.run("--yes", "--client", "cursor")
    assert done.exit_code == 1 and "Cursor: left alone. " in done.output and "it is read-only" in done.output
    assert home.cursor.read_text() == "{}" and [one.name for one in home.cursor.parent.iterdir()] == ["mcp.json"]


def test_a_folder_in_the_place_of_a_file_is_told(home: Home):
    home.cursor.mkdir()
    done = home.run("--yes", "--client", "cursor")
    assert done.exit_code == 1 and f"{home.cursor} is no file" in done.output


@pytest.mark.parametrize("variable", ["relative", ""])
def test_without_a_home_there_is_one_line_and_no_more(home: Home, monkeypatch: pytest.MonkeyPatch, variable: str):
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory")

    monkeypatch.setenv("HOME", variable)
    if not variable:
        monkeypatch.setattr(Path, "home", nobody)
    done = home.run("--yes")
    assert done.exit_code == 1 and "Set HOME to your home folder" in done.output and "Error: " in done.output


def test_what_may_not_be_looked_at_is_told(home: Home, monkeypatch: pytest.MonkeyPatch):
    real = Path.stat

    def stat(path: Path, **options: Any) -> os.stat_result:
        if path == home.cursor:
            raise PermissionError(13, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    done = home.run("--yes", "--client", "cursor")
    assert done.exit_code == 1 and f"{home.cursor} cannot be read: Permission denied" in done.output


def test_no_client_at_all_is_told_with_those_that_are_known(home: Home):
    home.cursor.parent.rmdir()
    home.codex.parent.rmdir()
    done = home.run("--yes")
    assert done.exit_code == 1 and "No client was found here. Name one: --client claude-code|" in done.output
    assert "cursor: not found" in home.run("--list").output


def test_a_command_that_does_not_start_is_never_written(home: Home):
    home.install_program("echo it broke >&2; exit 3")
    done = home.run("--yes")
    assert done.exit_code == 1 and "No command was seen to start" in done.output and "it broke" in done.output
    assert not home.cursor.exists()


@pytest.mark.parametrize(("answers", "is_there"), [(None, False), ("y\ny\n", False), ("y\nn\n", True)])
def test_a_server_that_does_not_answer_is_offered_to_be_undone(
    home: Home, monkeypatch: pytest.MonkeyPatch, answers: str | None, is_there: bool
):
    def broken(*_: object) -> Proof:
        raise Unavailable("It did not answer. It said: boom")

    monkeypatch.setattr(proving, "prove", broken)
    home.cursor.write_text("{}")
    done = home.run("--client", "cursor", *(["--yes"] if answers is None else []), answers=answers)
    assert done.exit_code == 1 and "It said: boom" in done.output
    assert ("desk" in home.cursor.read_text()) == is_there


def test_a_file_that_a_client_writes_meanwhile_keeps_both_changes(home: Home, monkeypatch: pytest.MonkeyPatch):
    home.cursor.write_text("{}")
    real: Callable[..., Any] = files.replace
    texts = iter(['{"first": 1}', '{"second": 2}'])

    def replace(path: Path, data: bytes | None, before: bytes | None) -> None:
        if (text := next(texts, None)) is not None:
            path.write_text(text)
        real(path, data, before)

    monkeypatch.setattr(files, "replace", replace)
    assert home.run("--yes", "--client", "cursor").exit_code == 0
    data = json.loads(home.cursor.read_text())
    assert data["second"] == 2 and "desk" in data["mcpServers"]


def test_a_file_that_never_rests_is_left_alone(home: Home, monkeypatch: pytest.MonkeyPatch):
    def replace(*_: object) -> None:
        raise Conflict("changed")

    monkeypatch.setattr(files, "replace", replace)
    done = home.run("--yes", "--client", "cursor")
    assert done.exit_code == 1 and "written by another program all the time. End Cursor" in done.output


@pytest.mark.slow
def test_a_server_that_ends_or_hangs_fails_its_proof_with_what_it_said(tmp_path: Path):
    ends = program(tmp_path, "echo it broke >&2; exit 3")
    with pytest.raises(Unavailable, match=r"did not answer: .* It said: it broke"):
        prove(Started((str(ends),), {}), {"PATH": "/usr/bin:/bin"})
    hangs = program(tmp_path, "exec sleep 60")
    with pytest.raises(Unavailable, match=r"did not answer: TimeoutError\. It said nothing"):
        prove(Started((str(hangs),), {}), {"PATH": "/usr/bin:/bin"}, seconds_max=0.5)
    with pytest.raises(Unavailable, match="No such file"):
        prove(Started((str(tmp_path / "none"),), {}), {"PATH": "/usr/bin:/bin"})


def test_the_desk_is_not_loaded_before_the_proof():
    heavy = ("pydantic", "mcp", "anyio", "yaml", "mcp_server.persistence")
    probe = f"import sys, mcp_server.commands.install; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


SETTINGS = b'{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "mine"}]}]}}\n'


def commands_of(path: Path) -> str:
    return "\n".join(json.dumps(groups) for groups in json.loads(path.read_text())["hooks"].values())


def test_hooks_come_with_the_server_as_the_agent_that_it_speaks_as_and_go_with_it(home: Home):
    home.install_program(SAYS_VERSION, "exit 0")
    hooks, settings = home.cursor.with_name("hooks.json"), home.folder / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_bytes(SETTINGS)
    before = {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()}
    done = home.run("--yes", "--hooks", "--database", "sqlite:///desk.db")
    assert done.exit_code == 0, done.output
    assert done.output.count("its first hook was run, and answered after") == 3 and "Review them" in done.output
    told = f"--database sqlite:///{home.folder}/desk.db --agent cursor"
    assert f"{home.folder}/bin/data-mcp-server-agent hook stop --client cursor {told}" in commands_of(hooks)
    assert '"mine"' in commands_of(settings) and "--agent claude-code" in commands_of(settings)
    assert "codex" in (home.codex.with_name("hooks.json")).read_text()
    assert home.run("--list", "--client", "cursor").output.endswith(f"as agent cursor; our hooks are in {hooks}\n")
    again = home.run("--yes", "--hooks")
    assert again.exit_code == 0 and again.output.count("has our hooks already") == 3
    assert home.run("--remove", "--yes").exit_code == 0
    copies = set(home.folder.rglob("*.bak-*"))
    after = {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file() and path not in copies}
    assert after == before


def test_an_agent_of_another_name_speaks_in_the_hooks_as_well(home: Home):
    home.install_program(SAYS_VERSION, "exit 0")
    hooks = home.cursor.with_name("hooks.json")
    home.run("--yes", "--hooks", "--client", "cursor")
    home.run("--yes", "--hooks", "--client", "cursor", "--agent", "scribe")
    assert "--agent scribe" in commands_of(hooks) and "--agent cursor" not in commands_of(hooks)


def test_hooks_and_server_in_one_file_leave_it_as_it_was(home: Home):
    home.install_program(SAYS_VERSION, "exit 0")
    gemini = home.folder / ".gemini" / "settings.json"
    gemini.parent.mkdir()
    for text in ('{"theme": "dark"} // mine\n', None):
        gemini.unlink() if text is None else gemini.write_text(text)
        assert home.run("--yes", "--hooks", "--client", "gemini-cli").exit_code == 0
        assert "hook AfterAgent --client gemini" in gemini.read_text() and '"desk"' in gemini.read_text()
        assert home.run("--remove", "--yes", "--client", "gemini-cli").exit_code == 0
        assert (gemini.read_text() if gemini.exists() else None) == text
        for copy in gemini.parent.glob("*.bak-*"):
            copy.unlink()


def test_a_dry_run_and_a_no_write_no_hooks(home: Home):
    done = home.run("--dry-run", "--hooks", "--client", "cursor")
    assert done.exit_code == 0 and "hook beforeSubmitPrompt" not in done.output and "hook stop --client" in done.output
    refused = home.run("--hooks", "--client", "cursor", answers="y\nn\n")
    assert refused.exit_code == 0 and "Cursor: left as it was." in refused.output
    assert home.cursor.exists() and not home.cursor.with_name("hooks.json").exists()


def test_hooks_that_do_not_answer_are_undone_and_the_server_stays(home: Home):
    home.install_program(SAYS_VERSION, "echo it broke >&2; exit 3")
    done = home.run("--yes", "--hooks", "--client", "cursor")
    assert done.exit_code == 1 and "did not answer as a hook does: it broke" in done.output
    assert "desk" in home.cursor.read_text() and not home.cursor.with_name("hooks.json").exists()


def test_a_client_without_hooks_in_a_file_is_told_and_gets_its_server(home: Home):
    (home.folder / ".codeium" / "windsurf").mkdir(parents=True)
    done = home.run("--yes", "--hooks", "--client", "windsurf")
    assert done.exit_code == 0 and "it has no hooks in a file for all projects that is known" in done.output
    home.install_program(SAYS_VERSION, "exit 0")
    project = home.run("--yes", "--hooks", "--client", "vscode", "--scope", "project")
    file = home.folder / ".github" / "hooks" / "data-mcp-server-agent.json"
    assert project.exit_code == 0 and "--agent vscode" in commands_of(file)
    assert "uv tool install" not in project.output, "the program is installed"


def test_a_project_is_rid_of_all_that_lies_in_it_whichever_clients_this_machine_has(home: Home):
    home.install_program(SAYS_VERSION, "exit 0")
    arguments = ["--yes", "--scope", "project"]
    assert home.run(*arguments, "--hooks", "--client", "vscode", "--client", "roo").exit_code == 0
    (home.folder / ".vscode" / "mcp.json").unlink()
    assert "vscode: not found" in home.run("--list").output
    done = home.run(*arguments, "--remove")
    assert done.exit_code == 0 and done.output.count("deleted") == 2, done.output
    assert not (home.folder / ".roo" / "mcp.json").exists() and not list(
        (home.folder / ".github" / "hooks").glob("*.json")
    )


@pytest.mark.parametrize("url", ["postgresql://ann:secret@host/desk", "postgresql://host/desk?password=secret"])
def test_a_password_comes_into_no_command_line(home: Home, url: str):
    done = home.run("--yes", "--hooks", "--client", "cursor", "--database", url)
    assert done.exit_code == 1 and "would show the password in DATAMCP_DATABASE" in done.output
    assert not home.cursor.with_name("hooks.json").exists()


def test_hooks_that_go_through_uv_have_the_variables_that_it_needs_and_no_password(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(command, "_program", lambda: home.folder / "none")
    uvx = home.folder / "bin" / "uvx"
    uvx.write_text(f'#!/bin/sh\n[ -n "$SSL_CERT_FILE" ] || exit 1\n{SAYS_VERSION.replace("$1", "$2")}\nexit 0\n')
    uvx.chmod(0o755)
    monkeypatch.setenv("UV", str(uvx.with_name("uv")))
    monkeypatch.setenv("PATH", f"{uvx.parent}:/usr/bin:/bin")
    for name in starting._NETWORK:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/my certs/ca.pem")
    hooks = home.cursor.with_name("hooks.json")
    done = home.run("--yes", "--hooks", "--client", "cursor")
    assert done.exit_code == 0, done.output
    start = f"env 'SSL_CERT_FILE=/my certs/ca.pem' {uvx} data-mcp-server-agent hook stop --client cursor --agent cursor"
    assert start in commands_of(hooks) and "uv tool install data-mcp-server-agent" in done.output
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:secret@proxy:8080")
    refused = home.run("--yes", "--hooks", "--client", "codex")
    assert refused.exit_code == 1 and "would show the password in HTTPS_PROXY" in refused.output


def test_hooks_of_a_broken_file_are_left_alone_and_the_server_is_there(home: Home):
    hooks = home.cursor.with_name("hooks.json")
    hooks.write_text('{"hooks": [')
    done = home.run("--yes", "--hooks", "--client", "cursor")
    assert done.exit_code == 1 and "Cursor: left alone. It is no JSON" in done.output
    assert hooks.read_text() == '{"hooks": [' and "desk" in home.cursor.read_text()
    assert home.run("--remove", "--yes", "--client", "cursor").exit_code == 0, "none of ours can be in there"


@pytest.mark.slow
def test_what_is_written_really_starts_as_three_clients_would_start_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = Home(tmp_path, monkeypatch)
    home.install_program(f'exec env PYTHONPATH="{ROOT}" "{sys.executable}" -m mcp_server "$@"')
    (tmp_path / ".config" / "goose").mkdir(parents=True)
    done = home.run("--yes", "--database", f"sqlite:///{tmp_path}/desk.db")
    assert done.exit_code == 0, done.output
    assert done.output.count("started as it would be") == 3 and done.output.count("agents_find answered") == 3
    assert (tmp_path / "desk.db").exists()
    home.install_program(SAYS_VERSION, "echo it broke >&2; exit 3")
    failed = home.run("--yes", "--agent", "other")
    assert failed.exit_code == 1 and failed.output.count("It said: it broke") == 3
    assert "other" not in home.cursor.read_text() and "cursor" in home.cursor.read_text()


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_first_call_of_a_client_that_was_installed_claims_and_its_hooks_speak_as_the_same_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = Home(tmp_path, monkeypatch)
    home.install_program(f'exec env PYTHONPATH="{ROOT}" "{sys.executable}" -m mcp_server "$@"')
    arguments = ["--yes", "--hooks", "--client", "cursor", "--database", f"sqlite:///{tmp_path}/desk.db"]
    done = await to_thread.run_sync(lambda: home.run(*arguments))
    assert done.exit_code == 0 and "its first hook was run" in done.output, done.output
    entry = json.loads(home.cursor.read_text())["mcpServers"]["desk"]
    server = StdioServerParameters(command=entry["command"], args=entry["args"], env=entry["env"])
    async with Client(stdio_client(server)) as client:
        await client.call_tool("tasks_create", {"tasks": [{"title": "first"}]})
        claimed = (await client.call_tool("tasks_claim", {})).structured_content
    assert claimed is not None and claimed["claims"][0]["task"]["title"] == "first"
    assert claimed["spoken_by"] == "agent:cursor via user:local"
    (start,) = json.loads(home.cursor.with_name("hooks.json").read_text())["hooks"]["sessionStart"]
    hook = ["/bin/sh", "-c", start["command"]]
    told = subprocess.run(hook, input=b'{"conversation_id": "c"}', capture_output=True, timeout=60)
    context = json.loads(told.stdout)["additional_context"]
    assert "speaks as agent:cursor" in context and "1 task is leased to it" in context
