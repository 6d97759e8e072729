"""Asking the person at the client, in both eras; the model has no part in it.

Before 2026-07-28 the server asks with `elicitation/create` while the call waits. Since then the call's result is
`input_required`, and the client repeats the call with its user's answer and the state that binds it to the question.
"""

import uuid
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from mcp_server.kernel.call import Ask, Question, Told
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.lines import quoted
from mcp_server.protocol.seam import RequestContext

KEY = "decision"
METHOD = "elicitation/create"


class Dialog(NamedTuple):
    """The way in which a client can show its user the whole question."""

    mode: Literal["form", "url"]
    params: dict[str, Any]

    def request(self) -> dict[str, Any]:
        """What the client is to do, as results say it."""
        return {"method": METHOD, "params": self.params}


class InputNeeded(Exception):
    """The call cannot go on before the client has asked its user."""

    def __init__(self, dialog: Dialog, state: str) -> None:
        self.result: dict[str, Any] = {
            "resultType": "input_required",
            "inputRequests": {KEY: dialog.request()},
            "requestState": state,
        }
        super().__init__("input is needed")


def dialog_for(ctx: RequestContext, question: Question) -> Dialog | None:
    """How this client asks: by a form where that shows everything, else by the page; None where it declared neither."""
    capabilities = ctx.session.client_capabilities
    declared = None if capabilities is None else capabilities.elicitation
    if declared is None:
        return None
    # Before there were two modes, there was the form.
    if question.form is not None and (declared.form is not None or declared.url is None):
        form = {"mode": "form", "message": question.form, "requestedSchema": dict(question.schema)}
        return Dialog("form", form)
    if question.page is not None and declared.url is not None:
        return Dialog("url", {"mode": "url", "message": question.notice, "url": question.page})
    return None


def asker(ctx: RequestContext, params: types.CallToolRequestParams) -> Ask:
    """How the person behind a call is asked; it answers None for a client that cannot ask."""

    async def ask(question: Question) -> Told | None:
        dialog = dialog_for(ctx, question)
        if dialog is None:
            return None
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return await _elicit(ctx, dialog)
        answer, state = (params.input_responses or {}).get(KEY), params.request_state
        if answer is None or state is None or not await question.seal.spend(dialog.mode, state):
            raise InputNeeded(dialog, await question.seal.make(dialog.mode))
        told = _plain(answer)
        return Told(dialog.mode, told.get("action"), told.get("content"))

    return ask


def _plain(answer: types.Result | Mapping[str, Any]) -> Mapping[str, Any]:
    return answer.model_dump(by_alias=True) if isinstance(answer, types.Result) else answer


async def _elicit(ctx: RequestContext, dialog: Dialog) -> Told | None:
    session, about, shown = ctx.session, ctx.request_id, dialog.params
    try:
        if dialog.mode == "url":
            answer = await session.elicit_url(shown["message"], shown["url"], uuid.uuid4().hex, about)
        else:
            answer = await session.elicit_form(shown["message"], shown["requestedSchema"], about)
    except MCPError:
        return None  # it said it can, and then could not
    except ValidationError as error:
        raise _no_answer(error) from None
    return Told(dialog.mode, answer.action, answer.content)


def _no_answer(error: ValidationError) -> ValidationFailed:
    """What a client sent in place of its user's answer."""
    wrong = error.errors(include_url=False, include_context=False)[0]
    where, came = ".".join(map(str, wrong["loc"][:1])), quoted(dump_json(wrong["input"]), 80)
    return ValidationFailed(
        f"The client's answer to the question cannot be read: its {where or 'result'} is {came}. Nothing was decided.",
        next="A client answers {action: accept, decline or cancel, content: an object with what was asked for}. Call "
        "again to have it ask once more.",
    )
