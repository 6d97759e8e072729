"""A cursor is of one list: all others refuse it, and nothing is passed over in silence."""

from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from mcp_server.app import open_app
from tests.protocol.test_calls import call, refused, settings

pytestmark = pytest.mark.anyio
MADE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("agents_register", {"name": "a{n}"}),
    ("tasks_create", {"tasks": [{"title": "t"}]}),
    ("state_set", {"namespace": "n{n}", "key": "k", "value": 1}),
    ("locks_acquire", {"name": "l{n}", "as_agent": "a0"}),
    ("email_send", {"to": "a{n}@example.org", "subject": "s", "text": "t"}),
    ("approvals_request", {"title": "t{n}", "action": "a", "approvers": []}),
    (
        "deployments_define",
        {"name": "d{n}", "environment": "e", "target": "compose", "services": [{"name": "s", "image": "i"}]},
    ),
    ("messages_send", {"to": ["a0"], "body": "hello {n}", "ack_within_seconds": 600}),
    ("messages_send", {"to": ["a1"], "body": "hello {n}"}),
)
LISTS: tuple[tuple[str, dict[str, Any]], ...] = (
    *[(f"{area}_find", {}) for area in ("agents", "tasks", "state", "locks", "email", "approvals", "deployments")],
    ("messages_read", {"agent_id": "a0", "unread_only": False}),
    ("messages_read", {"agent_id": "a1", "unread_only": False}),
    ("messages_read", {"sent": True}),
    ("messages_read", {"unacknowledged": True}),
    ("messages_read", {"text": "hello"}),
)


def filled(value: Any, number: int) -> Any:
    if isinstance(value, dict):
        return {name: filled(one, number) for name, one in value.items()}  # type: ignore[misc]
    return value.replace("{n}", str(number)) if isinstance(value, str) else value


async def test_a_cursor_is_taken_by_its_own_list_alone(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server, mode="legacy") as client:
        for tool, arguments in MADE:
            for number in range(2):
                await call(client, tool, **filled(arguments, number))
        cursors: list[str] = []
        for tool, arguments in LISTS:
            page = await call(client, tool, **arguments, limit=1)
            cursors.append(page.get("next_cursor") or page["cursor"])
        for number, (tool, arguments) in enumerate(LISTS):
            name = "after" if tool == "messages_read" else "cursor"
            for whose, cursor in [*enumerate(cursors), (-1, "zz"), (-1, "W10"), (-1, "e30"), (-1, "")]:
                if whose == number:
                    assert await call(client, tool, **arguments, **{name: cursor}, limit=1)
                else:
                    error = await refused(client, tool, **arguments, **{name: cursor}, limit=1)
                    assert "is not a cursor of this list" in error["message"], (tool, arguments, whose)
        error = await refused(
            client, "messages_read", agent_id="a0", after="zz"
        )  # unread ones, which it does not narrow
        assert "is not a cursor of this list" in error["message"]
