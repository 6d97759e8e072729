"""Names that stand for nothing, looked up where a call is refused for something else: all that is wrong with it is told
at once, and the call to send has the names that were perhaps meant."""

from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, cast

from pydantic import BaseModel

from mcp_server.domain.agents.launchers import Launchers, unknown_launcher
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.deployments.targets import Targets
from mcp_server.domain.desk import Desk
from mcp_server.kernel.call import Call
from mcp_server.kernel.checks import found_by
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.meaning import AGENT, EVENT_TYPE, LAUNCHER, TARGET
from mcp_server.kernel.problems import Problem
from mcp_server.kernel.shapes import Shape, shape_of
from mcp_server.kernel.taking import taken

_LOOKED_UP_MAX = 10
Loc = tuple[str | int, ...]
Look = Callable[[Desk, Call, str], Awaitable[OpsError | None]]


async def strangers(
    desk: Desk, call: Call, model: type[BaseModel], given: Mapping[str, Any], soon: Container[str] = ()
) -> list[Problem]:
    """The names in the arguments of a call that stand for nothing, for a caller who may use the tool.

    Args:
        desk: knows what there is.
        call: who calls.
        model: of the arguments.
        given: the arguments.
        soon: names of agents that calls before it will have registered.
    """
    shape = shape_of(model)
    found: list[Problem] = []
    for loc, words, name in islice(named_things(shape, taken(shape, given), _LOOKS), _LOOKED_UP_MAX):
        if name in soon:
            continue
        error = await _LOOKS[words](desk, call, name)
        if error is not None:
            found.append(stranger(loc, error))
    return found


def stranger(loc: Loc, error: OpsError) -> Problem:
    """A name that stands for nothing as one of several things that are wrong."""
    return Problem(loc, error.message, near=tuple(error.details.get("near", ())))


def named_things(shape: Shape, value: Any, words: Container[str], loc: Loc = ()) -> Iterator[tuple[Loc, str, str]]:
    """The texts in arguments that stand for things of some kinds: where each stands, its kind, and the text.

    Args:
        shape: of the arguments.
        value: the arguments.
        words: the kinds, as `Meant` says them.
        loc: where the arguments stand.
    """
    if isinstance(value, str) and shape.meant.words in words:
        yield loc, shape.meant.words, value
    for part, one in _parts(value):
        inside = shape.inside(part)
        if inside is not None and inside.kind != "any":  # of what is not known nothing stands for a thing
            yield from named_things(inside, one, words, (*loc, part))


def _parts(value: Any) -> Iterable[tuple[str | int, Any]]:
    """The members of an object, or of a list; of anything else none."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).items()
    return enumerate(cast("list[Any]", value) if isinstance(value, list) else ())


async def _agent(desk: Desk, call: Call, name: str) -> OpsError | None:
    del call
    speaking = desk.get(Speaking)
    return None if await speaking.named(name) is not None else await speaking.unknown(name)


async def _event_type(desk: Desk, call: Call, name: str) -> OpsError | None:
    return desk.events.no_such_type(call, name)


async def _target(desk: Desk, call: Call, name: str) -> OpsError | None:
    del call
    targets = desk.option(Targets)
    return found_by(partial(targets.get, targets.aliases.get(name, name)))


async def _launcher(desk: Desk, call: Call, name: str) -> OpsError | None:
    del call
    known = desk.option(Launchers).known
    return None if name in known else unknown_launcher(name, known)


_LOOKS: Mapping[str, Look] = {
    AGENT.words: _agent,
    EVENT_TYPE.words: _event_type,
    LAUNCHER.words: _launcher,
    TARGET.words: _target,
}
