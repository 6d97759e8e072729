"""Nothing that a model reads tells it how to approve."""

import ast
import json
from pathlib import Path

import pytest

from mcp_server.app import open_app
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.views import dumped
from mcp_server.protocol.schemas import input_schema
from tests.protocol.test_calls import settings
from tests.world import caller
from tools import TOOLS

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parent.parent.parent
# What a person types into is no text for a model; and mails to real mailboxes are made where settings are read.
SERVER = ROOT / "mcp_server"
FOR_PEOPLE = (SERVER / "commands", SERVER / "wiring.py", SERVER / "hooks" / "listing.py")
HINTS = ("approvals approve", "approvals reject", "approvals list")


def _told(path: Path) -> list[str]:
    text = path.read_text()
    parsed = ast.parse(text if "approvals" in text else "")  # every hint has the word; parsing takes its time
    return [node.value for node in ast.walk(parsed) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.slow
def test_no_text_in_what_serves_models_names_the_commands_that_decide():
    sources = [path for folder in ("mcp_server", "tools", "resources") for path in (ROOT / folder).rglob("*.py")]
    read = [path for path in sources if not any(path.is_relative_to(one) for one in FOR_PEOPLE)]
    assert len(read) > 100
    assert [path.name for path in read if any(hint in text for hint in HINTS for text in _told(path))] == []


def test_no_tool_is_described_so():
    for tool in TOOLS:
        told = tool.description + json.dumps(input_schema(tool.arguments))
        assert not any(hint in told for hint in HINTS), tool.name


async def test_neither_results_nor_refusals_of_approvals_hold_a_link_or_a_command(tmp_path: Path):
    async with open_app(settings(tmp_path, public_url="http://desk.test")) as app:
        approvals, me = app.desk.approvals, caller(id="local")
        command = RequestApproval(title="t", action="a", approvers=("ann@x.org", "local"))
        asked = await approvals.request(me, command)
        said = [json.dumps(dumped(asked)), json.dumps(dumped(await approvals.get(me, asked.approval.id)))]
        for call, approval_id in (
            (me, asked.approval.id),
            (caller(id="eve"), asked.approval.id),
            (me, "approval_none"),
        ):
            with pytest.raises(OpsError) as refused:
                await approvals.ask(call, approval_id)
            said.append(refused.value.message + json.dumps(refused.value.details))
        assert not [text for text in said if "desk.test" in text or any(hint in text for hint in HINTS)]
