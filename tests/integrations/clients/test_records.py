"""Each client's record: where its file is on each platform, and what `install` writes there."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_server.config.model import PREFIX, Settings
from mcp_server.integrations.clients.changing import Wanted, found, installed, removed
from mcp_server.integrations.clients.entries import AGENT, DATABASE, Started, entry_of, is_ours, started_by
from mcp_server.integrations.clients.formats import changed, format_of
from mcp_server.integrations.clients.machine import place
from mcp_server.integrations.clients.records import BY_KEY, CLIENTS, Client
from mcp_server.kernel.errors import Conflict
from tests.integrations.clients.documents import machine

STARTED = Started(("/usr/bin/uvx", "data-mcp-server-agent"), {AGENT: "scribe"})
WANTED = Wanted(STARTED, keep_agent=True)
EMPTY = {"json": "{}", "jsonc": "// mine\n{}\n", "toml": "# mine\n", "yaml": "# mine\n", "yaml list": "name: mine\n"}
READ = {"toml": tomllib.loads, "json": json.loads}
each = pytest.mark.parametrize("client", CLIENTS, ids=[client.key for client in CLIENTS])


@each
def test_what_is_written_is_what_the_client_reads_and_goes_without_a_trace(client: Client):
    before = EMPTY[client.format].encode()
    change = installed(client, Path("file"), before, WANTED)
    assert change.after is not None and change.is_needed and any(line.startswith("+") for line in change.diff())
    name, entry = found(client, change.after)
    assert name == "desk" and entry is not None and started_by(client.shape, entry) == STARTED
    assert not installed(client, Path("file"), change.after, WANTED).is_needed, "nothing is done twice"
    assert removed(client, Path("file"), change.after, [before]).after == before
    new = installed(client, Path("file"), None, WANTED)
    for copies in ([], [new.after or b""]):
        assert removed(client, Path("file"), new.after, copies).after is None, "what was not there is deleted"


@each
def test_another_server_under_our_name_is_never_touched(client: Client):
    other = entry_of(client.shape, "desk", Started(("node", "desk.js"), {}))
    before = installed(client, Path("file"), None, WANTED)
    text = changed(format_of(client.format), (before.after or b"").decode(), client.path, "desk", other).encode()
    for change in (lambda: installed(client, Path("f"), text, WANTED), lambda: removed(client, Path("f"), text, [])):
        with pytest.raises(Conflict, match=r"another server\. Rename"):
            change()


@each
def test_what_a_person_added_to_our_entry_stays(client: Client):
    shape = client.shape
    mine = entry_of(
        shape, "mine", Started(("uv", "run", "data-mcp-server-agent", "--read-only"), {AGENT: "ann", "X": "y"})
    )
    text = changed(format_of(client.format), "", client.path, "mine", {**mine, "timeout": 5}).encode()
    change = installed(client, Path("file"), text, WANTED)
    started = Started((*STARTED.argv, "--read-only"), {AGENT: "ann", "X": "y"})
    assert change.entry is not None and change.name == "mine"
    assert started_by(shape, change.entry) == started and change.entry["timeout"] == 5
    named = installed(client, Path("file"), text, Wanted(STARTED, keep_agent=False))
    assert named.entry is not None and started_by(shape, named.entry).env[AGENT] == "scribe"


def test_a_diff_shows_the_whole_server_and_nothing_that_acts_on_a_terminal():
    text = json.dumps({"long": "\x1b[31m" + "x" * 1000, "hidden\u202e": 1}, ensure_ascii=False).encode()
    lines = installed(BY_KEY["cursor"], Path("file"), text, WANTED).diff()
    assert (
        lines[-1] == f"of which the server: {json.dumps({'desk': entry_of(BY_KEY['cursor'].shape, 'desk', STARTED)})}"
    )
    assert all(line.isprintable() and len(line) <= 400 for line in lines)


HOMES = {
    ("claude-code", "linux"): ".claude.json",
    ("claude-code", "darwin"): ".claude.json",
    ("claude-code", "win32"): ".claude.json",
    ("claude-desktop", "linux"): ".config/Claude/claude_desktop_config.json",
    ("claude-desktop", "darwin"): "Library/Application Support/Claude/claude_desktop_config.json",
    ("claude-desktop", "win32"): "AppData/Roaming/Claude/claude_desktop_config.json",
    ("cursor", "win32"): ".cursor/mcp.json",
    ("vscode", "linux"): ".config/Code/User/mcp.json",
    ("vscode", "darwin"): "Library/Application Support/Code/User/mcp.json",
    ("vscode", "win32"): "AppData/Roaming/Code/User/mcp.json",
    ("windsurf", "darwin"): ".codeium/windsurf/mcp_config.json",
    ("gemini-cli", "linux"): ".gemini/settings.json",
    ("codex", "linux"): ".codex/config.toml",
    ("zed", "darwin"): ".config/zed/settings.json",
    ("opencode", "linux"): ".config/opencode/opencode.json",
    ("cline", "linux"): ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
    ("cline-cli", "linux"): ".cline/mcp.json",
    ("roo", "win32"): ("AppData/Roaming/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json"),
    ("continue", "linux"): ".continue/config.yaml",
    ("copilot-cli", "linux"): ".copilot/mcp-config.json",
    ("goose", "linux"): ".config/goose/config.yaml",
    ("goose", "win32"): "AppData/Roaming/Block/goose/config/config.yaml",
    ("junie", "linux"): ".junie/mcp/mcp.json",
    ("amp", "win32"): ".config/amp/settings.json",
}


@pytest.mark.parametrize(("key", "platform"), HOMES, ids=str)
def test_each_file_is_where_the_client_looks_on_that_platform(tmp_path: Path, key: str, platform: str):
    here = machine(tmp_path, platform)
    assert place(here, BY_KEY[key].files(here)[0]) == tmp_path / HOMES[key, platform]


def test_every_client_has_a_place_that_is_checked():
    assert {client.key for client in CLIENTS} == {key for key, _ in HOMES}


@pytest.mark.parametrize(
    ("key", "platform", "variable", "file"),
    [
        ("vscode", "linux", "XDG_CONFIG_HOME", "Code/User/mcp.json"),
        ("vscode", "win32", "APPDATA", "Code/User/mcp.json"),
        ("goose", "win32", "APPDATA", "Block/goose/config/config.yaml"),
        ("codex", "darwin", "CODEX_HOME", "config.toml"),
        ("copilot-cli", "linux", "COPILOT_HOME", "mcp-config.json"),
        ("claude-code", "linux", "CLAUDE_CONFIG_DIR", ".claude.json"),
    ],
)
def test_a_variable_that_moves_the_file_is_followed_if_it_holds_a_whole_path(
    tmp_path: Path, key: str, platform: str, variable: str, file: str
):
    moved = machine(tmp_path, platform, **{variable: str(tmp_path / "moved")})
    assert place(moved, BY_KEY[key].files(moved)[0]) == tmp_path / "moved" / file
    relative = machine(tmp_path, platform, **{variable: "moved"})
    assert place(relative, BY_KEY[key].files(relative)[0]) == place(
        machine(tmp_path, platform), BY_KEY[key].user[0]
    ) or (platform == "win32")


@each
def test_the_page_on_clients_says_what_the_record_does(client: Client):
    text = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{client.key}`")]
    _, _, _, project, where, _ = (cell.strip() for cell in row.split("|"))
    assert project == ("" if client.project is None else f"`{client.project.removeprefix('{project}/')}`")
    assert client.path[0] in where and Path(client.user[0]).name in row


def test_zed_on_windows_is_left_out():
    assert BY_KEY["zed"].files(machine(Path("/home"), "win32")) == ()


@each
def test_a_client_is_found_by_its_files_or_its_commands(client: Client, tmp_path: Path):
    assert not client.is_on(machine(tmp_path))
    for command in client.commands:
        assert client.is_on(machine(tmp_path, which={command: "/bin/it"}))
    for sign in (client.user[0], *client.signs):
        home = tmp_path / f"home{len(sign)}"
        here = machine(home)
        place(here, sign).mkdir(parents=True)
        assert client.is_on(here)


def test_the_entries_are_those_of_the_clients_pages():
    env = {AGENT: "scribe"}
    plain: dict[str, Any] = {"command": "uvx", "args": ["data-mcp-server-agent"], "env": env}

    def entry(key: str) -> dict[str, Any]:
        return entry_of(BY_KEY[key].shape, "desk", Started(("uvx", "data-mcp-server-agent"), env))

    for key in (
        "claude-desktop",
        "cursor",
        "windsurf",
        "gemini-cli",
        "zed",
        "cline",
        "cline-cli",
        "roo",
        "junie",
        "amp",
    ):
        assert entry(key) == plain
    assert entry("claude-code") == entry("vscode") == {"type": "stdio", **plain}
    assert entry("codex") == {"startup_timeout_sec": 30, "tool_timeout_sec": 300, **plain}
    assert entry("copilot-cli") == {"type": "local", "tools": ["*"], **plain}
    assert entry("continue") == {"name": "desk", "type": "stdio", **plain}
    words = ["uvx", "data-mcp-server-agent"]
    assert entry("opencode") == {"type": "local", "enabled": True, "command": words, "environment": env}
    goose = {
        "name": "desk",
        "type": "stdio",
        "enabled": True,
        "timeout": 300,
        "cmd": "uvx",
        "args": words[1:],
        "envs": env,
    }
    assert entry("goose") == goose


def test_servers_stand_where_each_client_looks_for_them():
    paths = {client.key: ".".join(client.path) for client in CLIENTS if client.path != ("mcpServers",)}
    assert paths == {
        "vscode": "servers",
        "codex": "mcp_servers",
        "zed": "context_servers",
        "opencode": "mcp",
        "goose": "extensions",
        "amp": "amp.mcpServers",
    }
    written = {client.key: installed(client, Path("f"), None, WANTED).after or b"" for client in CLIENTS}
    assert json.loads(written["amp"])["amp.mcpServers"]["desk"]
    assert yaml.safe_load(written["continue"])["mcpServers"][0]["name"] == "desk"
    assert tomllib.loads(written["codex"].decode())["mcp_servers"]["desk"]["env"] == {AGENT: "scribe"}


@pytest.mark.parametrize(
    ("argv", "ours"),
    [
        (["uvx", "data-mcp-server-agent"], True),
        (["uvx", "data-mcp-server-agent@1.2", "--read-only"], True),
        (["uvx", "--from", "data-mcp-server-agent[postgres]", "data-mcp-server-agent"], True),
        (["uvx", "--from", "data-mcp-server-agent", "other"], False),
        (["/home/me/.venv/bin/data-mcp-server-agent"], True),
        (["C:\\Tools\\data-mcp-server-agent.exe", "serve"], True),
        (["python", "-m", "mcp_server"], True),
        (["mcp_server"], False),
        (["uv", "run", "--directory", "/src/data-mcp-server-agent-fork", "other"], False),
        ([], False),
    ],
)
def test_a_server_is_ours_by_what_it_starts(argv: list[str], ours: bool):
    assert is_ours(BY_KEY["cursor"].shape, {"command": argv[0] if argv else None, "args": argv[1:]}) is ours
    assert is_ours(BY_KEY["opencode"].shape, {"command": argv}) is ours
    assert not is_ours(BY_KEY["cursor"].shape, {"url": "https://example.org/data-mcp-server-agent"})


def test_the_variables_are_settings_of_the_server():
    assert {name.removeprefix(PREFIX).lower() for name in (AGENT, DATABASE)} <= set(Settings.model_fields)
