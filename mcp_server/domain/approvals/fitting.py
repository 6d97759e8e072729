"""Whether what people are asked about can still be done: the versions that its calls expect of documents."""

import json
from collections.abc import Iterator
from typing import Any

from mcp_server.domain.state.commands import Addressed
from mcp_server.domain.state.model import Standing, document_id
from mcp_server.kernel.quoting import named


def expected_versions(calls: str | None) -> Iterator[tuple[Addressed, int]]:
    """The documents that calls change, each with the version that the first call about it expects, where it does."""
    asked: list[dict[str, Any]] = json.loads(calls or "[]")
    first: dict[tuple[str, str], int | None] = {}
    for arguments in (one["arguments"] for one in asked if one["tool"].startswith("state_")):
        first.setdefault((arguments["namespace"], arguments["key"]), arguments.get("expected_version"))
    for (namespace, key), expected in first.items():
        if expected is not None:
            yield Addressed(namespace=namespace, key=key), expected


def overtaken(document: Addressed, expected: int, now: Standing) -> str:
    """What a person is told before the question that has been overtaken: by whom, and when."""
    name = named(document_id(document.namespace, document.key))
    return (
        f"STALE: {name} {now.told}, and what is asked about expects {_said(expected)}. A yes does nothing "
        "unless that changes back; a no ends the question."
    )


def _said(expected: int) -> str:
    return f"version {expected}" if expected else "that it does not exist"
