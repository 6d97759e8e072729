"""What makes changes of calls that are data. Each goes through the door of a call that is made on its own: it must be
offered, its caller may make it, who speaks in it may, and its arguments are checked by the same code."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from mcp_server.domain.agents.speaking import require_voice
from mcp_server.domain.desk import Desk
from mcp_server.domain.speaking import Said, Voices
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.call import Call, Grant
from mcp_server.kernel.checks import refuse
from mcp_server.kernel.composing import CalledTool, Composed
from mcp_server.kernel.errors import NotFound, OpsError, ValidationFailed
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.near import folded
from mcp_server.kernel.paths import mapped
from mcp_server.kernel.quoting import named
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.values import plain
from mcp_server.kernel.writes import Place
from mcp_server.protocol.apart import is_of_itself, no_part, not_composable, read_before, with_one_list
from mcp_server.protocol.guarding import Wanted, kept_out, naming, refused
from mcp_server.protocol.loading import Loading
from mcp_server.protocol.references import (
    REFERENCE,
    call_meant,
    meant_by,
    require_no_half_reference,
    require_none_sent,
    unread,
)
from mcp_server.protocol.saying import said_by, with_titles
from mcp_server.protocol.tool_calls import Given, checked, named_as_known, said, split, validated
from tools import KNOWN
from tools.spec import AnyTool, Part

_WRITES = {name: tool for name, tool in KNOWN.items() if tool.composable}


async def compose(
    services: Services, call: Call, calls: Sequence[CalledTool], argument: str, *, later: Grant | None = None
) -> list[Composed]:
    """See `kernel.composing.Compose`."""
    desk = cast("Desk", services)
    composer = _Composer(desk, call, later)
    changes: list[Composed] = []
    found: list[OpsError] = []
    for number, asked in enumerate(calls):
        await asyncio.sleep(0)  # each may be as large as a call of its own, and others have their turn between those
        place = Place(argument, number, asked.tool)
        try:
            with place.named():
                changes.append(await composer.change(place, asked))
        except OpsError as error:
            composer.pass_over(number)
            # What else is refused after another call may be so for that one's sake.
            if not found or is_of_itself(error):
                found.append(error)
    refuse(with_one_list(found))
    return await _rules_kept(desk, call, changes, later)


async def _rules_kept(desk: Desk, call: Call, changes: Sequence[Composed], later: Grant | None) -> list[Composed]:
    """The calls, each with the time that the operator's rules about it give people; of which none names one that people
    did not say yes to.

    Raises:
        PermissionDenied: it names the first, and holds the call that asks about all of them.
    """
    wanted: list[Wanted] = []
    kept: list[Composed] = []
    for one in changes:
        rules = await naming(desk, one.call, _WRITES[one.tool].whole(), one.asked)
        lasts = min((rule.expires_in_seconds for rule in rules), default=None)
        kept.append(replace(one, lasts_seconds=lasts))
        wanted.append(Wanted(one.shown(), one.says, kept_out(desk, one.call, rules, later)))
    for change, one in zip(changes, wanted, strict=True):
        if one.rules:
            with change.named():
                raise await refused(desk, call, wanted if _can_wait(changes) else [one for one in wanted if one.rules])
    return kept


def _can_wait(changes: Sequence[Composed]) -> bool:
    """Whether all of them could be made later: none rests on a lease."""
    return not any(_WRITES[one.tool].whole().own_lease or one.arguments.get("lease_token") for one in changes)


class _Composer:
    """Makes changes of the calls of one commit, one after the other."""

    def __init__(self, desk: Desk, call: Call, later: Grant | None) -> None:
        self._desk = desk
        self._call = call
        self._later = later
        self._stands_for: dict[str, tuple[int, int]] = {}
        self._registers: dict[str, Speaker] = {}
        """By name the agents that calls before register, each by an id that stands for its own."""
        self._writes: dict[str, int] = {}
        """The documents that calls before write, each by which."""
        self._values: dict[str, str] = {}
        """What those will hold, where that is known."""
        self._made: list[list[str]] = []
        """For each call before, ids that stand for what it will make, until that is there."""

    async def change(self, place: Place, asked: CalledTool) -> Composed:
        """The change that a call comes to.

        Raises:
            OpsError: it may not be made, cannot be composed, or makes no sense.
        """
        tool, part = await self._tool(asked.tool)
        self._call.actor.require(tool.permission)
        given = split(tool, named_as_known(tool, asked.arguments))
        self._require_no_lease(tool, given.shared)
        call = await self._spoken(said(tool, given))
        standing = given._replace(own=mapped(given.own, tool.names_made(), self._standing_in))
        command = await self._as_seen(part, await self._checked(tool, call, standing))
        why = part.alone(command)
        if why is not None:
            raise not_composable(tool.name, why.why, why.next)
        if part.is_private:
            require_none_sent(f"{place.argument}[{place.number}]", standing.own, self._made)
        told = unread(f"{place.argument}[{place.number}]", standing.own, self._made)
        self._will_make(part.makes(command))
        if tool.name == "agents_register":
            self._registers[command.name] = Speaker(self._made[-1][0], command.name)
        is_bound = standing != given
        filled = await self._filled(part, call, command)
        return Composed(
            call,
            _write_of(tool, self._desk),
            command if filled is None else filled[0],
            place,
            partial(self._bound, tool, call, standing) if is_bound else None,
            self._voice_of(call),
            part.made,
            part.failed,
            tool=tool.name,
            arguments=(given.own if is_bound else plain(command)) | given.shared,
            says=await self._words(call, self._as_referred(_said(part, command, filled))),
            is_private=part.is_private,
            content=None if filled is None else filled[1],
            asked=command,
            warnings=told,
        )

    async def _checked(self, tool: AnyTool, call: Call, standing: Given) -> Any:
        """The command; a refusal names what is not there yet as the caller did."""
        try:
            return await checked(self._desk, tool, call, standing, self._registers)
        except OpsError as error:
            error.message = self._as_referred(error.message)
            error.details = json.loads(self._as_referred(dump_json(error.details)))
            raise

    def _as_referred(self, text: str) -> str:
        """The text with what is not there yet named as the caller does."""
        for id_, (number, which) in self._stands_for.items():
            text = text.replace(id_, f"@{number}.{which}")
        return text

    async def _as_seen(self, part: Part, command: Any) -> Any:
        """What people are asked about is about what is there while they are asked: where that is changed meanwhile, a
        call would undo what nobody has decided about. What a call before writes is bound by that one; who attaches it
        gets what it will hold.

        Raises:
            ValidationFailed: it reads what a call before writes, and what that will hold is not known yet.
        """
        document = part.writes(command)
        self._require_reached([*part.reads(command), *filter(None, (document,))])
        command = part.put_in(command, self._values)
        self._require_known(part.reads(command))
        if document is not None:
            self._values = self._values_with(document, part.value(command))
        if document is None or document in self._writes:
            return command
        self._writes[document] = len(self._made)
        if part.observed is None or self._later is None:
            return command
        return command.model_copy(update=dict(await part.observed(self._desk, command)))

    def _require_reached(self, documents: Iterable[str]) -> None:
        for name in documents:
            self._call.actor.scope.require_namespace(name.partition("/")[0])

    def _require_known(self, documents: Iterable[str]) -> None:
        """Refuse to read what a call before writes."""
        for name in documents:
            if name in self._writes:
                raise read_before(name, self._writes[name])

    def _values_with(self, document: str, value: str | None) -> dict[str, str]:
        """What documents will hold once one more is written."""
        others = {name: one for name, one in self._values.items() if name != document}
        return others if value is None else others | {document: value}

    async def _filled(self, part: Part, call: Call, command: Any) -> tuple[Any, Any] | None:
        """What people say yes to is what they saw: looked up once when they are asked, and once when it is made."""
        if part.content is None or (self._later is None and self._call.grant is None):
            return None
        return await part.content(self._desk, call, command)

    async def _words(self, call: Call, says: str) -> str:
        """What people are told who are asked; nobody else looks what is behind its ids."""
        return says if self._later is None else await with_titles(self._desk, call, says)

    def pass_over(self, number: int) -> None:
        """Go on after a call that was refused, to tell what is wrong with the arguments of others as well."""
        self._made += [[] for _ in range(len(self._made), number + 1)]

    async def _tool(self, name: str) -> tuple[AnyTool, Part]:
        offered = self._call.tools
        reached = [name for name, tool in _WRITES.items() if self._call.is_offered(tool.toolset)]
        there = [one for one in reached if offered is None or one in offered]
        known = name if name in _WRITES else folded(name.rpartition("__")[2])  # as clients prefix it: mcp__desk__...
        if known in there:
            tool = await self._desk.get(Loading).tool(_WRITES[known])
            assert tool.part is not None, "it is composable"
            return tool, tool.part
        raise no_part(name, there)

    def _require_no_lease(self, tool: AnyTool, shared: Mapping[str, Any]) -> None:
        if self._later is not None and (tool.own_lease or shared.get("lease_token") is not None):
            why = "a lease does not last until people have decided"
            raise not_composable(tool.name, why, "Ask people first, and make it once they have decided.")

    async def _spoken(self, what: Said) -> Call:
        """Who speaks in a call: as whoever has them land, where it does not say otherwise."""
        call = self._call
        if not what.says_anything():
            return call
        if call.speaker is not None and what.as_agent is None:
            what = replace(what, as_agent=call.speaker.agent_id)
        try:
            spoken = await self._desk.get(Voices).of(call, what, local=call.actor.is_local)
        except NotFound:
            agent = self._registered(what.as_agent)
            if agent is None:
                raise
            spoken = call.spoken_by(agent, what.lease_token)
        return spoken.spoken_by(spoken.speaker, spoken.lease_token or call.lease_token)

    def _registered(self, named_so: str | None) -> Speaker | None:
        """The agent that a call before registers, by its name or as what that makes; None where none does.

        Raises:
            ValidationFailed: it is yet to be asked whether it may be there at all.
        """
        id_ = None if named_so is None else self._standing_in(named_so)
        found = next((one for one in self._registers.values() if id_ in one), None)
        if found is not None and self._later is not None:
            raise ValidationFailed(
                f"The agent {named(found.name)} is registered by a call of these, and speaks once that has landed.",
                next="Call agents_register on its own first, then these; or leave as_agent out here.",
            )
        return found

    def _voice_of(self, call: Call) -> Callable[[Transaction, Sequence[Sequence[str]]], Call] | None:
        """What proves in the transaction that its caller may speak as an agent which is not there yet."""
        speaker = call.speaker
        if speaker is None or speaker.agent_id not in self._stands_for:
            return None

        def voiced(tx: Transaction, made: Sequence[Sequence[str]]) -> Call:
            agent_id = self._real(speaker.agent_id, made)
            # Another may have registered one of that name meanwhile.
            require_voice(tx, self._desk.context.origin(call.spoken_by(None, None)), agent_id)
            return call.spoken_by(Speaker(agent_id, speaker.name), call.lease_token)

        return voiced

    def _standing_in(self, text: str) -> str:
        """The id that stands for what a reference names.

        Raises:
            ValidationFailed: no call before makes that.
        """
        match = REFERENCE.fullmatch(text)
        if match is None:
            only = self._made_alone(text)
            if only is None:
                require_no_half_reference(text)
                self._require_no_others_reference(text)
            return text if only is None else only
        number, which = int(match[1]), int(match[2])
        if number >= len(self._made):
            raise ValidationFailed(
                f"{text} names what call {number} makes, and that is not before this one.",
                next="A task of the same call is #n, the n-th from 0."
                if number == len(self._made)
                else "Calls, and what each makes, count from 0; put the one that makes it first.",
            )
        ids = self._made[number]
        if which >= len(ids):
            raise ValidationFailed(
                f"{text} is nothing: call {number} makes {len(ids)}.",
                next=f"Choose from @{number}.0 to @{number}.{len(ids) - 1}." if ids else "Give an id itself.",
            )
        return ids[which]

    def _require_no_others_reference(self, text: str) -> None:
        """Refuse a reference in the form of elsewhere, which is kept as text, or names a task of the same call."""
        meant = meant_by(text)
        if meant is not None and REFERENCE.fullmatch(meant):
            raise ValidationFailed(
                f"{named(text)} names nothing: what a call before makes is written @call.thing, both from 0.",
                next=f"Write {meant}; calls before this one: {len(self._made)}.",
            )

    def _made_alone(self, text: str) -> str | None:
        """The id that stands for the only thing that a call makes, of which a text says no more than the call."""
        number = call_meant(text)
        ids = [] if number is None else self._made[number : number + 1]
        return ids[0][0] if ids and len(ids[0]) == 1 else None

    def _will_make(self, kinds: Sequence[str]) -> None:
        ids = [self._desk.context.new_id(kind) for kind in kinds]
        self._stands_for |= {id_: (len(self._made), which) for which, id_ in enumerate(ids)}
        self._made.append(ids)

    def _bound(self, tool: AnyTool, call: Call, standing: Given, made: Sequence[Sequence[str]]) -> Any:
        """What is applied, once it is known what the calls before have made."""

        real = partial(self._real, made=made)
        return validated(tool, call, standing._replace(own=mapped(standing.own, tool.names_made(), real)))

    def _real(self, text: str, made: Sequence[Sequence[str]]) -> str:
        """The id of what is there now for one that stood for it."""
        number, which = self._stands_for.get(text, (None, 0))
        return text if number is None else made[number][which]


def _said(part: Part, command: Any, filled: tuple[Any, Any] | None) -> str:
    """A call in words; where its content stands elsewhere, with what that is now, which is what a yes is bound to."""
    return said_by(part, command) if filled is None else f"{said_by(part, command)}{part.comes_to(command, filled[0])}"


def _write_of(tool: AnyTool, desk: Desk) -> Any:
    assert tool.write is not None, f"{tool.name} has a part and no write"
    return tool.write(desk)
