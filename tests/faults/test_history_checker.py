"""The checkers of histories find what is wrong, and nothing in what is right."""

from itertools import chain, combinations, pairwise, permutations
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.faults.histories import documents, leases, locks
from tests.faults.histories.documents import Head, done, explained, unexplained
from tests.faults.histories.recorder import NEVER

CONFUSIONS: dict[str, list[documents.Op]] = {
    "a write that was answered is not read": [
        documents.Op("set", "done", 0, 1, value=1, version=1),
        documents.Op("get", "not_found", 2, 3),
    ],
    "a read goes back": [
        documents.Op("set", "done", 0, 1, value=1, version=1),
        documents.Op("set", "done", 0, 9, value=2, version=2),
        documents.Op("get", "done", 2, 3, value=2, version=2),
        documents.Op("get", "done", 4, 5, value=1, version=1),
    ],
    "two compare the same version and both set": [
        documents.Op("set", "done", 0, 1, value=1, version=1),
        documents.Op("set", "done", 2, 9, expected=1, value=2, version=2),
        documents.Op("set", "done", 2, 9, expected=1, value=3, version=3),
    ],
    "a version that is there is refused": [
        documents.Op("set", "done", 0, 1, value=1, version=1),
        documents.Op("set", "conflict", 2, 3, expected=1, value=2, version=1),
    ],
    "what was deleted is read": [
        documents.Op("set", "done", 0, 1, value=1, version=1),
        documents.Op("delete", "done", 2, 3, version=1),
        documents.Op("get", "done", 4, 5, value=1, version=1),
    ],
    "what was refused is read": [
        documents.Op("set", "conflict", 0, 1, expected=4, value=1),
        documents.Op("get", "done", 2, 3, value=1, version=1),
    ],
    "what nobody knows the end of came before it was asked for": [
        documents.Op("get", "done", 0, 1, value=1, version=1),
        documents.Op("set", "unknown", 2, value=1),
    ],
    "what nobody knows the end of counts twice": [
        documents.Op("set", "unknown", 0, value=1),
        documents.Op("get", "done", 1, 2, value=1, version=1),
        documents.Op("delete", "done", 3, 4, version=1),
        documents.Op("get", "done", 5, 6, value=1, version=2),
    ],
}


@pytest.mark.parametrize("name", CONFUSIONS)
def test_answers_about_a_document_that_no_order_explains_are_found(name: str):
    assert unexplained(CONFUSIONS[name]) is not None


def test_a_call_whose_end_nobody_knows_may_count_late_or_never():
    written = documents.Op("set", "done", 0, 1, value=1, version=1)
    unknown = documents.Op("set", "unknown", 2, value=2)
    early, late = (documents.Op("get", "done", at, at + 1, value=1, version=1) for at in (3, 5))
    assert unexplained([written, unknown, early, late]) is None
    assert unexplained([written, unknown, early, late._replace(value=2, version=2)]) is None


ASKED = st.tuples(
    st.sampled_from(["get", "set", "set", "delete"]),
    st.sampled_from([None, None, 0, 1, 2, "current"]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["answered", "answered", "answered", "done and unknown", "lost"]),
)
WRITES = st.tuples(st.just("set"), st.none(), st.integers(0, 3), st.integers(0, 3), st.just("answered"))
"""Those that count and are told, whatever came before."""


@st.composite
def right_documents(draw: st.DrawFn, written: int = 0) -> list[documents.Op]:
    """What is told of a document where call n has its moment at n, begins up to three before it and ends as late; so
    many times at least it was written."""
    head, ops = Head(), list[documents.Op]()
    asked = draw(st.lists(ASKED, min_size=1, max_size=12))
    for _ in range(written):
        asked.insert(draw(st.integers(0, len(asked))), draw(WRITES))
    for moment, (does, expects, before, after, fate) in enumerate(asked):
        current = 0 if head.value is None else head.version
        expected = None if does == "get" else current if expects == "current" else expects
        op = documents.Op(does, "unknown", moment - before, NEVER, expected, moment if does == "set" else None)
        made = head if fate == "lost" else done(head, op)
        if fate == "answered":
            op = _told(op, made, current, moment + after)
        head = head if isinstance(made, str) else made
        ops.append(op)
    return draw(st.permutations(ops))


def _told(op: documents.Op, made: Head | str, current: int, returned: float) -> documents.Op:
    if isinstance(made, str):
        return op._replace(outcome=made, returned=returned, version=current if made == "conflict" else None)
    value = made.value if op.does == "get" else op.value
    return op._replace(outcome="done", returned=returned, value=value, version=made.version)


def written(ops: list[documents.Op]) -> list[documents.Op]:
    return sorted((op for op in ops if (op.does, op.outcome) == ("set", "done")), key=lambda op: op.version or 0)


@given(right_documents())
def test_whatever_a_document_can_answer_has_an_order(ops: list[documents.Op]):
    assert unexplained(ops) is None


@given(right_documents(written=2), st.randoms())
def test_a_read_of_what_was_overwritten_before_it_is_found(ops: list[documents.Op], chance: Any):
    sets = written(ops)
    older, newer = sorted(chance.sample(sets, 2), key=lambda op: op.version)
    stale = documents.Op(
        "get", "done", newer.returned + 1, newer.returned + 2, value=older.value, version=older.version
    )
    assert unexplained([*ops, stale]) is not None


@given(right_documents(written=2), st.randoms())
def test_a_version_that_was_told_to_two_is_found(ops: list[documents.Op], chance: Any):
    sets = written(ops)
    one, other = chance.sample(sets, 2)
    ops[ops.index(one)] = one._replace(version=other.version)
    assert unexplained(ops) is not None


@given(right_documents(written=1), st.randoms())
def test_a_comparison_that_let_through_what_it_should_not_is_found(ops: list[documents.Op], chance: Any):
    sets = written(ops)
    one = chance.choice(sets)
    ops[ops.index(one)] = one._replace(expected=one.version)
    assert unexplained(ops) is not None


@st.composite
def any_answers(draw: st.DrawFn) -> list[documents.Op]:
    """A few calls with answers of which most are wrong."""
    ops = list[documents.Op]()
    for number in range(draw(st.integers(1, 5))):
        does = draw(st.sampled_from(["get", "set", "set", "delete"]))
        outcome = draw(st.sampled_from(["done", "done", "done", "conflict", "not_found", "unknown", "unknown"]))
        invoked, lasts = draw(st.integers(0, 6)), draw(st.integers(1, 6))
        returned = NEVER if outcome == "unknown" else invoked + lasts
        expected = None if does == "get" else draw(st.sampled_from([None, None, 0, 1, 2]))
        value = number if does == "set" else draw(st.integers(0, 4)) if does == "get" else None
        version = draw(st.integers(1, 3)) if outcome == "done" else None
        ops.append(documents.Op(does, outcome, invoked + number / 10, returned, expected, value, version))
    return ops


def has_an_order(ops: list[documents.Op]) -> bool:
    """Try them all."""
    known = [op for op in ops if op.outcome != "unknown"]
    unknown = [op for op in ops if op.outcome == "unknown"]
    chosen = chain.from_iterable(combinations(unknown, count) for count in range(len(unknown) + 1))
    return any(_is_right(order) for some in chosen for order in permutations([*known, *some]))


def _is_right(order: tuple[documents.Op, ...]) -> bool:
    head: Head | None = Head()
    latest = -NEVER
    for op in order:
        latest = max(latest, op.invoked)
        if op.returned < latest or head is None or (head := explained(head, op)) is None:
            return False
    return True


@given(any_answers())
def test_an_order_is_found_where_trying_all_of_them_finds_one_and_only_there(ops: list[documents.Op]):
    assert (unexplained(ops) is None) == has_an_order(ops)


@st.composite
def right_locks(draw: st.DrawFn) -> list[locks.Op]:
    """A lock that goes round: granted at a moment, let go, sometimes by an unknown call, or left until it runs out."""
    ops, now = list[locks.Op](), 0.0
    for token in range(1, draw(st.integers(2, 6)) + 1):
        holder, lasts, waited = draw(st.sampled_from("abc")), draw(st.integers(5, 9)), draw(st.integers(0, 3))
        ends = draw(st.sampled_from(["released", "left", "unknown"]))
        own = [op.invoked if op.outcome == "unknown" else op.returned for op in ops if op.holder == holder]
        begun = max([now - waited, *own])  # a client makes one call after the other
        now = max(now, begun)
        told, letting = now + 1, now + 2
        grant = locks.Op("acquire", holder, "done", begun, told, token, "exclusive", lasts)
        ops.append(grant)
        if ends == "left":
            now = max(now + lasts, told)
            continue
        outcome, returned = ("done", letting + 1) if ends == "released" else ("unknown", NEVER)
        ops.append(locks.Op("release", holder, outcome, letting, returned, token))
        now = letting + draw(st.integers(0, 1))
    return ops


@given(right_locks())
def test_nothing_is_found_in_what_a_lock_can_answer(ops: list[locks.Op]):
    assert locks.faults(ops) == []


@given(right_locks(), st.randoms())
def test_two_holders_at_once_are_found(ops: list[locks.Op], chance: Any):
    one = chance.choice([op for op in ops if op.does == "acquire"])
    thief = locks.Op("acquire", "thief", "done", one.returned, one.returned + 0.01, 99, "exclusive", 5)
    assert any("held by two at once" in fault for fault in locks.faults([*ops, thief]))
    both = [op._replace(mode="shared") if op is one else op for op in ops]
    same = thief._replace(mode="shared", token=one.token)
    assert any("one token for two" in fault for fault in locks.faults([*both, same]))


@given(right_locks(), st.randoms())
def test_a_token_that_falls_and_an_older_one_that_releases_are_found(ops: list[locks.Op], chance: Any):
    grants = [op for op in ops if op.does == "acquire"]
    before, after = chance.choice(list(pairwise(grants)))
    late = locks.Op("release", before.holder, "done", after.returned + 1, after.returned + 2, before.token)
    assert any("under an older token" in fault for fault in locks.faults([*ops, late]))
    assume(before.returned < after.invoked)
    fallen = [op._replace(token=before.token - 1) if op is after else op for op in ops]
    assert any("the token fell" in fault for fault in locks.faults(fallen))


def test_who_asks_again_for_what_it_holds_beside_others_is_told_its_older_token():
    mine, theirs, again = (
        locks.Op("acquire", holder, "done", begun, begun + 1, token, "shared", 9)
        for holder, begun, token in (("a", 0, 1), ("b", 2, 2), ("a", 4, 1))
    )
    assert locks.faults([mine, theirs, again]) == []
    assert locks.faults([theirs, again])[0].startswith("the token fell")
    alone = theirs._replace(mode="exclusive")
    assert any("the token fell" in fault for fault in locks.faults([mine, alone, again]))


def test_a_lock_that_is_lost_before_its_time_is_found():
    grant = locks.Op("acquire", "a", "done", 0, 1, 1, "exclusive", 5)
    refused = locks.Op("release", "a", "refused", 2, 3, 1)
    assert locks.faults([grant, refused])[0].startswith("lost before its time")
    assert locks.faults([grant, refused._replace(returned=6)]) == []
    assert locks.faults([grant, refused._replace(token=0)]) == []


CLAIM = leases.Op("claim", "a", 1, "done", 0, 1, 5)
COMPLETED = leases.Op("complete", "a", 1, "done", 2, 3)
FAILED = COMPLETED._replace(does="fail")
NEXT = leases.Op("claim", "b", 2, "done", 4, 5, 5)
END = leases.End("completed", 1)
DONE_NEXT = leases.Op("complete", "b", 2, "done", 6, 7)
RIGHT: dict[str, tuple[list[leases.Op], leases.End]] = {
    "completed": ([CLAIM, COMPLETED], END),
    "completed, told at the second time": (
        [CLAIM, COMPLETED._replace(outcome="unknown", returned=NEVER), leases.Op("complete", "a", 1, "repeated", 4, 5)],
        END,
    ),
    "failed and tried again": ([CLAIM, FAILED, NEXT, DONE_NEXT], leases.End("completed", 2)),
    "run out, and the late worker refused": (
        [
            *(
                CLAIM,
                NEXT._replace(invoked=6, returned=7),
                COMPLETED._replace(outcome="refused", invoked=7, returned=8),
            ),
            DONE_NEXT._replace(invoked=8, returned=9),
        ],
        leases.End("completed", 2),
    ),
    "completed, though nobody was told": ([CLAIM, COMPLETED._replace(outcome="unknown", returned=NEVER)], END),
}
WRONG: dict[str, tuple[list[leases.Op], leases.End]] = {
    "one attempt for two": ([CLAIM, CLAIM._replace(worker="b"), COMPLETED], END),
    "an older attempt was leased": (
        [CLAIM._replace(attempt=2, lasts_seconds=0), NEXT._replace(attempt=1), DONE_NEXT._replace(attempt=1)],
        END,
    ),
    "leased twice at once": ([CLAIM, NEXT._replace(invoked=1, returned=2), DONE_NEXT], leases.End("completed", 2)),
    "counted under an older lease": (
        [
            *(CLAIM, NEXT._replace(invoked=6, returned=7), leases.Op("write", "a", 1, "done", 8, 9)),
            DONE_NEXT._replace(invoked=9, returned=10),
        ],
        leases.End("completed", 2),
    ),
    "ended twice": ([CLAIM, COMPLETED, COMPLETED._replace(invoked=4, returned=5)], END),
    "ended twice: ": ([CLAIM, COMPLETED, NEXT, DONE_NEXT], leases.End("completed", 2)),
    "repeats what nobody said": ([CLAIM, COMPLETED._replace(outcome="repeated")], END),
    "leased after its end": ([CLAIM, COMPLETED, NEXT], END),
    "lost before its time": (
        [CLAIM, leases.Op("report", "a", 1, "refused", 1, 1.5), COMPLETED],
        END,
    ),
    "not as it was told": ([CLAIM, COMPLETED], leases.End("queued", 1)),
    "not as it was told: ": ([CLAIM, COMPLETED], leases.End("completed", 2)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_found_in_what_a_task_can_answer(name: str):
    assert leases.faults(*RIGHT[name]) == []


@pytest.mark.parametrize("name", WRONG)
def test_what_no_task_can_answer_is_found(name: str):
    assert any(fault.startswith(name) for fault in leases.faults(*WRONG[name]))
