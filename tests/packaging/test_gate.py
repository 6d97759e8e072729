"""The gate's own stages: what runs beside others is told, waited for, and counts."""

import sys
from types import ModuleType

import pytest

from tests.scripts import script


@pytest.fixture(scope="module")
def check() -> ModuleType:
    return script("check")


def test_stages_beside_others_run_in_turn_and_each_counts(check: ModuleType, capfd: pytest.CaptureFixture[str]):
    passed = [True]
    program = "print('said'); exit({})"
    codes = [check.Stage(f"ends with {code}", [sys.executable, "-c", program.format(code)]) for code in (0, 3)]
    with check.beside(codes, passed):
        assert passed == [True]
    assert passed == [True, True, False]
    out = capfd.readouterr().out
    assert out.index("--- ends with 0: ok") < out.index("--- ends with 3: FAILED (3)") and out.count("said") == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_stage_that_cannot_be_started_fails_the_gate(check: ModuleType):
    passed = list[bool]()
    with check.beside([check.Stage("no such program", ["/nowhere/program"]), check.Stage("after it", [])], passed):
        pass
    assert passed == [False, False]


def test_no_half_of_a_test_is_left_out_by_every_stage_of_ci(check: ModuleType):
    assert check.once_on(slow=True, has_newer=False) == ""
    assert (check.once_on(slow=True, has_newer=True), check.SPARED_ON_NEWER) == ("postgres", "sqlite")
    assert check.once_on(slow=False, has_newer=False) == "postgres"
