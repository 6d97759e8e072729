"""Whether what people are asked about can still be done: the versions that its calls expect of documents."""

import json
from collections.abc import Iterator
from typing import Any

from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.state.commands import Addressed
from mcp_server.domain.state.model import document_id
from mcp_server.kernel.errors import Conflict
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


def overtaken(approval: Approval, document: Addressed, expected: int, now: int) -> Conflict:
    """The refusal to ask about what has been overtaken."""
    name = document_id(document.namespace, document.key)
    return Conflict(
        f"{approval.id} no longer fits, and nobody was asked: {named(name)} is at version {now}, and its call expects "
        f"version {expected}. A yes would run nothing.",
        next=f"Read the document, then ask anew with approvals_request; tasks_control(action='cancel', "
        f"task_ids=['{approval.task_id}']) withdraws this one.",
        details={"approval_id": approval.id, "document": name, "version": now, "expected_version": expected},
    )
