"""`tools/list` and `tools/call`."""

from collections.abc import Awaitable, Callable, Container, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, cached_property
from typing import Any, NamedTuple, cast

import mcp_types as types
from pydantic import BaseModel

from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.desk import Desk
from mcp_server.domain.speaking import Said
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.kernel import untold
from mcp_server.kernel.call import Ask, Call
from mcp_server.kernel.errors import NotFound, OpsError, ValidationFailed
from mcp_server.kernel.limits import Caller, Thing
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.meaning import bare_id
from mcp_server.kernel.near import singular
from mcp_server.kernel.problems import Problem
from mcp_server.kernel.quoting import is_plain, told, without_said
from mcp_server.kernel.refusing import CALL, FAULTS, NEXT_CALL, PROBLEMS, Beside, Refused
from mcp_server.kernel.renaming import renamed
from mcp_server.kernel.shapes import shape_of
from mcp_server.kernel.taking import taken
from mcp_server.kernel.understanding import understood
from mcp_server.kernel.views import dumped
from mcp_server.protocol.asking import InputNeeded, asker
from mcp_server.protocol.definitions import definition, kept_definitions, wire
from mcp_server.protocol.large import checked_large
from mcp_server.protocol.links import linked
from mcp_server.protocol.loading import Loading
from mcp_server.protocol.seam import RequestContext, Seam, error_content
from mcp_server.protocol.task_handles import declares_extension, handle, tool_result
from tools import KnownTool
from tools.spec import AnyTool, Shared

_NOTHING_SHARED = Shared()
_WAITS_NOT = nullcontext()
_FOR_PROGRAMS = frozenset(("action_hash", "bytes", "sha256"))
"""Members of results that tell a model nothing; programs find them in the structured content."""
_NAMED = frozenset(("id", "status"))
_OF_CALLS = frozenset(("results", "also"))
"""Members of results that hold those of several calls."""


class ToolCalls:
    """The tools that this server offers."""

    def __init__(self, desk: Desk, seam: Seam, tools: tuple[KnownTool, ...], *, gives_handles: bool = True) -> None:
        self._gives_handles = gives_handles
        self._desk = desk
        self._seam = seam
        self._tools = {tool.name: tool for tool in tools}
        self._reached: dict[frozenset[str], dict[str, KnownTool]] = {}
        self._assumed: str | None = None
        self._loading = desk.get(Loading)

    @cached_property
    def definitions(self) -> dict[str, dict[str, Any]]:
        """Every offered tool as clients see it. Read on the first listing: a start must not wait for it."""
        kept = kept_definitions()
        return {name: kept.get(name) or wire(definition(tool.whole())) for name, tool in self._tools.items()}

    async def list_tools(self, ctx: RequestContext, params: types.PaginatedRequestParams) -> dict[str, Any]:
        """The tools that the caller may use, now or once its client has asked for a token of wider scopes. As they go
        out: in the SDK's types they would take a megabyte."""
        del params
        actor = self._seam.actor_of(ctx)
        allowed = actor.permissions | actor.reach
        listed = [self.definitions[name] for name, tool in self._offered(ctx).items() if tool.permission in allowed]
        return {"resultType": "complete", "tools": listed}

    async def call(self, ctx: RequestContext, params: types.CallToolRequestParams) -> dict[str, Any]:
        """Run one tool; a refusal is a result with `isError`. A client that takes handles gets one from a slow tool.

        Raises:
            MCPError: there is no such tool.
        """
        untold.collect()
        offered = self._offered(ctx)
        known = offered.get(params.name)
        if known is None:
            from mcp_server.protocol.other_names import unknown_tool  # 0.2 MB of names

            raise unknown_tool(params.name, offered)
        tool = await self._loading.tool(known)
        with_ticket = self._gives_handles and tool.ticket is not None and self._takes_handles(ctx)
        run = self._start if with_ticket else self._run
        if tool.asks_person:
            run = self._asking(asker(ctx, params))
        given = split(tool, named_as_known(tool, params.arguments or {}))

        async def made(given: Given) -> dict[str, Any]:
            result = await self._seam.run(
                ctx,
                tool.name,
                lambda call: run(tool, call, given),
                lambda: said(tool, given),
                offered.keys(),
            )
            if "structuredContent" in result:
                result["content"] += linked(ctx.protocol_version, tool.name, result["structuredContent"])
            return result

        try:
            return await self._made_as_called(ctx, tool, given, made)
        except OpsError as error:
            error = _whole_refusal(tool, given, error)
            return _refusal(error, _whole_call(tool, given.all(), error.details))

    async def _made_as_called(
        self, ctx: RequestContext, tool: AnyTool, given: "Given", made: Callable[["Given"], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Make a call; where it finds nobody by a name, once more with agents in the letters in which they are called.
        The key of an agent is not helped to find others'."""
        try:
            return await made(given)
        except NotFound as error:
            if "landed" in error.details or self._seam.actor_of(ctx).kind == "agent":
                raise
            from mcp_server.protocol.letter_case import in_their_letters

            put = await in_their_letters(self._desk, tool, *given)
            if put is None:
                raise
        return await made(Given(*put))

    def _offered(self, ctx: RequestContext) -> dict[str, KnownTool]:
        """The tools that are there for who calls, by name."""
        toolsets = self._seam.reached(ctx)
        if toolsets is None or toolsets == self._seam.toolsets:
            return self._tools
        known = self._reached.get(toolsets)
        if known is None:
            known = {name: tool for name, tool in self._tools.items() if tool.toolset in toolsets}
            self._reached[toolsets] = known
        return known

    def _takes_handles(self, ctx: RequestContext) -> bool:
        reached = self._seam.reached(ctx)
        return declares_extension(ctx) and (reached is None or "tasks" in reached)

    async def _start(self, tool: AnyTool, call: Call, given: "Given") -> dict[str, Any]:
        """Begin what the tool does; the handle of its task, or its whole answer where it has ended already."""
        assert tool.ticket is not None, "asked only of tools that have one"
        task = await tool.ticket(self._desk, call, await self._counted(tool, call, given))
        if task is None:
            return await self._run(tool, call, given)
        if task.status in TERMINAL:
            return {"resultType": "complete"} | (tool_result(task))
        return handle(task)

    def _asking(self, ask: Ask) -> Callable[..., Awaitable[dict[str, Any]]]:
        """`_run` for a tool that may ask the person at the client."""

        async def run(tool: AnyTool, call: Call, given: Given) -> dict[str, Any]:
            try:
                return await self._run(tool, replace(call, ask=ask), given)
            except InputNeeded as needed:
                return needed.result

        return run

    async def _run(self, tool: AnyTool, call: Call, given: "Given") -> dict[str, Any]:
        arguments = await self._counted(tool, call, given)
        with self._seam.limits.holding(Thing.WAITS, Caller.of(call.actor)) if _waits(arguments) else _WAITS_NOT:
            result = await tool.run(self._desk)(call, arguments)
        content, sentence = dumped(result), tool.say(result)
        shown = without_said(sentence, _in_short(tool, content))
        others = self._tells_others(tool, arguments) and not is_plain(shown)
        if tool.writes:
            content["spoken_by"] = call.label
            shown |= self._speaker_told(call, given)
        return _result(told(sentence, shown, others=others), content, is_error=False)

    def _tells_others(self, tool: AnyTool, arguments: BaseModel) -> bool:
        """Whether an answer may hold what others wrote; that of several calls where that of one of them may."""
        # What is called by another name than its own is taken to tell them.
        called = vars(arguments).get("calls") or ()
        return tool.others_words and (not called or any(self._may_be_others(one.tool) for one in called))

    def _may_be_others(self, name: str) -> bool:
        return name not in self._tools or self._tools[name].whole().others_words

    async def _counted(self, tool: AnyTool, call: Call, given: "Given") -> Any:
        """The arguments as the tool takes them, once what it writes is counted."""
        arguments = await checked(self._desk, tool, call, given)
        if tool.writes:
            self._seam.limits.spend(Caller.of(call.actor), _writes(arguments))
        return arguments

    def _speaker_told(self, call: Call, given: "Given") -> dict[str, str]:
        """Who spoke, for the text: nothing where the call named it, or was told that it always speaks here."""
        if "as_agent" in given.shared and call.speaker is not None:
            return {}
        usual, who, before = self._desk.get(Speaking).session.usual(), call.speaker, self._assumed
        self._assumed = call.label
        is_told = before == call.label and who is not None and usual in (who.agent_id, who.name)
        return {} if is_told else {"spoken_by": call.label}


def _waits(arguments: BaseModel) -> bool:
    """Whether a call may wait for something to happen. To ask a model for what it lacks is dear: its dict is asked."""
    return bool(vars(arguments).get("wait_seconds"))


def _writes(arguments: BaseModel) -> int:
    """How many writes a call makes at least."""
    given = vars(arguments)
    return max(len(given.get("calls") or ()), 1) + len(given.get("also") or ())


class _Known(NamedTuple):
    """The names of arguments, kept: to ask pydantic for them at each call costs more than all that is done with them.

    Attributes:
        own: the tool's.
        shared: those that every write takes, but for what the tool itself calls so.
        of_writes: both.
    """

    own: frozenset[str]
    shared: frozenset[str]
    of_writes: frozenset[str]


@cache
def _known(arguments: type[BaseModel]) -> _Known:
    own, shared = frozenset(arguments.model_fields), frozenset(Shared.model_fields)
    return _Known(own, shared - own, own | shared)


class Given(NamedTuple):
    """What a call says: the tool's own arguments; and who speaks under which lease, which every write takes."""

    own: dict[str, Any]
    shared: dict[str, Any]

    def all(self) -> dict[str, Any]:
        """Both."""
        return self.own | self.shared


def _in_short(tool: AnyTool, content: dict[str, Any]) -> dict[str, Any]:
    """A result as its text shows it: without what is for programs, and what says no or nothing where the
    sentence before it says so. What other calls answered stands in lists, each a result of its own."""

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return list(map(short, cast("list[Any]", value)))
        if not isinstance(value, dict):
            return value
        members = cast("dict[str, Any]", value).items()
        told = {name: one for name, one in members if name not in _FOR_PROGRAMS}
        return {name: one for name, one in told.items() if name not in tool.unsaid or (one is not False and one != [])}

    def whole(result: dict[str, Any]) -> dict[str, Any]:
        told = {name: value for name, value in result.items() if name not in tool.named or not value.keys() <= _NAMED}
        return short({name: each(value) if name in _OF_CALLS else short(value) for name, value in told.items()})

    def each(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return list(map(whole, results))

    return whole(content)


def split(tool: AnyTool, arguments: dict[str, Any]) -> Given:
    """A call's arguments, apart."""
    if not tool.writes:
        return Given(arguments, {})
    shared = _known(tool.arguments).shared & arguments.keys()
    if not shared:
        return Given(arguments, {})
    own = {name: value for name, value in arguments.items() if name not in shared}
    return Given(own, {name: value for name, value in arguments.items() if name in shared})


def said(tool: AnyTool, given: Given) -> Said:
    """What a call says about who speaks.

    Raises:
        ValidationFailed: it cannot be understood.
    """
    own, shared = given
    spoken = understood(tool.name, Shared, shared, Beside(tool.arguments, own)) if shared else _NOTHING_SHARED
    return Said(
        as_agent=spoken.as_agent,
        named=_text(own, tool.speaks),
        lease_token=_text(_first(own), "lease_token") if tool.own_lease else spoken.lease_token,
        binds=not tool.own_lease,
        guessed=not tool.introduces,
        begins=tool.writes and not tool.introduces,
        introduces=_text(own, "name") if tool.introduces else None,
    )


def _first(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that hold the lease a call is about: of several tasks, the first one's."""
    tasks = arguments.get("tasks")
    first = cast("list[Any]", tasks)[0] if isinstance(tasks, list) and tasks else None
    return cast("dict[str, Any]", first) if isinstance(first, dict) else arguments


def _text(arguments: dict[str, Any], name: str | None) -> str | None:
    value = None if name is None else bare_id(arguments.get(name))
    return value if isinstance(value, str) else None


def validated(tool: AnyTool, call: Call, given: Given, also: Sequence[Problem] = ()) -> Any:
    """The arguments as the tool takes them, once the caller may use it at all; `also` is what a refusal says, too."""
    call.actor.require(tool.permission)
    beside = Beside(Shared if tool.writes else None, given.shared)
    return understood(tool.name, tool.arguments, given.own, beside, also)


async def checked(desk: Desk, tool: AnyTool, call: Call, given: Given, soon: Container[str] = ()) -> Any:
    """`validated`, of which a refusal names what stands for nothing, too, and what its service would refuse then;
    agents that there will be `soon` stand for something.

    Raises:
        OpsError: the caller may not use it, or the arguments cannot be understood.
    """
    try:
        return await checked_large(validated, tool, call, given)
    except ValidationFailed:
        from mcp_server.protocol.foreseeing import with_what_follows  # most calls are right
        from mcp_server.protocol.strangers import strangers

        also = await strangers(desk, call, tool.arguments, given.own, soon)
    try:
        return await checked_large(validated, tool, call, given, also)
    except Refused as error:
        raise await with_what_follows(desk, tool, call, error) from None


def _whole_refusal(tool: AnyTool, given: Given, error: OpsError) -> OpsError:
    """The refusal of a speaker that there is not, with what else is wrong with the call: that was not looked at yet."""
    name = "as_agent" if "as_agent" in given.shared else tool.speaks
    if not isinstance(error, NotFound) or name is None:
        return error
    from mcp_server.protocol.strangers import stranger

    speaker = stranger((name,), error)
    shared = given.shared | ({name: speaker.near[0]} if speaker.near and name in given.shared else {})
    beside = Beside(Shared if tool.writes else None, shared)
    try:
        understood(tool.name, tool.arguments, given.own, beside, (speaker,))
    except ValidationFailed as whole:
        return whole
    return error


def named_as_known(tool: AnyTool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments by the names that the tool has for them: `taskId` is `task_id`."""
    names = _known(tool.arguments)
    if arguments.keys() <= (names.of_writes if tool.writes else names.own):
        return arguments
    known = dict(shape_of(tool.arguments).members)
    if tool.writes:
        known = {**shape_of(Shared).members, **known}
    return renamed(known, arguments, singular(tool.name.partition("_")[0]))


def _whole_call(tool: AnyTool, arguments: dict[str, Any], details: dict[str, Any]) -> dict[str, Any]:
    """The details of a refusal; where those of several calls that were refused are put right, the call to send is that
    of all of them."""
    refused = details.get(FAULTS) or [details]
    right = {one[CALL]: one[NEXT_CALL] for one in refused if {CALL, NEXT_CALL, PROBLEMS} <= one.keys()}
    if not right or len(right) < len(refused):
        return details
    name = next(name for name in ("calls", "also") if name in tool.arguments.model_fields)
    meant = taken(shape_of(tool.arguments), arguments)
    calls = [right.get(number, call) for number, call in enumerate(meant[name])]
    return details | {NEXT_CALL: {"tool": tool.name, "arguments": meant | {name: calls}}}


def _refusal(error: OpsError, details: dict[str, Any]) -> dict[str, Any]:
    """A refusal. Its text does not repeat as data what its sentence says."""
    is_said = PROBLEMS in details and CALL not in details
    said = {PROBLEMS, FAULTS, NEXT_CALL} if is_said else {PROBLEMS, FAULTS}
    facts = {name: value for name, value in details.items() if name not in said}
    sentence = f"{error.code}: {error.message}"
    text = told(sentence, {"details": facts}) if facts else one_line(sentence)
    return _result(text, {"error": error_content(error) | {"details": details}}, is_error=True)


def _result(text: str, content: dict[str, Any], *, is_error: bool) -> dict[str, Any]:
    # As it goes out: the SDK would make this of its own types, and checks it either way.
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": text}],
        "structuredContent": content,
        "isError": is_error,
    }
