"""Settings: flags, then environment (`DATAMCP_*`), then a TOML file (`DATAMCP_CONFIG`); read once at start."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from mcp_server.domain.errors import ValidationFailed
from mcp_server.domain.users import Role

PREFIX = "DATAMCP_"
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Everything that can be set. Flags of `serve` and keys of the TOML file use the same words."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", env_ignore_empty=True, frozen=True)

    config: Path | None = Field(default=None, description="TOML file with any of these settings")
    database: str = Field(default="", description="sqlite:///path or postgresql://...; default: the user data folder")
    allow_unsafe_sqlite: bool = Field(default=False, description="Use a SQLite that can corrupt shared files")
    transport: Literal["stdio", "http", "sse"] = "stdio"
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    allowed_hosts: Names = Field(default=(), description="Further Host header values to accept, comma-separated")
    tokens_file: Path | None = Field(default=None, description="TOML file with bearer tokens for HTTP")
    user: str = Field(default="local", description="Who the caller is on stdio")
    role: Role = Role.ADMIN
    read_only: bool = False
    toolsets: Names | None = Field(default=None, description="Only these toolsets, comma-separated")
    exclude_tools: Names = Field(default=(), description="Not these tools, comma-separated")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    public_url: str | None = Field(default=None, description="Under which people reach this server's pages")
    console_port: int | None = Field(default=None, ge=1, le=65535, description="Serve the approval page on loopback")
    email_provider: Literal["file", "smtp", "sendgrid"] = "file"
    email_from: str | None = Field(default=None, description="Sender of every mail; smtp and sendgrid need it")
    email_allow: Names = Field(default=(), description="Recipients, such as *@example.org, comma-separated")
    email_approvers: Names = Field(default=(), description="Who is asked about mails to anybody else")
    email_per_hour: int | None = Field(default=None, ge=1)
    email_outbox: Path | None = Field(default=None, description="Folder of provider file; default: beside the database")
    smtp_host: str | None = None
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    smtp_tls: Literal["none", "starttls", "tls"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_password_file: Path | None = None
    sendgrid_api_key: SecretStr | None = None
    sendgrid_api_key_file: Path | None = None
    sendgrid_base_url: str = "https://api.sendgrid.com"
    sendgrid_webhook_key: str | None = Field(default=None, description="Verification key of the signed event webhook")
    retention_days: float = Field(
        default=30.0, gt=0, le=36_500, description="Days until finished tasks leave the hot tables"
    )
    event_retention_days: float = Field(
        default=90.0, gt=0, le=36_500, description="Days until old events are replaced by snapshots"
    )
    metrics_port: int | None = Field(default=None, ge=0, le=65535, description="Serve Prometheus metrics on loopback")

    @field_validator("toolsets", "exclude_tools", "allowed_hosts", "email_allow", "email_approvers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before environment; the TOML file is merged by `load_settings`, which knows where it is."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @property
    def database_url(self) -> str:
        """The database in use."""
        return self.database or f"sqlite:///{default_database()}"


def secret(value: SecretStr | None, file: Path | None, name: str) -> str | None:
    """A secret from the environment or a file, never from a flag.

    Raises:
        ValidationFailed: the file cannot be read, or is empty.
    """
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationFailed(f"{PREFIX}{name}_FILE, {file}, cannot be read: {error}.") from None
    if not text:
        raise ValidationFailed(f"{PREFIX}{name}_FILE, {file}, is empty.")
    return text


def load_settings(**flags: Any) -> Settings:
    """Settings from flags (None: not given), environment and TOML file.

    Raises:
        ValidationFailed: a value that makes no sense, or a file that cannot be read; the message names it.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    path = given.get("config") or os.environ.get(f"{PREFIX}CONFIG")
    from_file = {} if not path else _read_toml(Path(path))
    in_environment = {name for name in from_file if os.environ.get(f"{PREFIX}{name.upper()}")}
    merged = {name: value for name, value in from_file.items() if name not in in_environment} | given
    try:
        return Settings(**merged)
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise ValidationFailed(
            f"These settings make no sense: {'; '.join(problems)}.",
            next="See `data-mcp-server-agent serve --help` for what can be set.",
        ) from None


def default_database() -> Path:
    """`desk.db` in the platform's folder for user data."""
    import platformdirs

    return Path(platformdirs.user_data_dir("data-mcp-server-agent", appauthor=False)) / "desk.db"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValidationFailed(f"The configuration file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValidationFailed(f"The configuration file {path} is not valid TOML: {error}.") from None
