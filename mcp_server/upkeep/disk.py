"""Whether a disk takes what is written."""

import os
import shutil
import tempfile
from pathlib import Path

from mcp_server.upkeep.findings import Finding

FREE_BYTES_MIN = 16 * 1024 * 1024
"""With less, the log of a few large writes fills the disk."""

_TRIAL = bytes(256 * 1024)


def inspect_disk(folder: Path) -> Finding:
    """Whether there is room, tried with a file that has no name and is gone at once: limits of users show no other
    way."""
    try:
        reason = refusal(folder)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", False, f"The disk of {folder} cannot be asked: {error.strerror}.")
    remedy = "Free space there. Until then writes are refused; nothing that is stored is lost."
    if reason is not None:
        return Finding("disk", False, f"The disk of {folder} takes nothing more: {reason}.", remedy)
    if free < FREE_BYTES_MIN:
        return Finding("disk", False, f"The disk of {folder} is nearly full: {free} bytes are left.", remedy)
    return Finding("disk", True, f"The disk of {folder} has {free} bytes left.")


def refusal(folder: Path) -> str | None:
    """Why nothing can be written into a folder now; None where it can be."""
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(_TRIAL)
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None
