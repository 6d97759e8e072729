"""The one seam between MCP and the services: who calls, under which correlation id, and what becomes of errors.

A refusal (`OpsError`) becomes a result that a model can act on. Anything else is a bug: it is logged under the call's
correlation id, and the caller sees only that id.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Set
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import structlog
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

from mcp_server.domain.speaking import Said, Voices
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import CursorExpired, NotFound, OpsError, Unavailable, ValidationFailed
from mcp_server.kernel.limits import Caller, Limits, Thing
from mcp_server.kernel.looking import looking_sparingly

NAME_CHARACTERS_MAX = 64
RequestContext = ServerRequestContext[Any, Any]
T = TypeVar("T")
AGENT_META = "io.github.data-mcp-server-agent/agent"
"""In a request's `_meta`: the agent that the client is set up to be, by name or id."""
TURN = "data_mcp_server.turn"
"""In the scope of a request over HTTP: its turn."""

_NOTHING_SAID = Said()
log = structlog.stdlib.get_logger("datamcp.call")


class Observer(Protocol):
    """Counts and times calls."""

    def called(self, what: str, outcome: str, seconds: float) -> None:
        """One call ended. `what` is a tool's or resource's name; `outcome` is `ok`, an error code or `bug`."""
        ...


class Seam:
    """Runs each call: identity, correlation, logs, metrics, errors."""

    def __init__(
        self,
        actor_of: Callable[[RequestContext], Actor],
        voices: Voices,
        new_id: Callable[[str], str],
        observer: Observer,
        toolsets: Iterable[str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Join the parts.

        Args:
            actor_of: says who is authenticated.
            voices: find the agent that speaks.
            new_id: makes correlation ids.
            observer: counts calls.
            toolsets: those that are offered; None for all.
            limits: count what each caller has and does.
        """
        self.actor_of = actor_of
        self._voices = voices
        self._new_id = new_id
        self._observer = observer
        self.toolsets = None if toolsets is None else frozenset(toolsets)
        self.limits = limits or Limits()

    def call_of(self, ctx: RequestContext, tools: Set[str] | None = None) -> Call:
        """Who calls, of the tools offered, and under which correlation id: the caller's trace id when it sent one."""

        async def progress(waited_seconds: float, of_seconds: float) -> None:
            await ctx.session.report_progress(waited_seconds, of_seconds, "waiting")

        correlation_id = _trace_id(ctx) or self._new_id("call")
        actor = self.actor_of(ctx)
        offered = self.toolsets_of(actor)
        return Call(actor, correlation_id, progress, toolsets=offered, tools=tools, waits=lambda: waits(ctx))

    def toolsets_of(self, actor: Actor) -> frozenset[str] | None:
        """The toolsets that are there for a caller: those offered which it reaches; None for all."""
        reached = actor.scope.toolsets
        if self.toolsets is None or reached is None:
            return reached if self.toolsets is None else self.toolsets
        return self.toolsets & reached

    def reached(self, ctx: RequestContext) -> frozenset[str] | None:
        """The toolsets that are there for who makes a request; None for all."""
        return self.toolsets_of(self.actor_of(ctx))

    async def spoken(self, ctx: RequestContext, call: Call, said: Said = _NOTHING_SAID) -> Call:
        """The call with its speaker.

        Raises:
            OpsError: there is none as named, or the principal may not speak as it.
        """
        agent = _agent_of(ctx)
        said = said if agent is None else replace(said, set_up_as=agent)
        return await self._voices.of(call, said, local=call.actor.is_local)

    async def run(
        self,
        ctx: RequestContext,
        what: str,
        action: Callable[[Call], Awaitable[T]],
        said: Callable[[], Said] = lambda: _NOTHING_SAID,
        tools: Set[str] | None = None,
    ) -> T:
        """Run one call.

        Args:
            ctx: the request.
            what: a tool's or resource's name.
            action: does it, given the call with its speaker.
            said: what the call says about who speaks.
            tools: the names of the tools that are offered; None for all.

        Raises:
            OpsError: the call was refused; or it hit a bug, of which the error holds only the correlation id.
            MCPError: a protocol error, passed on.
        """
        call = self.call_of(ctx, tools)
        started = time.perf_counter()
        outcome = "ok"
        bound = structlog.contextvars.bind_contextvars(correlation_id=call.correlation_id, actor=call.actor.label)
        try:
            with self.limits.holding(Thing.CALLS, Caller.of(call.actor)), looking_sparingly():
                spoken = await self.spoken(ctx, call, said())
                if spoken.speaker is not None:
                    structlog.contextvars.bind_contextvars(actor=spoken.label)
                return await action(spoken)
        except OpsError as error:
            outcome = error.code
            log.info("refused", what=what, code=error.code, message=error.wrong)
            raise
        except MCPError:
            outcome = "protocol_error"
            raise
        except Exception as error:
            outcome = "bug"
            log.exception("bug", what=what)
            raise bug(call.correlation_id) from error
        finally:
            seconds = time.perf_counter() - started
            self._observer.called(what, outcome, seconds)
            log.debug("called", what=what, outcome=outcome, duration_ms=round(seconds * 1000, 2))
            structlog.contextvars.reset_contextvars(**bound)


def waits(ctx: RequestContext) -> None:
    """Let the next of the caller's requests come, since this one only waits from now on."""
    turn = None if ctx.request is None else ctx.request.scope.get(TURN)
    if turn is not None:
        turn.done()


def bug(correlation_id: str) -> Unavailable:
    """What a caller is told of a bug."""
    return Unavailable(
        f"The server hit an internal error. Its log has the details under correlation id {correlation_id}.",
        next="Report that id to the operator of this server.",
        details={"correlation_id": correlation_id},
    )


def error_content(error: OpsError) -> dict[str, Any]:
    """A refusal as the public contract has it: `{code, message, details}`."""
    return {"code": error.code, "message": error.message, "details": error.details}


def protocol_error(error: OpsError, uri: str) -> MCPError:
    """A refusal where MCP has no error results: resources and completions."""
    code = INVALID_PARAMS if isinstance(error, (NotFound, ValidationFailed, CursorExpired)) else INTERNAL_ERROR
    return MCPError(code=code, message=error.message, data={"uri": uri} | error_content(error))


def _agent_of(ctx: RequestContext) -> str | None:
    meta: Any = ctx.meta or {}
    named = meta.get(AGENT_META)
    return named if isinstance(named, str) and len(named) <= NAME_CHARACTERS_MAX else None


def _trace_id(ctx: RequestContext) -> str | None:
    """The trace id of a W3C traceparent in the request's `_meta`."""
    meta: Any = ctx.meta or {}
    parts = str(meta.get("traceparent", "")).split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 and parts[1].isalnum() else None
