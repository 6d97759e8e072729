"""What a service would refuse once the arguments of a call are right, told beside what is wrong with them: so that the
call which a refusal shows does, or says why not."""

from mcp_server.domain.desk import Desk
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError, ValidationFailed
from mcp_server.kernel.refusing import NEXT_CALL, Refused
from tools.spec import AnyTool


async def with_what_follows(desk: Desk, tool: AnyTool, call: Call, error: Refused) -> ValidationFailed:
    """The refusal of a call's arguments, with what the service would say to the call as it would be."""
    follows = await _refused_then(desk, tool, call, error)
    if follows is None:
        return error
    details = dict(error.details)
    details.pop(NEXT_CALL, None)
    whole = ValidationFailed(f"{error.message} Once that is right: {follows.message}", details=details)
    whole.wrong = f"{error.wrong} {follows.wrong}"
    return whole


async def _refused_then(desk: Desk, tool: AnyTool, call: Call, error: Refused) -> OpsError | None:
    if tool.foreseen is None or error.instead is None:
        return None
    right = error.instead.arguments
    own = {name: right[name] for name in right.keys() & tool.arguments.model_fields.keys()}
    try:
        await tool.foreseen(desk).prepare(call, tool.arguments.model_validate(own))
    except OpsError as follows:
        return follows
    return None
