"""Parameters of a method that are not as MCP has them: the SDK says only that they are invalid."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from pydantic import ValidationError

from mcp_server.kernel.complaints import complaint
from mcp_server.kernel.lines import quoted
from mcp_server.protocol.large import read_large
from mcp_server.protocol.wire import WireError, parse

TOLD_MAX = 3
_KINDS = {"dict": "an object", "list": "a list", "str": "text", "bool": "true or false"} | dict.fromkeys(
    ("int", "float"), "a number"
)


async def say_what_is_wrong(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Run a method; a tool's arguments may be JSON text, as some clients' models send them.

    Raises:
        MCPError: which parameters are wrong, what came, and what is accepted.
    """
    try:
        return await call_next(await _with_arguments(ctx))
    except ValidationError as error:
        raise MCPError(code=INVALID_PARAMS, message=_said(ctx.method, error)) from None


async def _with_arguments(ctx: ServerRequestContext[Any, Any]) -> ServerRequestContext[Any, Any]:
    params = ctx.params or {}
    given = params.get("arguments")
    if ctx.method != "tools/call" or not isinstance(given, str):
        return ctx
    try:
        arguments = await read_large(len(given), parse, given.encode())
    except (WireError, ValueError):
        return ctx
    return replace(ctx, params={**params, "arguments": arguments})


def _said(method: str, error: ValidationError) -> str:
    wrong = error.errors(include_url=False)
    told = "; ".join(map(_told, wrong[:TOLD_MAX]))
    more = f"; and {len(wrong) - TOLD_MAX} more" if len(wrong) > TOLD_MAX else ""
    return f"Invalid request parameters of {quoted(method)}: {told}{more}."


def _told(wrong: Mapping[str, Any]) -> str:
    where = ".".join(map(str, wrong["loc"])).removeprefix("params.") or "params"
    if wrong["type"] == "missing":
        return f"`{where}` is missing"
    came = _KINDS.get(type(wrong["input"]).__name__, "null")
    return f"`{where}` is {came}: {complaint(wrong)}"
