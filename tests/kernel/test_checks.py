"""All that checks find is told in one refusal."""

import pytest

from mcp_server.kernel.checks import FOUND_MAX, check_all, refuse
from mcp_server.kernel.errors import LimitExceeded, OpsError, ValidationFailed
from mcp_server.kernel.refusing import FAULTS, NEXT_CALL, PROBLEMS_TOLD
from mcp_server.kernel.together import CHANGE, not_together


def refusing(error: OpsError) -> None:
    raise error


def test_checks_that_find_nothing_refuse_nothing():
    check_all(lambda: 1, lambda: None)


def test_what_one_check_finds_is_refused_as_it_is():
    alone = LimitExceeded("Too large.", next="Shorten it.", details={"bytes": 9})
    with pytest.raises(LimitExceeded) as refused:
        check_all(lambda: None, lambda: refusing(alone))
    assert refused.value is alone


def test_what_several_checks_find_is_one_refusal_of_the_first_ones_kind_with_the_facts_of_each():
    first = ValidationFailed("A is wrong.", next="Say b.", details={"a": 1, "both": "first"})
    second = LimitExceeded("C is large.", next="Secret words.", details={"c": 2, "both": "second", NEXT_CALL: {"x": 1}})
    with pytest.raises(ValidationFailed) as refused:
        check_all(lambda: refusing(first), lambda: refusing(second))
    assert refused.value.message == "A is wrong. Say b. C is large. Secret words."
    assert refused.value.wrong == "A is wrong. C is large.", "a log does not hold what is to be done"
    assert refused.value.details == {
        "a": 1,
        "c": 2,
        "both": "first",
        FAULTS: [
            {"code": "validation", "message": first.message},
            {"code": "limit_exceeded", "message": second.message, NEXT_CALL: {"x": 1}},
        ],
    }


def test_the_same_words_are_said_once_and_of_many_the_first():
    with pytest.raises(ValidationFailed) as refused:
        refuse(ValidationFailed(f"Number {n % 8}.") for n in range(16))
    assert refused.value.message == "Number 0. Number 1. Number 2. Number 3. Number 4. And 3 more."
    assert PROBLEMS_TOLD == 5 and len(refused.value.details[FAULTS]) == 8


def test_changes_that_would_do_are_those_of_all():
    with pytest.raises(ValidationFailed) as refused:
        refuse([not_together("One.", a=None), not_together("Two.", b=1, a=2)])
    assert refused.value.details[CHANGE] == {"a": None, "b": 1}


def test_of_what_is_found_while_it_is_told_no_more_is_looked_for_than_anybody_reads():
    looked: list[int] = []

    def found():
        for number in range(10_000):
            looked.append(number)
            yield ValidationFailed(f"Number {number}.")

    with pytest.raises(ValidationFailed, match=f"And at least {FOUND_MAX + 1 - PROBLEMS_TOLD} more"):
        refuse(found())
    assert len(looked) == FOUND_MAX + 1
