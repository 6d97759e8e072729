"""Settings of calls, and of the servers by which connections are made."""

from pathlib import Path

from pydantic import Field, SecretStr

from mcp_server.config.issuers import Names
from mcp_server.kernel.values import Frozen


class TurnSettings(Frozen):
    """Servers through which people elsewhere are reached."""

    servers: Names = Field(default=(), description="TURN servers, such as turn:turn.example.org, comma-separated")
    username: str | None = Field(default=None, description="Name to log in with")
    password: SecretStr | None = Field(default=None, description="Password to log in with")
    password_file: Path | None = Field(default=None, description="File that holds the password")


class CallSettings(Frozen):
    """Calls with people (docs/calls.md)."""

    speech: Names = Field(
        default=(), description="Command that makes a WAV of text on stdin or {text}: espeak-ng,--stdin,--stdout"
    )
    at_once: int = Field(default=10, ge=1, le=50, description="Calls in which somebody is, on one database")
    minutes_max: float = Field(default=60, gt=0, le=1440, description="How long a call lasts at most")
    keep_days: float = Field(default=30.0, gt=0, le=36_500, description="Days that transcripts and recordings are kept")
    bitrate: int = Field(default=32_000, ge=6000, le=128_000, description="Bits per second of audio that is sent")
    idle_seconds: float = Field(default=60, ge=0, le=3600, description="How long the media process stays without calls")
