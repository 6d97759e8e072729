"""Who gets a message: what its sender names, and who takes part in a thread."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mcp_server.domain.agents.rows import (
    LOOKED_FOR_MAX,
    every_name,
    is_staying,
    named_agent,
    names_near,
    skills_near,
    staying_agent,
    staying_agents,
    with_skills,
)
from mcp_server.domain.agents.speaking import known_agent
from mcp_server.domain.messages.model import CAPABILITY, PERSON, RECIPIENTS_MAX, SendMessage, is_person
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import VIA, Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.checks import noting, refuse
from mcp_server.kernel.errors import LimitExceeded, NotFound, OpsError, PermissionDenied, ValidationFailed
from mcp_server.kernel.events import Origin
from mcp_server.kernel.near import did_you_mean
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.store import Transaction

NAMES_SHOWN = 10
_WORDS_FOR_ALL = ("all", "*", "everyone", "everybody", "all agents", "agents", "team")
_WORDS_FOR_THE_USER = ("user", "the user", "me", "human", "person", "operator", "owner")


class Recipients(NamedTuple):
    """The parties that get a message, with what people call them; and who took part in its thread and is there no
    more."""

    parties: dict[str, str]
    skipped: list[str]


def recipients_of(tx: Transaction, origin: Origin, command: SendMessage) -> Recipients:
    """Who gets a message: whom it names; or, where it names nobody, everyone in its thread but the sender.

    Raises:
        NotFound: nobody is called so, has the capability, or else takes part.
        InvalidTransition: an agent that is named has left.
        LimitExceeded: too many would get it.
    """
    if not command.to:
        return _others(tx, origin, command.thread_id or "")
    parties: dict[str, str] = {}
    found: list[OpsError] = []
    able = _able(tx, command.to)
    for reference in sorted(set(command.to)):
        with noting(found):
            parties |= _parties(tx, origin, reference, able)
    refuse(found)
    if len(parties) > RECIPIENTS_MAX:
        raise LimitExceeded(
            f"More than {RECIPIENTS_MAX} would get this message.",
            next="Name those who need it, or write it with state_set and name the document in a message to some.",
            details={"recipients_max": RECIPIENTS_MAX},
        )
    return Recipients(parties, [])


def as_resolved(tx: Transaction, references: Iterable[str]) -> list[str]:
    """Recipients as an idempotency key is bound to them: agents by their ids, however they were named."""
    return [_resolved(tx, reference) for reference in references]


def require_part(tx: Transaction, origin: Origin, thread_id: str) -> None:
    """Refuse who takes no part in a thread, which means to have sent or got a message of it.

    Raises:
        NotFound: there is no such thread.
        PermissionDenied: the caller takes no part in it and has no control over messages.
    """
    if tx.one("thread_end", thread_id=thread_id) is None:
        raise no_thread(thread_id)
    if tx.one("thread_part", thread_id=thread_id, party=origin.party) is None:
        require_control(origin.may(Permission.MESSAGES_CONTROL), origin.party, thread_id)


def no_thread(thread_id: str) -> NotFound:
    """The refusal of an id that names no thread."""
    return NotFound(
        f"There is no thread {named(thread_id)}.",
        next="Leave thread_id out to begin one; an answer takes the thread_id of what it answers.",
        details={"thread_id": thread_id},
    )


def require_control(may: bool, party: str, thread_id: str) -> None:
    """Refuse who takes no part in a thread, unless it has control.

    Raises:
        PermissionDenied: it has not.
    """
    if not may:
        raise PermissionDenied(
            f"{party} takes no part in the thread {named(thread_id)}.",
            next="Speak as one who does (as_agent), or begin a thread of your own.",
            details={"thread_id": thread_id, "party": party, "permission": Permission.MESSAGES_CONTROL.value},
        )


def called(tx: Transaction, party: str) -> str:
    """What people call a party: an agent's name, or `user:NAME`."""
    agent = None if is_person(party) else known_agent(tx, party)
    return party if agent is None else agent["name"]


def agent_of(reference: str) -> str:
    """The agent's name or id in what may also be a label, such as `agent:scribe via user:local`."""
    return reference.partition(VIA)[0].removeprefix("agent:")


def _others(tx: Transaction, origin: Origin, thread_id: str) -> Recipients:
    parties = [row["party"] for row in tx.all("thread_parties", thread_id=thread_id, party=origin.party)]
    gone = {party for party in parties if not (is_person(party) or is_staying(tx, party))}
    if gone.issuperset(parties):
        raise NotFound(
            f"Nobody but {named(called(tx, origin.party))}, who speaks here, takes part in the thread "
            f"{named(thread_id)} any more.",
            next="Name in `to` who is to get the message; as_agent says who speaks.",
            details={"thread_id": thread_id, "skipped": parties},
        )
    names = {party: called(tx, party) for party in parties}
    skipped = [names.pop(party) for party in parties if party in gone]
    return Recipients(names, skipped)


def _parties(tx: Transaction, origin: Origin, reference: str, able: Mapping[str, Sequence[str]]) -> dict[str, str]:
    if reference.startswith(CAPABILITY):
        capability = reference.removeprefix(CAPABILITY)
        _require_some(tx, capability, able[capability])
        return {party: called(tx, party) for party in able[capability]}
    if is_person(reference):
        return {_person(reference): reference}
    agent = staying_agent(tx, agent_of(reference))
    if agent is None and reference.casefold() in _WORDS_FOR_ALL:
        return _all_others(tx, origin, reference)
    if agent is None:
        raise _no_agent_but_the_user(origin, reference) or _nobody(tx, reference)
    return dict([agent])


def _all_others(tx: Transaction, origin: Origin, word: str) -> dict[str, str]:
    """Every agent that has not left, but the sender; as many as may get a message, and one more.

    Raises:
        NotFound: there is no other.
    """
    others = {id_: name for id_, name in staying_agents(tx, RECIPIENTS_MAX + 2) if id_ != origin.party}
    if not others:
        raise NotFound(
            f"{quoted(word)} means every other agent, and there is none.",
            next="agents_register makes one; a person is user:NAME.",
            details={"to": word},
        )
    return others


def _person(reference: str) -> str:
    name = reference.removeprefix(PERSON)
    if not name or len(name) > 64 or ":" in name or any(character.isspace() for character in name):
        raise ValidationFailed(f"{quoted(reference)} names no person.", next="Write user:NAME, such as user:local.")
    return reference


def _no_agent_but_the_user(origin: Origin, reference: str) -> NotFound | None:
    """The refusal of a word for the person here, where one is."""
    person = origin.principal
    if not is_person(person) or reference.casefold() not in (*_WORDS_FOR_THE_USER, person.removeprefix(PERSON)):
        return None
    return NotFound(
        f"There is no agent {named(reference)}. The user here is {named(person)}.",
        next=f"Write to {quoted(person)}; another person is user:NAME.",
        details={"to": reference, "near": [person]},
    )


def _nobody(tx: Transaction, reference: str) -> NotFound:
    """The refusal of a name of no agent. What may have been meant is looked for while few such have been met in one
    transaction: others wait."""
    met: set[str] = tx.notes.setdefault(_nobody, set())
    met.add(reference)
    is_looked_for = len(met) <= LOOKED_FOR_MAX
    if is_looked_for and with_skills(tx, [reference], 1)[reference]:
        return NotFound(
            f"There is no agent {named(reference)}; it is a capability that agents have.",
            next=f"Write to {quoted(CAPABILITY + reference)} to reach all who have it.",
            details={"to": reference, "near": [f"{CAPABILITY}{reference}"]},
        )
    near = names_near(tx, reference)
    there = every_name(tx) if is_looked_for and not near else []
    more = f" and {len(there) - NAMES_SHOWN} more" if len(there) > NAMES_SHOWN else ""
    known = f"There are {', '.join(map(named, there[:NAMES_SHOWN]))}{more}. " if there else ""
    return NotFound(
        f"There is no agent {named(reference)}.",
        next=f"{did_you_mean(near)}{known}List agents with agents_find; a person is user:NAME.",
        details={"to": reference, "near": near},
    )


def _able(tx: Transaction, references: Iterable[str]) -> dict[str, list[str]]:
    """For each capability that is named the agents that have it: as many as may get a message, and one more."""
    capabilities = {one.removeprefix(CAPABILITY) for one in references if one.startswith(CAPABILITY)}
    return with_skills(tx, sorted(capabilities), RECIPIENTS_MAX + 1)


def _require_some(tx: Transaction, capability: str, able: Sequence[str]) -> None:
    if not able:
        like = [f"{CAPABILITY}{one}" for one in skills_near(tx, capability)]
        raise NotFound(
            f"No agent has the capability {quoted(capability)}, so nobody would get the message.",
            next=f"{did_you_mean(like)}See agents_find, or name the recipients.",
            details={"capability": capability} | ({"near": like} if like else {}),
        )


def _resolved(tx: Transaction, reference: str) -> str:
    if reference.startswith((PERSON, CAPABILITY)):
        return reference
    try:
        return named_agent(tx, agent_of(reference)).id
    except NotFound:
        return reference


async def unknown_people(standing: Standing, call: Call, parties: Iterable[str]) -> list[str]:
    """Those among some parties that are no users here yet; who calls is here.

    Args:
        standing: who is a user here.
        call: who asks.
        parties: agents by their ids, and people.
    """
    people = [one for one in parties if is_person(one) and one not in (call.party, call.actor.label)]
    return [one for one in people if await standing.profile(one.removeprefix(PERSON)) is None]
