"""Whether the answers about one document are those of a register with compare-and-set: linearizability, looked for as
Wing and Gong do, with Lowe's memory of what was tried ("Testing for linearizability", 2017)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from tests.faults.histories.recorder import NEVER

STATES_MAX = 100_000
"""So many states of one document are tried; what needs more is not called right."""


class Head(NamedTuple):
    """The document at a moment: its last version, and its value, None while it has none."""

    version: int = 0
    value: int | None = None


class Op(NamedTuple):
    """A call about the document, between two moments in seconds, and what it was told.

    Attributes:
        does: what was asked.
        outcome: `done`, how it was refused, or `unknown`: it may have counted at any time since, or not at all.
        expected: the version that it asked for; None takes any.
        value: what it was to write, or what it was told to be there.
        version: the version it was told: written, read, deleted, or current where that was not expected.
    """

    does: Literal["get", "set", "delete"]
    outcome: Literal["done", "conflict", "not_found", "unknown"]
    invoked: float
    returned: float = NEVER
    expected: int | None = None
    value: int | None = None
    version: int | None = None


def done(head: Head, op: Op) -> Head | str:
    """The rule: what a call makes of a document, or how it is refused."""
    current = 0 if head.value is None else head.version
    if op.does != "set" and head.value is None:
        return "not_found"
    if op.expected not in (None, current):
        return "conflict"
    if op.does == "set":
        return Head(head.version + 1, op.value)
    return head if op.does == "get" else Head(head.version)


def explained(head: Head, op: Op) -> Head | None:
    """The document after a call that was told the truth at this moment; None where this is not its moment."""
    after = done(head, op)
    if isinstance(after, str):
        current = 0 if head.value is None else head.version
        return head if after == op.outcome and op.version in (None, current) else None
    if op.outcome == "unknown":
        return after
    is_true = op.outcome == "done" and op.version == after.version
    return after if is_true and (op.does != "get" or op.value == after.value) else None


class Tried(NamedTuple):
    """How far an order came: which calls have had their moment, a bit for each, and what the document is then."""

    had: int
    head: Head


class _Search:
    """Looks for an order of one document's calls. A call whose end is known has its moment before any that began after
    that end; one that is unknown has it whenever it fits, or never."""

    def __init__(self, ops: Sequence[Op]) -> None:
        useful = (op for op in ops if not (op.outcome == "unknown" and op.does == "get"))
        self.ops = sorted(useful, key=lambda op: op.invoked)
        self._known = sum(1 << place for place, op in enumerate(self.ops) if op.outcome != "unknown")
        self._told = {op.version for op in self.ops if op.does == "set" and op.outcome == "done"}
        self.furthest = Tried(0, Head())

    def succeeds(self) -> bool:
        """Whether there is an order."""
        trying, seen = [self._settled(self.furthest)], set[Tried]()
        while trying:
            tried = trying.pop()
            if tried.had & self._known == self._known:
                return True
            if tried in seen:
                continue
            seen.add(tried)
            assert len(seen) < STATES_MAX, "more orders than can be tried: make the history shorter"
            self.furthest = max(self.furthest, tried, key=lambda one: (one.had & self._known).bit_count())
            trying += map(self._settled, self._next(tried))
        return False

    def ready(self, had: int) -> list[int]:
        """Which calls may have their moment now: no other has ended before they began."""
        left = [place for place in range(len(self.ops)) if not had >> place & 1]
        until = min((self.ops[place].returned for place in left), default=NEVER)
        return [place for place in left if self.ops[place].invoked <= until]

    def _settled(self, tried: Tried) -> Tried:
        """The same with all calls that are true now and change nothing: there is no better moment for them."""
        had, head = tried
        while now := [place for place in self.ready(had) if self._is_seen(head, self.ops[place])]:
            had |= sum(1 << place for place in now)
        return Tried(had, head)

    @staticmethod
    def _is_seen(head: Head, op: Op) -> bool:
        return op.outcome != "unknown" and explained(head, op) == head

    def _next(self, tried: Tried) -> list[Tried]:
        """One change further, the most probable last. Of unknown calls that come to the same one is enough, and none
        makes a version that another was told to have made."""
        known, unknown = list[Tried](), dict[tuple[Head, int | None], Tried]()
        for place in self.ready(tried.had):
            op = self.ops[place]
            after = explained(tried.head, op)
            if after is None or after == tried.head:
                continue
            further = Tried(tried.had | 1 << place, after)
            if op.outcome != "unknown":
                known.append(further)
            elif op.does == "delete" or after.version not in self._told:
                unknown.setdefault((after, op.expected), further)
        return [*unknown.values(), *known]


def unexplained(ops: Sequence[Op]) -> str | None:
    """Why no order of the calls explains what they were told; None where one does.

    Args:
        ops: all calls about one document that was not there before; each value is written by one of them at most.
    """
    search = _Search(ops)
    if search.succeeds():
        return None
    had, head = search.furthest
    waiting = "\n".join(str(search.ops[place]) for place in search.ready(had))
    ordered = f"{had.bit_count()} of {len(search.ops)} calls have an order, up to {head}"
    return f"{ordered}; none of these can be next:\n{waiting}"
