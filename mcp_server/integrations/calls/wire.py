"""The lines between the parent and the media process: one JSON object each, whose `is` names the order or what is told,
and whose other fields are that record's. Both ends are of one version, so a line that is none is a bug."""

import base64
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from mcp_server.domain.calls import orders

LINE_BYTES_MAX = 8 * 1024 * 1024
"""A WAV file in base64, and the rest."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The first line of all: what the operator set."""

    ice_servers: tuple[Mapping[str, Any], ...]
    speech: tuple[str, ...]
    peers_max: int
    bitrate: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The media process has loaded what it needs and takes orders."""


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a call."""

    audio: bool
    record: bool


Sent = Begin | Ready | Open | orders.Order | orders.Told
_BYTES = {("Play", "wav"), ("Recorded", "pcm")}
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Sent)}


def packed(what: Sent, call: str = "") -> bytes:
    """The line of a record, with its end."""
    kind = type(what).__name__
    told: dict[str, Any] = {"is": kind, "call": call}
    for field in dataclasses.fields(what):
        value = getattr(what, field.name)
        told[field.name] = base64.b64encode(value).decode() if (kind, field.name) in _BYTES else value
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def unpacked(line: bytes) -> tuple[str, Sent]:
    """The call of a line, "" where it is of none, and its record.

    Raises:
        ValueError, KeyError, TypeError: it is no such line.
    """
    told = cast("dict[str, Any]", json.loads(line))
    kind, call = told.pop("is"), told.pop("call")
    for name, value in told.items():
        if (kind, name) in _BYTES:
            told[name] = base64.b64decode(value)
        elif isinstance(value, list):
            told[name] = tuple(cast("list[Any]", value))
    return call, _KINDS[kind](**told)
