"""What the log says of refusals: what was wrong, and nothing of what was in the call."""

from pathlib import Path

import pytest
from mcp.client import Client
from structlog.testing import capture_logs

from mcp_server.app import open_app
from mcp_server.config import load_settings
from tests.world import on_file

pytestmark = pytest.mark.anyio


async def test_the_log_holds_no_lease_and_no_mail_of_a_call_that_is_refused(tmp_path: Path):
    async with open_app(load_settings(database=on_file(tmp_path / "desk.db"))) as app, Client(app.server) as client:
        with capture_logs() as logged:
            mail = {
                "to": "ann@example.org",
                "subject": "s",
                "text": "canary",
                "lease_token": "lease_b4n4ry",
                "limit": 3,
            }
            await client.call_tool("email_send", mail)
            calls = [{"tool": "email_send", "arguments": mail}]
            await client.call_tool("commit", {"calls": calls})
    refused = [str(line) for line in logged if line["event"] == "refused"]
    assert len(refused) == 2 and all("limit" in line for line in refused), refused
    assert not any("canary" in line or "lease_b4n4ry" in line for line in refused), refused
