"""Secrets by reference: `env:NAME`, a variable of this process, or `file:/path`. Read when they are used, and kept
nowhere."""

import os
from pathlib import Path

from mcp_server.domain.deployments.targets import PhaseFailed

BYTES_MAX = 64 * 1024


def resolve(reference: str) -> str:
    """The value behind a reference.

    Raises:
        PhaseFailed: there is none; the message names the reference, never a value.
    """
    kind, _, where = reference.partition(":")
    value = os.environ.get(where) if kind == "env" else _read(Path(where).expanduser(), reference)
    if not value:
        raise PhaseFailed(f"The secret {reference} is not there, or empty, where this server runs.")
    return value


def _read(path: Path, reference: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise PhaseFailed(f"The secret {reference} cannot be read: {error.strerror}.") from None
    if len(content) > BYTES_MAX:
        raise PhaseFailed(f"The secret {reference} is larger than {BYTES_MAX} bytes.")
    return content.decode("utf-8-sig", "replace").strip()
