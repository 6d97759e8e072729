"""The operator's rules at the door of every write: whichever tool, method or call among several it comes through, and
however it is spelled."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any, NamedTuple, cast

from mcp_server.domain.agents.commands import is_id
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.approvals.people import mailbox
from mcp_server.domain.approvals.rules import UNKNOWN, Form, Named, Rule, Rules, question_for
from mcp_server.domain.deployments.targets import Targets
from mcp_server.domain.desk import Desk
from mcp_server.domain.locks.paths import may_meet, normalised
from mcp_server.domain.messages.model import CAPABILITY, PERSON
from mcp_server.kernel.addresses import comparable_address, is_like
from mcp_server.kernel.call import Call, Grant
from mcp_server.kernel.errors import OpsError, PermissionDenied, ValidationFailed
from mcp_server.kernel.json_text import INPUT_BYTES_MAX, dump_json
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.paths import mapped, texts_at
from mcp_server.kernel.services import Services
from mcp_server.kernel.values import plain
from mcp_server.protocol.saying import said_by, with_titles
from tools import TOOLS
from tools.spec import AnyTool, Part, Reference

_TITLE_CHARACTERS_MAX = 200
_SAYS_CHARACTERS_MAX = 1000
"""What a call says in words is about as long as this at most."""


@cache
def guarded() -> Mapping[str, tuple[AnyTool, Part]]:
    """What a rule may name: what people can be asked about beforehand, since it can be done later."""
    return {tool.name: (tool, tool.part) for tool in TOOLS if tool.part is not None and not tool.own_lease}


class Wanted(NamedTuple):
    """A call that rules name: its data, what it says to people, and those rules."""

    shown: Mapping[str, Any]
    says: str
    rules: Sequence[Rule]


class Door:
    """Refuses what a rule names, unless the people whom it names said yes to just that. `kernel.call.Guard`."""

    def __init__(self, services: Services) -> None:
        self._desk = desk = cast("Desk", services)
        asked = [(tool, tool.write) for tool, part in guarded().values() if not part.asks_itself]
        self._tools = {id(make(desk)): tool for tool, make in asked if make is not None}

    async def __call__(self, call: Call, write: Any, command: Any) -> None:
        """Look at a write.

        Raises:
            PermissionDenied: people have to be asked first; it holds the call that asks them.
        """
        tool = self._tools.get(id(write))
        if tool is None:
            return
        rules = await naming(self._desk, call, tool, command)
        broken = kept_out(self._desk, call, rules, None)
        if broken:
            part = guarded()[tool.name][1]
            arguments = {name: value for name, value in plain(command).items() if name not in part.only_now}
            says = said_by(part, command)
            raise await refused(self._desk, call, [Wanted({"tool": tool.name, "arguments": arguments}, says, broken)])


async def naming(desk: Desk, call: Call, tool: AnyTool, command: Any) -> list[Rule]:
    """The rules that name a call; what the server does by itself, none does."""
    rules = desk.option(Rules)
    known = guarded().get(tool.name) if rules.all else None
    if known is None or known[1].asks_itself or call.actor.kind == "system":
        return []
    said = plain(command, whole=True)
    forms = [
        form
        for form in (Form(tool.name, said), *known[1].forms(command, said))
        if any(fnmatchcase(form.tool, rule.tool) for rule in rules.all)  # else looking its names up is in vain
    ]
    return rules.naming([await _resolved(desk, form) for form in forms], call)


def kept_out(desk: Desk, call: Call, rules: Sequence[Rule], later: Grant | None) -> list[Rule]:
    """Those of the rules that name a call which it would break: now, or as people are to be asked about it."""
    known = desk.option(Rules)
    return known.broken(rules, call) if later is None else known.kept_out(rules, later)


async def refused(desk: Desk, call: Call, wanted: Sequence[Wanted]) -> PermissionDenied:
    """`_refusal`, in whose question stands by title what it is about."""
    return _refusal(call, [one._replace(says=await with_titles(desk, call, one.says)) for one in wanted])


def _refusal(call: Call, wanted: Sequence[Wanted]) -> PermissionDenied:
    """The refusal of calls of which rules name some, with the call that asks about all of them."""
    rules = list(dict.fromkeys(rule for one in wanted for rule in one.rules))
    arguments = _asking(call, wanted, rules)
    fits = len(dump_json(arguments["calls"])) + _SAYS_CHARACTERS_MAX * len(wanted) <= INPUT_BYTES_MAX
    ask = {"next_call": {"tool": "approvals_request", "arguments": arguments}} if fits else {}
    return PermissionDenied(
        f"The operator has people asked first ({'; '.join(rule.said_people() for rule in rules)}): a rule names "
        f"{'; '.join(rule.said() for rule in rules)}. Nothing was done.",
        next="Send details.next_call as it is: approvals_request with these calls, which run once they say yes."
        if fits
        else "It is too large for people to be asked about: write less at once, and ask about it (approvals_request).",
        details={"rules": [rule.said() for rule in rules], **ask},
    )


def _asking(call: Call, wanted: Sequence[Wanted], rules: Sequence[Rule]) -> dict[str, Any]:
    """The arguments of the request that asks about all of the calls."""
    says = next(one.says for one in wanted if one.rules)
    arguments: dict[str, Any] = {
        "title": one_line(says, _TITLE_CHARACTERS_MAX),
        "calls": [one.shown for one in wanted],
        **question_for(rules),
        "expires_in_seconds": min(rule.expires_in_seconds for rule in rules),
    }
    if call.speaker is not None and call.actor.kind != "agent":
        arguments["as_agent"] = call.speaker.name
    return arguments


def require_sense(number: int, rule: Rule) -> None:
    """Refuse a rule that names no tool, or an argument that none of its tools has: it would never name a call.

    Raises:
        ValidationFailed: saying what there is.
    """
    found = [(tool, part) for tool, part in guarded().values() if fnmatchcase(tool.name, rule.tool)]
    tools = [tool for tool, _ in found]
    if not tools:
        raise _no_sense(number, f"no tool is like {rule.tool!r} that people can be asked about", guarded())
    known = {name for tool, part in found for name in (*tool.arguments.model_fields, *part.inside)}
    for path, _ in rule.arguments:
        name = path.partition(".")[0]
        if name not in known:
            raise _no_sense(number, f"{', '.join(tool.name for tool in tools)} takes no argument {name!r}", known)


def _no_sense(number: int, why: str, known: Iterable[str]) -> ValidationFailed:
    return ValidationFailed(
        f"[[approve]] number {number} would never ask anybody: {why}.", next=f"Choose from: {', '.join(sorted(known))}."
    )


async def _resolved(desk: Desk, form: Form) -> Form:
    """The form with everything that it refers to by all its names."""
    arguments = dict(form.arguments)
    for path, kind in guarded()[form.tool][1].refers.items():
        known = {text: await _KINDS[kind](desk, text) for text in texts_at(arguments, path)}
        arguments = mapped(arguments, (path,), known.__getitem__)
    return form._replace(arguments=arguments)


Resolve = Callable[[Desk, str], Awaitable[Any]]


async def _agent(desk: Desk, text: str) -> Any:
    name = text.removeprefix("agent:")
    row = await desk.get(Speaking).named(name)
    if row is not None:
        return Named((text, row["id"], row["name"]))
    # One that a call before makes has no name yet.
    return UNKNOWN if is_id(name) else Named((text, name))


async def _party(desk: Desk, text: str) -> Any:
    if text.startswith(CAPABILITY):
        return UNKNOWN  # whoever has it
    return Named((text, text.removeprefix(PERSON))) if text.startswith(PERSON) else await _agent(desk, text)


async def _address(desk: Desk, text: str) -> Any:
    del desk
    try:
        return Named((text, mailbox(text)), partial(is_like, comparable_address(text)))
    except OpsError:
        return Named((text,))


async def _lock(desk: Desk, text: str) -> Any:
    del desk

    def meets(pattern: str) -> bool:
        return may_meet(text, normalised(pattern))

    return Named((text,), meets)


async def _target(desk: Desk, text: str) -> Any:
    return Named((text, desk.option(Targets).aliases.get(text, text)))


_KINDS: Mapping[Reference, Resolve] = {
    "agent": _agent,
    "party": _party,
    "address": _address,
    "lock": _lock,
    "target": _target,
}
