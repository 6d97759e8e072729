"""The clients, as data: how each is found, which file it reads, and what an entry looks like there.

To add one, add a record; docs/clients.md holds the sources. What no vendor's page says stays out.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from mcp_server.integrations.clients.machine import Machine, is_there, place


class Shape(NamedTuple):
    """How an entry says a command.

    Attributes:
        command: where the program stands.
        args: where its arguments stand; None: behind the program, in one list.
        env: where its variables stand.
        named: where the entry says its own name, if it does.
        fixed: what else a new entry says.
    """

    command: str = "command"
    args: str | None = "args"
    env: str = "env"
    named: str | None = None
    fixed: Mapping[str, Any] = MappingProxyType({})

    def called(self, name: str) -> dict[str, Any]:
        """What says an entry's own name."""
        return {} if self.named is None else {self.named: name}

    def saying(self, argv: Sequence[str]) -> dict[str, Any]:
        """What says a command."""
        if self.args is None:
            return {self.command: list(argv)}
        return {self.command: argv[0], self.args: list(argv[1:])}


class Client(NamedTuple):
    """A client.

    Attributes:
        key: its name on the command line, and the agent's, if no other is given.
        title: as people call it.
        format: of its file: one of `formats.FORMATS`.
        path: of keys to where its servers stand.
        user: its files for all projects; the first that exists counts, or the first.
        project: its file in a project, if it has one.
        signs: further files and folders that tell that it is there.
        commands: that tell so.
        shape: of an entry.
        sees_path: whether it finds commands as a shell does; what has windows is often started without.
        then: what a person does so that the change counts.
        elsewhere: its files for all projects on platforms where they are others; none: not known there.
    """

    key: str
    title: str
    format: str
    path: tuple[str, ...]
    user: tuple[str, ...]
    project: str | None = None
    signs: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    shape: Shape = Shape()
    sees_path: bool = False
    then: str = "Start it anew."
    elsewhere: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def files(self, machine: Machine) -> tuple[str, ...]:
        """Its files for all projects on a platform."""
        return self.elsewhere.get(machine.platform, self.user)

    @property
    def in_project(self) -> tuple[str, ...]:
        """Its file in a project."""
        return () if self.project is None else (self.project,)

    def is_on(self, machine: Machine) -> bool:
        """Whether the machine has it."""
        places = (place(machine, sign) for sign in (*self.files(machine), *self.signs))
        return any(map(is_there, places)) or any(map(machine.which, self.commands))


def _fixed(**fixed: Any) -> Mapping[str, Any]:
    return MappingProxyType(fixed)


TYPED = Shape(fixed=_fixed(type="stdio"))
SERVERS = ("mcpServers",)

CLIENTS = (
    Client(
        "claude-code",
        "Claude Code",
        "json",
        SERVERS,
        ("{claude}/.claude.json",),
        "{project}/.mcp.json",
        signs=("{home}/.claude",),
        commands=("claude",),
        shape=TYPED,
        sees_path=True,
        then="Start a new session; a project's server is approved there once.",
    ),
    Client(
        "claude-desktop",
        "Claude Desktop",
        "json",
        SERVERS,
        ("{apps}/Claude/claude_desktop_config.json",),
        signs=("{apps}/Claude",),
        then="Quit it fully, and start it anew.",
    ),
    Client(
        "cursor",
        "Cursor",
        "jsonc",
        SERVERS,
        ("{home}/.cursor/mcp.json",),
        "{project}/.cursor/mcp.json",
        signs=("{home}/.cursor",),
        commands=("cursor", "cursor-agent"),
        then="Switch the server on in Cursor's settings, or start it anew.",
    ),
    Client(
        "vscode",
        "VS Code",
        "jsonc",
        ("servers",),
        ("{code}/mcp.json",),
        "{project}/.vscode/mcp.json",
        signs=("{code}",),
        commands=("code",),
        shape=TYPED,
        then="Start the server in VS Code (MCP: List Servers), and trust it once.",
    ),
    Client(
        "windsurf",
        "Windsurf",
        "jsonc",
        SERVERS,
        ("{home}/.codeium/windsurf/mcp_config.json",),
        signs=("{home}/.codeium/windsurf",),
        commands=("windsurf",),
        then="Press Refresh among its MCP servers, or start it anew.",
    ),
    Client(
        "gemini-cli",
        "Gemini CLI",
        "jsonc",
        SERVERS,
        ("{home}/.gemini/settings.json",),
        "{project}/.gemini/settings.json",
        signs=("{home}/.gemini",),
        commands=("gemini",),
        sees_path=True,
        then="Start a new session in a trusted folder; /mcp list says whether it connected.",
    ),
    Client(
        "codex",
        "Codex",
        "toml",
        ("mcp_servers",),
        ("{codex}/config.toml",),
        "{project}/.codex/config.toml",
        signs=("{codex}",),
        commands=("codex",),
        shape=Shape(fixed=_fixed(startup_timeout_sec=30, tool_timeout_sec=300)),
        then="Start a new session; a project's file counts in trusted projects only.",
    ),
    Client(
        "zed",
        "Zed",
        "jsonc",
        ("context_servers",),
        ("{config}/zed/settings.json",),
        signs=("{config}/zed",),
        commands=("zed", "zeditor"),
        elsewhere=MappingProxyType({"win32": ()}),
        then="It reads its settings at once.",
    ),
    Client(
        "opencode",
        "opencode",
        "jsonc",
        ("mcp",),
        ("{config}/opencode/opencode.json", "{config}/opencode/opencode.jsonc"),
        "{project}/opencode.json",
        signs=("{config}/opencode",),
        commands=("opencode",),
        shape=Shape(args=None, env="environment", fixed=_fixed(type="local", enabled=True)),
        sees_path=True,
    ),
    Client(
        "cline",
        "Cline in VS Code",
        "jsonc",
        SERVERS,
        ("{code}/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",),
        signs=("{code}/globalStorage/saoudrizwan.claude-dev",),
    ),
    Client(
        "cline-cli",
        "Cline CLI",
        "jsonc",
        SERVERS,
        ("{home}/.cline/mcp.json",),
        signs=("{home}/.cline",),
        commands=("cline",),
        sees_path=True,
    ),
    Client(
        "roo",
        "Roo Code",
        "jsonc",
        SERVERS,
        ("{code}/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json",),
        "{project}/.roo/mcp.json",
        signs=("{code}/globalStorage/rooveterinaryinc.roo-cline",),
    ),
    Client(
        "continue",
        "Continue",
        "yaml list",
        SERVERS,
        ("{home}/.continue/config.yaml",),
        signs=("{home}/.continue",),
        commands=("cn",),
        shape=Shape(named="name", fixed=_fixed(type="stdio")),
        then="Its servers work in agent mode only.",
    ),
    Client(
        "copilot-cli",
        "GitHub Copilot CLI",
        "json",
        SERVERS,
        ("{copilot}/mcp-config.json",),
        signs=("{copilot}",),
        commands=("copilot",),
        shape=Shape(fixed=_fixed(type="local", tools=["*"])),
        sees_path=True,
    ),
    Client(
        "goose",
        "Goose",
        "yaml",
        ("extensions",),
        ("{config}/goose/config.yaml",),
        signs=("{config}/goose",),
        commands=("goose",),
        shape=Shape("cmd", "args", "envs", "name", _fixed(type="stdio", enabled=True, timeout=300)),
        elsewhere=MappingProxyType({"win32": ("{apps}/Block/goose/config/config.yaml",)}),
    ),
    Client(
        "junie",
        "JetBrains Junie",
        "jsonc",
        SERVERS,
        ("{home}/.junie/mcp/mcp.json",),
        "{project}/.junie/mcp/mcp.json",
        signs=("{home}/.junie",),
    ),
    Client(
        "amp",
        "Amp",
        "jsonc",
        ("amp.mcpServers",),
        ("{config}/amp/settings.json", "{config}/amp/settings.jsonc"),
        "{project}/.amp/settings.json",
        signs=("{config}/amp",),
        commands=("amp",),
        sees_path=True,
        then="Start a new session; a project's server is approved there once.",
    ),
)
"""Every client that is known well enough."""

BY_KEY = {client.key: client for client in CLIENTS}
