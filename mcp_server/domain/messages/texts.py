"""By what text a message is found."""

from collections.abc import Mapping
from typing import Any

from mcp_server.kernel.searching import fold


def message_text(row: Mapping[str, Any]) -> str:
    """Who wrote it, to whom, and what, folded."""
    # One text for all of it: who looks for a word rarely knows whether it stood in the subject or in the body.
    said = (row["sender"], row["recipients"], row["subject"], row["body"])
    return fold("\n".join(map(_or_nothing, said)))


def _or_nothing(text: str | None) -> str:
    return text or ""
