"""The tools, prompts and resources that the conformance suite wants to find, laid over a real server's handlers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError

from tests.conformance.contents import PLAIN, PNG, answer, text

Context = ServerRequestContext[Any, Any]
Handler = Callable[[Context, Any], Awaitable[Any]]
FORM: dict[str, Any] = {"type": "object"}


def form(message: str, name: str, kind: str = "string") -> dict[str, Any]:
    schema = FORM | {"properties": {name: {"type": kind}}, "required": [name]}
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


def sampling(prompt: str, tokens: int = 100) -> dict[str, Any]:
    messages = [{"role": "user", "content": text(prompt)}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": tokens}}


ROOTS: dict[str, Any] = {"method": "roots/list", "params": {}}


def ask(requests: dict[str, Any], state: str | None = None) -> dict[str, Any]:
    result: dict[str, Any] = {"resultType": "input_required", "inputRequests": requests}
    return result if state is None else result | {"requestState": state}


def responses(params: Any) -> Mapping[str, Any]:
    given = params.input_responses or {}
    return {name: value.model_dump(by_alias=True, mode="json") for name, value in given.items()}


async def progress(ctx: Context, params: Any) -> Any:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
        await asyncio.sleep(0.05)
    return answer(text("done"))


async def logging(ctx: Context, params: Any) -> Any:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", said, related_request_id=ctx.request_id)
        await asyncio.sleep(0.05)
    return answer(text("logged"))


async def sample(ctx: Context, params: Any) -> Any:
    prompt = (params.arguments or {}).get("prompt", "")
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    got = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    return answer(text(f"LLM response: {getattr(got.content, 'text', '')}"))


async def elicit(ctx: Context, schema: dict[str, Any], message: str, said: str) -> Any:
    got = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return answer(text(f"{said}action={got.action}, content={json.dumps(got.content)}"))


async def elicit_user(ctx: Context, params: Any) -> Any:
    names = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    schema = FORM | {"properties": names, "required": list(names)}
    return await elicit(ctx, schema, (params.arguments or {}).get("message", ""), "User response: ")


async def elicit_defaults(ctx: Context, params: Any) -> Any:
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await elicit(ctx, FORM | {"properties": properties}, "Defaults", "Elicitation completed: ")


async def elicit_enums(ctx: Context, params: Any) -> Any:
    options = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
    legacy = {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]}
    properties = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string"} | legacy,
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return await elicit(ctx, FORM | {"properties": properties}, "Enums", "Elicitation completed: ")


# Input required


async def input_elicitation(ctx: Context, params: Any) -> Any:
    given = responses(params).get("user_name")
    if given is None:
        return ask({"user_name": form("What is your name?", "name")})
    return answer(text(f"Hello, {(given.get('content') or {}).get('name')}!"))


async def input_sampling(ctx: Context, params: Any) -> Any:
    given = responses(params).get("capital_question")
    if given is None:
        return ask({"capital_question": sampling("What is the capital of France?")})
    return answer(text(json.dumps(given["content"])))


async def input_roots(ctx: Context, params: Any) -> Any:
    given = responses(params).get("client_roots")
    return ask({"client_roots": ROOTS}) if given is None else answer(text(json.dumps(given["roots"])))


async def input_state(ctx: Context, params: Any) -> Any:
    if "confirm" not in responses(params):
        return ask({"confirm": form("Please confirm", "ok", "boolean")}, "waiting")
    return answer(text("state-ok" if params.request_state == "waiting" else "state-wrong"))


async def input_many(ctx: Context, params: Any) -> Any:
    wanted = {
        "user_name": form("What is your name?", "name"),
        "greeting": sampling("Generate a greeting", 50),
        "client_roots": ROOTS,
    }
    given = responses(params)
    return answer(text("all here")) if wanted.keys() <= given.keys() else ask(wanted, "many")


async def input_rounds(ctx: Context, params: Any) -> Any:
    given = responses(params)
    if "step1" in given:
        return ask({"step2": form("Step 2: What is your favorite color?", "color")}, "round-2")
    if "step2" in given and params.request_state == "round-2":
        return answer(text("done"))
    return ask({"step1": form("Step 1: What is your name?", "name")}, "round-1")


async def input_capabilities(ctx: Context, params: Any) -> Any:
    declared = ctx.session.client_capabilities
    wanted: dict[str, Any] = {}
    if declared is not None and declared.elicitation is not None:
        wanted["name"] = form("What is your name?", "name")
    if declared is not None and declared.sampling is not None:
        wanted["greeting"] = sampling("Generate a greeting")
    return ask(wanted) if wanted and not responses(params) else answer(text("nothing to ask"))


async def quiet_logging(ctx: Context, params: Any) -> Any:
    """Logs only where the request asked for a level, as 2026-07-28 wants it."""
    if (ctx.meta or {}).get("io.modelcontextprotocol/logLevel"):
        await ctx.session.send_log_message("info", "logged", related_request_id=ctx.request_id)
    return answer(text("done"))


async def missing_capability(ctx: Context, params: Any) -> Any:
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        raise MCPError(-32021, "The client did not declare sampling.", {"requiredCapabilities": {"sampling": {}}})
    return answer(text("declared"))


TOOLS: dict[str, Handler] = {
    "test_tool_with_progress": progress,
    "test_tool_with_logging": logging,
    "test_sampling": sample,
    "test_elicitation": elicit_user,
    "test_elicitation_sep1034_defaults": elicit_defaults,
    "test_elicitation_sep1330_enums": elicit_enums,
    "test_input_required_result_elicitation": input_elicitation,
    "test_input_required_result_sampling": input_sampling,
    "test_input_required_result_list_roots": input_roots,
    "test_input_required_result_request_state": input_state,
    "test_input_required_result_multiple_inputs": input_many,
    "test_input_required_result_multi_round": input_rounds,
    "test_input_required_result_tampered_state": input_state,
    "test_input_required_result_capabilities": input_capabilities,
    "test_missing_capability": missing_capability,
    "test_streaming_elicitation": input_elicitation,
    "test_logging_tool": quiet_logging,
}


# Prompts


def said(*content: dict[str, Any]) -> types.GetPromptResult:
    return types.GetPromptResult.model_validate({"messages": [{"role": "user", "content": part} for part in content]})


async def prompt(ctx: Context, params: Any) -> Any:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return said(text("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            return said(text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"))
        case "test_prompt_with_embedded_resource":
            embedded = {
                "uri": given.get("resourceUri"),
                "mimeType": "text/plain",
                "text": "Embedded resource content for testing.",
            }
            return said({"type": "resource", "resource": embedded}, text("Please process the embedded resource above."))
        case "test_prompt_with_image":
            image = {"type": "image", "data": PNG, "mimeType": "image/png"}
            return said(image, text("Please analyze the image above."))
        case "test_input_required_result_prompt":
            context = responses(params).get("user_context")
            if context is None:
                return ask({"user_context": form("What context should the prompt use?", "context")})
            return said(text(f"Context: {(context.get('content') or {}).get('context')}"))
        case _:
            return None


PROMPTS = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


# Resources


def resource(uri: str) -> types.ReadResourceResult | None:
    content: dict[str, Any]
    if uri == "test://static-text":
        content = {"mimeType": "text/plain", "text": "This is the content of the static text resource."}
    elif uri == "test://watched-resource":
        content = {"mimeType": "text/plain", "text": "watched"}
    elif uri == "test://static-binary":
        content = {"mimeType": "image/png", "blob": PNG}
    elif uri.startswith("test://template/") and uri.endswith("/data"):
        number = uri.removeprefix("test://template/").removesuffix("/data")
        data = {"id": number, "templateTest": True, "data": f"Data for ID: {number}"}
        content = {"mimeType": "application/json", "text": json.dumps(data)}
    else:
        return None
    return types.ReadResourceResult.model_validate({"contents": [{"uri": uri} | content]})


RESOURCES = ("test://static-text", "test://static-binary", "test://watched-resource")


async def greet(ctx: Context, params: Any) -> Any:
    return answer(text(f"Hello, {(params.arguments or {}).get('name')}!"))


TOOLS["greet"] = greet


def _listing(key: str, more: list[dict[str, Any]]) -> Callable[[Handler], Handler]:
    def wrap(inner: Handler) -> Handler:
        async def listed(ctx: Context, params: Any) -> Any:
            result = await inner(ctx, params)
            if isinstance(result, dict):  # as it goes out
                return result | {key: result[key] + more}
            shown = result.model_dump(by_alias=True, mode="json", exclude_none=True)
            return type(result).model_validate(shown | {key: shown[key] + more})

        return listed

    return wrap


def _calls(inner: Handler) -> Handler:
    async def composed(ctx: Context, params: Any) -> Any:
        """Gather input first, then go on as a task."""
        given = responses(params).get("user_name")
        if given is None:
            return ask({"user_name": form("What is your name?", "name")})
        label = (given.get("content") or {}).get("name")
        arguments = {"seconds": 0.1, "label": label}
        return await inner(ctx, params.model_copy(update={"name": "slow_compute", "arguments": arguments}))

    async def call(ctx: Context, params: Any) -> Any:
        if params.name in PLAIN:
            return PLAIN[params.name]
        handler = composed if params.name == "test_tool_with_task" else TOOLS.get(params.name, inner)
        return await handler(ctx, params)

    return call


def _reads(inner: Handler) -> Handler:
    async def read(ctx: Context, params: Any) -> Any:
        return resource(str(params.uri)) or await inner(ctx, params)

    return read


def _prompts(inner: Handler) -> Handler:
    async def get(ctx: Context, params: Any) -> Any:
        return await prompt(ctx, params) or await inner(ctx, params)

    return get


def _subscribes(inner: Handler) -> Handler:
    async def subscribe(ctx: Context, params: Any) -> Any:
        return {} if str(params.uri).startswith("test://") else await inner(ctx, params)

    return subscribe


async def _set_level(ctx: Context, params: Any) -> Any:
    return {}


def install(server: Server[Any]) -> None:
    """Lay the fixtures over the server's own handlers; what they do not know goes on to the real ones."""
    names = (*PLAIN, *TOOLS, "test_tool_with_task")
    tools = [{"name": name, "description": name, "inputSchema": {"type": "object"}} for name in names]
    prompts = [
        {
            "name": name,
            "description": name,
            "arguments": [{"name": argument, "required": True} for argument in arguments],
        }
        for name, arguments in PROMPTS.items()
    ]
    resources = [{"uri": uri, "name": uri} for uri in RESOURCES]
    templates = [{"uriTemplate": "test://template/{id}/data", "name": "template"}]
    over: dict[str, Callable[[Handler], Handler]] = {
        "tools/call": _calls,
        "tools/list": _listing("tools", tools),
        "prompts/get": _prompts,
        "prompts/list": _listing("prompts", prompts),
        "resources/read": _reads,
        "resources/list": _listing("resources", resources),
        "resources/templates/list": _listing("resourceTemplates", templates),
        "resources/subscribe": _subscribes,
        "resources/unsubscribe": _subscribes,
    }
    for method, wrap in over.items():
        entry = server._request_handlers[method]
        server.add_request_handler(method, entry.params_type, wrap(entry.handler))
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, _set_level)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
