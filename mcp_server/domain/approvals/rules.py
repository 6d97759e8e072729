"""The operator's rules: which calls people are asked about first, and whom.

A rule sees a call in every form in which it could have been made: a patch of a document as the writing that it comes
to, an agent's id as its name. What a form does not tell counts as met, so that no way of saying it goes around a rule.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, cast

from mcp_server.domain.approvals.people import distinct, person_key
from mcp_server.kernel.call import Call, Grant
from mcp_server.kernel.json_text import canonical, dump_json


class Unknown:
    """What a call does not tell, and may bring about all the same."""


UNKNOWN = Unknown()


class Named(NamedTuple):
    """Something by all its names; `meets`, where it stands for more than it says, such as a glob."""

    names: tuple[str, ...]
    meets: Callable[[str], bool] | None = None

    def is_like(self, pattern: str) -> bool:
        """Whether one of its names fits."""
        folded = pattern.casefold()
        return any(fnmatchcase(name.casefold(), folded) for name in self.names) or (
            self.meets is not None and self.meets(pattern)
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """What an argument has to be, for a rule to name a call: one of some values, like a pattern, over a number."""

    equals: tuple[Any, ...] = ()
    glob: str | None = None
    over: float | None = None

    def is_met(self, value: Any) -> bool:
        """Whether a value is such a one."""
        if value is UNKNOWN:
            return True
        return (
            any(_is_same(value, one) for one in self.equals)
            or (self.glob is not None and _is_like(value, self.glob))
            or (self.over is not None and _is_over(value, self.over))
        )

    def said(self) -> str:
        """It in words."""
        told = [f"is {' or '.join(map(dump_json, self.equals))}"] if self.equals else []
        told += [f"is like {self.glob}"] if self.glob is not None else []
        told += [f"is over {self.over:g}"] if self.over is not None else []
        return " or ".join(told)


class Form(NamedTuple):
    """A call in one of the forms in which it could have been made.

    Attributes:
        tool: by name.
        arguments: what it says; `UNKNOWN` for what it may bring about without saying so.
        alters: whether it changes a part of what was made another time. What it does not say may be as it was, so that
            it is one that a rule names only where something that it says is met.
    """

    tool: str
    arguments: Mapping[str, Any]
    alters: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls that wait for people, and for whom; patterns as file names have them."""

    tool: str = "deployments_*"
    target: str = "*"
    environment: str = "*"
    arguments: tuple[tuple[str, Condition], ...] = ()
    speakers: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    quorum: Literal["any", "all"] | int = "any"
    expires_in_seconds: float = 86_400.0

    def names(self, form: Form, speakers: Collection[str]) -> bool:
        """Whether it is about this call, made by somebody with these names."""
        return (
            fnmatchcase(form.tool, self.tool)
            and (not self.speakers or any(fnmatchcase(who, one) for who in speakers for one in self.speakers))
            and all(self._fits_place(form, name) for name in ("target", "environment"))
            and self._fits_arguments(form)
        )

    def _fits_place(self, form: Form, name: str) -> bool:
        pattern: str = getattr(self, name)
        return pattern == "*" or Condition(glob=pattern).is_met(form.arguments.get(name))

    def _fits_arguments(self, form: Form) -> bool:
        found = [
            [one for one in values_at(form.arguments, path.split(".")) if condition.is_met(one)]
            for path, condition in self.arguments
        ]
        if not form.alters:
            return all(found)
        is_said = [bool(list(values_at(form.arguments, path.split(".")))) for path, _ in self.arguments]
        # What is said has to be met; what is not said may well be so.
        return any(found) and all(met or not told for met, told in zip(map(bool, found), is_said, strict=True))

    def people(self) -> list[str]:
        """Who is asked; nobody named means anyone who may decide."""
        return distinct(self.approvers)

    def needed(self) -> int:
        """How many of them have to say yes."""
        named = max(len(self.people()), 1)
        return named if self.quorum == "all" else 1 if self.quorum == "any" else self.quorum

    def is_kept_by(self, asked: Grant, trusted: Collection[str]) -> bool:
        """Whether a question would keep it, whoever of those asked says yes.

        Args:
            asked: whom it is put to, and how many have to say yes.
            trusted: the keys of everybody whom the operator's rules name.
        """
        mine, theirs = _keys(self.approvers), _keys(asked.asked)
        if not mine:
            return theirs <= set(trusted)
        return bool(theirs) and asked.needed - len(theirs - mine) >= self.needed()

    def is_kept_by_answers(self, grant: Grant, trusted: Collection[str]) -> bool:
        """Whether those said yes whom it wants to."""
        mine, yes = _keys(self.approvers), _keys(grant.yes)
        if not mine:
            return bool(yes) and _keys(grant.asked) <= set(trusted)
        return len(mine & yes) >= self.needed()

    def said(self) -> str:
        """It in words, for people and models."""
        what = [f"{path} {condition.said()}" for path, condition in self.arguments]
        places = {"target": self.target, "environment": self.environment}
        what += [f"{name} is like {pattern}" for name, pattern in places.items() if pattern != "*"]
        what += [f"made by {' or '.join(self.speakers)}"] if self.speakers else []
        return f"{self.tool}{' where ' if what else ''}{', '.join(what)}"

    def said_people(self) -> str:
        """Whom it has asked, in words."""
        people = self.people()
        return f"{self.needed()} of {', '.join(people)}" if people else "anyone who may decide"


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's rules."""

    all: tuple[Rule, ...] = ()

    def trusted(self) -> frozenset[str]:
        """The keys of everybody whom they name."""
        return frozenset(key for rule in self.all for key in _keys(rule.approvers))

    def naming(self, forms: Iterable[Form], call: Call) -> list[Rule]:
        """The rules that name a call, in whichever of its forms."""
        known, who = list(forms), speakers_of(call)
        return [rule for rule in self.all if any(rule.names(form, who) for form in known)]

    def broken(self, rules: Iterable[Rule], call: Call) -> list[Rule]:
        """Those of some rules that what people said yes to in this call does not keep."""
        grant, trusted = call.grant, self.trusted()
        return [rule for rule in rules if grant is None or not rule.is_kept_by_answers(grant, trusted)]

    def kept_out(self, rules: Iterable[Rule], asked: Grant) -> list[Rule]:
        """Those of some rules that a question put so would not keep."""
        trusted = self.trusted()
        return [rule for rule in rules if not rule.is_kept_by(asked, trusted)]


def question_for(rules: Iterable[Rule]) -> dict[str, Any]:
    """Whom to ask so that several rules are kept: the arguments of a request."""
    named = [rule for rule in rules if rule.people()]
    people = distinct(person for rule in named for person in rule.approvers)
    alike = len({frozenset(_keys(rule.approvers)) for rule in named}) == 1
    needed = max(rule.needed() for rule in named) if alike else len(people)
    quorum = "any" if needed <= 1 else "all" if needed == len(people) else needed
    return {"approvers": people, "quorum": quorum}


def speakers_of(call: Call) -> set[str]:
    """Every name of who makes a call: the agent that speaks, the principal, and both as one label."""
    names = {call.label, call.actor.label}
    if call.speaker is not None:
        names |= {call.speaker.label, f"agent:{call.speaker.agent_id}"}
    return names


def values_at(value: Any, path: list[str]) -> Iterator[Any]:
    """What stands at a path: through every member of a list, and into JSON that was sent as text."""
    if value is UNKNOWN or (not path and not isinstance(value, list)):
        yield value
    elif isinstance(value, Named):
        return
    elif isinstance(value, (list, tuple)):
        yield from _in_list(list(cast("Iterable[Any]", value)), path)
    elif isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        if path[0] in members:
            yield from values_at(members[path[0]], path[1:])
    elif isinstance(value, str) and (inside := _json_in(value)) is not None:
        yield from values_at(inside, path)


def _in_list(items: list[Any], path: list[str]) -> Iterator[Any]:
    if not path and not any(isinstance(item, (Named, Unknown)) for item in items):
        yield items
    for number, item in enumerate(items):
        if path and path[0] in ("*", str(number)):
            yield from values_at(item, path[1:])
        yield from values_at(item, path)


def _json_in(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("Any", value) if isinstance(value, (dict, list)) else None


def _is_same(value: Any, wanted: Any) -> bool:
    if isinstance(value, Named):
        return isinstance(wanted, str) and value.is_like(_literally(wanted))
    return _text(value) == _text(wanted)


def _text(value: Any) -> str:
    """A value as text, the same for 5, 5.0 and "5"."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    return dump_json(canonical(value)) if value == value else "NaN"


def _is_like(value: Any, pattern: str) -> bool:
    if isinstance(value, Named):
        return value.is_like(pattern)
    if not isinstance(value, (str, int, float)):
        return False
    return fnmatchcase(value if isinstance(value, str) else dump_json(value), pattern)


def _is_over(value: Any, limit: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        return float(value) > limit
    except (ValueError, OverflowError):
        return isinstance(value, int) and value > 0


def _literally(text: str) -> str:
    """A pattern that stands for just this text."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def _keys(people: Iterable[str]) -> set[str]:
    return set(map(person_key, people))
