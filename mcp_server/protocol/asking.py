"""Asking the person at the client, in both eras; the model has no part in it.

Before 2026-07-28 the server asks with `elicitation/create` while the call waits. Since then the call's result is
`input_required`, and the client repeats the call with its user's answer and the state that binds it to the question.
"""

from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from mcp_server.kernel.call import Ask
from mcp_server.protocol.seam import RequestContext

KEY = "decision"


class InputNeeded(Exception):
    """The call cannot go on before the client has asked its user."""

    def __init__(self, message: str, schema: Mapping[str, Any], state: str) -> None:
        params = {"mode": "form", "message": message, "requestedSchema": dict(schema)}
        self.result: dict[str, Any] = {
            "resultType": "input_required",
            "inputRequests": {KEY: {"method": "elicitation/create", "params": params}},
            "requestState": state,
        }
        super().__init__("input is needed")


def asker(ctx: RequestContext, params: types.CallToolRequestParams) -> Ask:
    """How the person behind a call is asked; it answers None for a client that cannot ask."""

    async def ask(message: str, schema: Mapping[str, Any], state: str) -> Mapping[str, Any] | None:
        capabilities = ctx.session.client_capabilities
        if capabilities is None or capabilities.elicitation is None:
            return None
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return await _elicit(ctx, message, schema)
        answer = (params.input_responses or {}).get(KEY)
        if answer is None or params.request_state != state:
            raise InputNeeded(message, schema, state)
        return answer if isinstance(answer, dict) else answer.model_dump(by_alias=True)

    return ask


async def _elicit(ctx: RequestContext, message: str, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        answer = await ctx.session.elicit_form(message, dict(schema), related_request_id=ctx.request_id)
    except MCPError:
        return None  # it said it can, and then could not
    return {"action": answer.action, "content": answer.content}
