"""Everything that can be set.

To add a setting, add a field here, with a description and, outside of sections, a group. A section is a field whose
type is a model: its words begin with its name (`smtp.host` is `smtp_host`). A field of type `dict[str, Model]` holds
named things, such as `[launchers.build]`; these come from the TOML file alone.
"""

import contextlib
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, SecretStr, Tag

from mcp_server.config.calling import CallSettings, TurnSettings
from mcp_server.config.issuers import IssuerSettings, Names
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.schemas import NAME, with_schema
from mcp_server.kernel.values import Frozen

PREFIX = "DATAMCP_"
"""What the name of every environment variable begins with."""


class Group(Enum):
    """Which commands a setting is for; the value is its heading in their help."""

    STORE = "Database and log"
    IDENTITY = "Who calls"
    SERVING = "Serving"
    MAIL = "Mail and links"
    RETENTION = "Retention"
    DEPLOYING = "Deployments"
    CALLS = "Calls"


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Port = Annotated[int, Field(ge=1, le=65535)]
FreePort = Annotated[int, Field(ge=0, le=65535)]
Days = Annotated[float, Field(gt=0, le=36_500)]


def kind_of(thing: Any) -> Any:
    """Which of several models a named thing is of; where it does not say, the first."""
    return (
        cast("dict[str, Any]", thing).get("kind", "command") if isinstance(thing, dict) else getattr(thing, "kind", "")
    )


class LogSettings(Frozen):
    """The log on stderr."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="Least severity that is logged"
    )
    format: Literal["json", "console"] = Field(default="json", description="Form of the log on stderr")


class EmailSettings(Frozen):
    """Who sends, and what may be sent."""

    provider: Literal["file", "smtp", "sendgrid"] = Field(default="file", description="What sends mail")
    sender: str | None = Field(default=None, alias="from", description="Sender of every mail; smtp, sendgrid need it")
    allow: Names = Field(default=(), description="Recipients, such as *@example.org, comma-separated")
    approvers: Names = Field(default=(), description="Who is asked about mails to anybody else, comma-separated")
    per_hour: int | None = Field(default=None, ge=1, description="Recipients of mails within an hour at most")
    outbox: Path | None = Field(
        default=None, description="Folder of provider file; unsaid, it lies beside the database"
    )


class SmtpSettings(Frozen):
    """The server of provider `smtp`."""

    host: str | None = Field(default=None, description="Server of provider smtp")
    port: Port | None = Field(
        default=None, description="Its port; unsaid, the usual one: 587, 465 with tls, 25 with none"
    )
    tls: Literal["none", "starttls", "tls"] = Field(default="starttls", description="How the connection is encrypted")
    username: str | None = Field(default=None, description="Name to log in with")
    password: SecretStr | None = Field(default=None, description="Password to log in with")
    password_file: Path | None = Field(default=None, description="File that holds the password")


class SendGridSettings(Frozen):
    """The account of provider `sendgrid`."""

    api_key: SecretStr | None = Field(default=None, description="Key with the right to send mail")
    api_key_file: Path | None = Field(default=None, description="File that holds the key")
    base_url: str = Field(default="https://api.sendgrid.com", description="Where SendGrid's API is")
    webhook_key: str | None = Field(default=None, description="Verification key of the signed event webhook")


class LauncherLimits(Frozen):
    """What one instance may use."""

    memory_mb: int | None = Field(default=None, ge=1, description="Resident memory, of it and its children")
    cpu_seconds: int | None = Field(default=None, ge=1, description="Processor time")
    open_files: int | None = Field(default=None, ge=8, description="Files and sockets at once")


class LauncherArgument(Frozen):
    """What a launcher leaves open, and what may stand there."""

    type: Literal["text", "int", "choice"] = Field(default="text", description="Of its values")
    pattern: str | None = Field(default=None, description="What the whole of a text must match")
    minimum: int = Field(default=0, description="Of a number")
    maximum: int = Field(default=2**31, description="Of a number")
    choices: tuple[str, ...] = Field(default=(), description="Of a choice")
    default: str | int | None = Field(default=None, description="Where nothing is given")


class LimitSettings(Frozen):
    """What one caller may have and do (docs/http.md)."""

    streams: int = Field(default=256, ge=1, description="Subscription streams of one caller")
    uris: int = Field(default=10_000, ge=1, description="Resources that the streams of one caller watch together")
    uris_per_stream: int = Field(default=1000, ge=1, description="Resources that one stream watches")
    waits: int = Field(default=128, ge=1, description="Calls of one caller that wait for something to happen")
    sessions: int = Field(default=500, ge=1, description="Sessions over HTTP of one caller (eras before 2026)")
    calls: int = Field(default=256, ge=2, description="Calls of one caller under way, and requests on the way")
    writes_per_second: float = Field(default=2000, gt=0, description="Writes of one key in the long run")
    writes_burst: int = Field(default=10_000, ge=1, description="Writes of one key at once")
    body_mb: int = Field(default=16, ge=4, description="MiB of requests over HTTP of one caller that are under way")


class KeptSettings(Frozen):
    """A command that is kept running."""

    argv: tuple[str, ...] = Field(min_length=1, description="Program and arguments; {name} is filled in")
    cwd: Path | None = Field(default=None, description="Folder to run in")
    env: dict[str, str] = Field(default={}, description="Variables: text, env:NAME or file:PATH")
    limits: LauncherLimits = LauncherLimits()
    stop_signal: Literal["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] = Field(
        default="SIGTERM", description="By which it is asked to end"
    )
    grace_seconds: float = Field(default=10, ge=0, le=86_400, description="How long it may take to end")
    arguments: dict[str, LauncherArgument] = Field(default={}, description="What may be filled in")


class LauncherSettings(KeptSettings):
    """A command that runs as an instance of agents (docs/launchers.md)."""

    max_instances: int = Field(default=16, ge=1, le=1000, description="How many an agent may have")
    share_database: bool = Field(default=False, description="Whether DATAMCP_DATABASE names this server's database")


class ProcessSettings(KeptSettings):
    """A program that runs as the replicas of a service (docs/deployments.md)."""

    kind: Literal["process"] = Field(description="Of the target")
    secrets: Names = Field(default=(), description="Variables in which a deployment may hand over secrets")
    listen: str = Field(default="127.0.0.1", description="Address at which services are reached")
    ports: tuple[Port, Port] = Field(default=(20_000, 29_999), description="First and last port that is given out")
    health: str | None = Field(default=None, pattern=r"^/[^\s#]*$", description="Path that answers 200 where it works")
    health_command: tuple[str, ...] = Field(default=(), description="What says it instead, with its exit code")
    max_replicas: int = Field(default=16, ge=1, le=100, description="How many a service may have")
    start_seconds: float = Field(default=60, gt=0, le=3600, description="How long a replica may take until it works")
    drain_seconds: float = Field(default=30, ge=0, le=3600, description="How long what is under way may take")


Argv = Annotated[tuple[str, ...], Field(min_length=1, max_length=200)]
"""A command and its arguments; no shell reads it."""


class CommandSettings(Frozen):
    """Commands that deploy, as the operator declares them (docs/deployments.md)."""

    kind: Literal["command"] = Field(default="command", description="Of the target")
    build: Argv | None = Field(default=None, description="Makes what is deployed")
    plan: Argv | None = Field(default=None, description="Says what apply would do; touches nothing")
    apply: Argv = Field(description="Deploys")
    check: Argv | None = Field(default=None, description="Says with its exit code whether it works")
    promote: Argv | None = Field(default=None, description="Makes what was checked the one that is used")
    rollback: Argv | None = Field(default=None, description="Goes back to what was live")
    destroy: Argv | None = Field(default=None, description="Removes it")
    stop: Argv | None = Field(default=None, description="Stops it")
    start: Argv | None = Field(default=None, description="Starts what was stopped")
    status: Argv | None = Field(default=None, description="Says what is there; equal as long as nothing has moved")
    logs: Argv | None = Field(default=None, description="Prints the end of its log")
    cwd: Path | None = Field(default=None, description="Folder to run in")
    env: dict[str, str] = Field(default_factory=dict, description="Variables: values, or env:NAME and file:/path")
    arguments: dict[str, str] = Field(
        default_factory=dict, description="What a service may fill in, each with its pattern"
    )
    secrets: Names = Field(default=(), description="Variables in which a deployment may hand over secrets")
    timeout_seconds: float = Field(default=1800, gt=0, le=7000, description="How long one command may take")


TargetSettings = Annotated[
    Annotated[CommandSettings, Tag("command")] | Annotated[ProcessSettings, Tag("process")],
    Discriminator(kind_of, "kind", "its kind is 'command' or 'process'"),
]
"""A target that the operator declares."""


class ApproveSettings(Frozen):
    """Which calls wait for whose approval; patterns as file names have them (docs/rules.md)."""

    tool: str = Field(default="deployments_*", min_length=1, description="Tools, as a pattern")
    target: str = Field(default="*", description="Targets of deployments, as a pattern")
    environment: str = Field(default="*", description="Environments of deployments, as a pattern")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="By name or dotted path: a value, several, or {glob = ...}, {over = 10}"
    )
    speakers: Names = Field(default=(), description="Whose calls, as patterns: agent:scribe, user:*; unsaid, all")
    approvers: Names = Field(
        default=(), max_length=20, description="User names or addresses; none: anyone who may decide"
    )
    quorum: Literal["any", "all"] | int = Field(default="any", description="How many must approve")
    expires_in_seconds: float = Field(default=86_400, ge=1, le=90 * 86_400, description="How long the question is open")


class SupervisorSettings(Frozen):
    """What runs the instances."""

    folder: Path | None = Field(default=None, description="For logs of instances; unsaid, beside the database")
    log_kb: int = Field(default=1024, ge=1, le=1_048_576, description="Size at which a log is cut")


class WorkersSettings(Frozen):
    """Where Workers come from, for the targets `workerd` and `cloudflare`."""

    folders: Names = Field(default=(), description="Folders whose projects may be deployed, comma-separated")
    workerd: Path | None = Field(default=None, description="Cloudflare's runtime; unsaid, npm's or the one on PATH")
    esbuild: Path | None = Field(default=None, description="The bundler; unsaid, npm's or the one on PATH")


class CloudflareSettings(Frozen):
    """The account of the target `cloudflare`."""

    api_token: SecretStr | None = Field(default=None, description="Token with the right to edit Workers and KV")
    api_token_file: Path | None = Field(default=None, description="File that holds the token")
    account_id: str | None = Field(default=None, pattern=r"^[0-9A-Za-z]{1,64}$", description="Whose Workers they are")
    base_url: str = Field(default="https://api.cloudflare.com/client/v4", description="Where Cloudflare's API is")
    dev_url: str = Field(
        default="https://{name}.{subdomain}.workers.dev", description="Where a Worker answers that has no domain"
    )


class MirrorSettings(Frozen):
    """A namespace of state that is kept alike with one of Cloudflare KV."""

    kv: str = Field(min_length=1, max_length=512, description="Title or id of the KV namespace")


class Settings(Frozen):
    """Everything that can be set."""

    config: Annotated[Path | None, Group.STORE] = Field(
        default=None, description="TOML file with any of these settings"
    )
    database: Annotated[str, Group.STORE] = Field(
        default="", description="sqlite:///path or postgresql://...; unsaid, a file in the user data folder"
    )
    database_schema: Annotated[str | None, Group.STORE] = Field(
        default=None, pattern=NAME, description="Schema of a PostgreSQL database to keep the desk in; unsaid, datamcp"
    )
    allow_unsafe_sqlite: Annotated[bool, Group.STORE] = Field(
        default=False, description="Use a SQLite that can corrupt shared files"
    )
    log: Annotated[LogSettings, Group.STORE] = LogSettings()
    user: Annotated[str, Group.IDENTITY] = Field(
        default="local", pattern=r"^[^\s:]{1,64}$", description="Who the caller is on stdio"
    )
    agent: Annotated[str | None, Group.SERVING] = Field(
        default=None, description="Name of the agent that speaks where a call does not say"
    )
    role: Annotated[Role, Group.IDENTITY] = Field(default=Role.ADMIN, description="What the caller may do at most")
    transport: Annotated[Literal["stdio", "http", "sse"], Group.SERVING] = Field(
        default="stdio", description="How clients reach the server"
    )
    host: Annotated[str, Group.SERVING] = Field(default="127.0.0.1", description="Address to listen on")
    port: Annotated[FreePort, Group.SERVING] = Field(default=8765, description="TCP port to listen on")
    allowed_hosts: Annotated[Names, Group.SERVING] = Field(
        default=(), description="Further Host header values to accept, comma-separated"
    )
    tokens_file: Annotated[Path | None, Group.SERVING] = Field(
        default=None, description="TOML file with bearer tokens for HTTP (docs/http.md)"
    )
    issuers: Annotated[dict[str, IssuerSettings], Group.SERVING] = Field(
        default_factory=dict, description="Whose JSON Web Tokens are taken over HTTP, by name (docs/http.md)"
    )
    read_only: Annotated[bool, Group.SERVING] = Field(default=False, description="Offer only tools that change nothing")
    toolsets: Annotated[Names | None, Group.SERVING] = Field(
        default=None,
        description="Only these toolsets, comma-separated: agents, tasks, state, deployments, communication, system",
    )
    exclude_tools: Annotated[Names, Group.SERVING] = Field(default=(), description="Not these tools, comma-separated")
    console_port: Annotated[Port | None, Group.MAIL] = Field(
        default=None, description="On stdio, serve the page for approvals on this loopback port"
    )
    channel: Annotated[bool, Group.SERVING] = Field(
        default=False, description="On stdio, be a channel of Claude Code: tell a session what came (docs/wake.md)"
    )
    metrics_port: Annotated[FreePort | None, Group.SERVING] = Field(
        default=None, description="Serve Prometheus metrics on this loopback port"
    )
    public_url: Annotated[str | None, Group.MAIL] = Field(
        default=None, description="Under which people reach this server's pages; links in mails begin with it"
    )
    email: Annotated[EmailSettings, Group.MAIL] = EmailSettings()
    smtp: Annotated[SmtpSettings, Group.MAIL] = SmtpSettings()
    sendgrid: Annotated[SendGridSettings, Group.MAIL] = SendGridSettings()
    limits: Annotated[LimitSettings, Group.SERVING] = LimitSettings()
    launchers: Annotated[dict[str, LauncherSettings], Group.SERVING] = Field(
        default={}, description="Commands that run as instances of agents"
    )
    supervisor: Annotated[SupervisorSettings, Group.SERVING] = SupervisorSettings()
    retention_days: Annotated[Days, Group.RETENTION] = Field(
        default=30.0, description="Days until finished tasks leave the hot tables"
    )
    event_retention_days: Annotated[Days, Group.RETENTION] = Field(
        default=90.0, description="Days until old events are replaced by snapshots"
    )

    deployment_secrets: Annotated[Names, Group.DEPLOYING] = Field(
        default=(), description="References that any deployment may name, such as env:APP_*, comma-separated"
    )
    deployments_max_replicas: Annotated[int, Group.DEPLOYING] = Field(
        default=64, ge=1, le=10_000, description="Replicas and Workers that one caller's deployments may have here"
    )
    deployments_folder: Annotated[Path | None, Group.DEPLOYING] = Field(
        default=None, description="Folder of what deployments make; unsaid, it lies beside the database"
    )
    workers: Annotated[WorkersSettings, Group.DEPLOYING] = WorkersSettings()
    cloudflare: Annotated[CloudflareSettings, Group.DEPLOYING] = CloudflareSettings()
    mirrors: Annotated[dict[str, MirrorSettings], Group.DEPLOYING] = Field(
        default_factory=dict, description="Namespaces of state kept alike with Cloudflare KV, by name"
    )
    targets: Annotated[dict[str, TargetSettings], Group.DEPLOYING] = Field(
        default_factory=dict, description="Commands that deploy, and programs that are kept running, by name"
    )
    calls: Annotated[CallSettings, Group.CALLS] = CallSettings()
    stun_servers: Annotated[Names, Group.CALLS] = Field(
        default=(), description="STUN servers, such as stun:stun.example.org, comma-separated; none are asked else"
    )
    turn: Annotated[TurnSettings, Group.CALLS] = TurnSettings()
    approve: Annotated[tuple[ApproveSettings, ...], Group.DEPLOYING] = Field(
        default=(), description="Which calls wait for whose approval"
    )

    @property
    def database_url(self) -> str:
        """The database in use, with the schema of it that was named."""
        return with_schema(self.database or f"sqlite:///{default_database()}", self.database_schema)


def default_database() -> Path:
    """`desk.db` in the platform's folder for user data.

    Raises:
        ValidationFailed: this user has none.
    """
    import platformdirs

    path: Path | None = None
    with contextlib.suppress(RuntimeError, KeyError, OSError):
        path = Path(platformdirs.user_data_dir("data-mcp-server-agent", appauthor=False)) / "desk.db"
    if path is None or not path.is_absolute():  # else it would lie wherever the server happens to be started
        raise ValidationFailed(
            "This user has no home directory, so there is no place for the database that everybody knows.",
            next="Name one with --database sqlite:////absolute/path/desk.db (DATAMCP_DATABASE), or set HOME.",
        )
    return path


def secret(value: SecretStr | None, file: Path | None, name: str) -> str | None:
    """A secret from the environment or a file, never from a flag.

    Raises:
        ValidationFailed: the file cannot be read, or is empty.
    """
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    todo = "Correct the setting, or the file."
    try:
        text = file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationFailed(f"{PREFIX}{name}_FILE, {file}, cannot be read: {error}.", next=todo) from None
    if not text:
        raise ValidationFailed(f"{PREFIX}{name}_FILE, {file}, is empty.", next=todo)
    return text
