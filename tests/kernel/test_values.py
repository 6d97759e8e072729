"""Times, JSON and actors."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcp_server.domain.agents.commands import AgentSpec
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.authority import READ_PERMISSIONS, SYSTEM, Actor, Permission, Role
from mcp_server.kernel.errors import NotFound, OpsError, PermissionDenied
from mcp_server.kernel.json_text import check_json, depth_exceeds
from mcp_server.kernel.times import iso, micros


@given(st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_time_survives_to_the_millisecond(moment: datetime):
    said = datetime.fromisoformat(iso(micros(moment)))
    assert abs((moment - said).total_seconds()) < 0.001 and iso(micros(moment)).endswith("Z")


@given(st.integers(0, 80))
def test_depth_is_counted_without_recursion(depth: int):
    value: object = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    assert depth_exceeds(value, 64) == (depth > 64)


def test_a_hundred_thousand_levels_do_not_overflow_the_stack():
    value: object = []
    for _ in range(100_000):
        value = [value]
    assert depth_exceeds(value, 64)


def test_json_text_is_compact_and_keeps_unicode():
    assert check_json({"a": "ü", "b": [1, None]}, "value") == '{"a":"ü","b":[1,null]}'


@pytest.mark.parametrize(
    "bad",
    [
        {"title": ""},
        {"title": "x" * 201},
        {"title": "nul\x00"},
        {"title": "\udc00"},
        {"title": "t", "kind": "with space"},
        {"title": "t", "priority": "asap"},
        {"title": "t", "timeout_seconds": -1},
        {"title": "t", "timeout_seconds": float("inf")},
        {"title": "t", "run_at": "yesterday"},
        {"title": "t", "run_at": "2026-01-01T00:00:00"},
        {"title": "t", "depends_on": ["5"]},
        {"title": "t", "retry": {"max_attempts": 0}},
        {"title": "t", "bogus": 1},
    ],
)
def test_a_task_that_makes_no_sense_is_refused(bad: dict):
    with pytest.raises(ValidationError):
        TaskSpec.model_validate(bad)


def test_an_agent_offers_a_capability_with_and_without_its_version():
    spec = AgentSpec.model_validate({"name": "a", "capabilities": [{"name": "py", "version": "3.11"}]})
    assert spec.columns()["skills"] == '["py","py@3.11"]'


def test_roles_only_narrow_from_admin_to_viewer():
    assert Role.VIEWER.permissions == READ_PERMISSIONS < Role.AGENT.permissions < Role.ADMIN.permissions
    assert Permission.TASKS_CONTROL not in Role.AGENT.permissions


def test_read_only_takes_every_writing_permission_away():
    admin = Actor(kind="user", id="me", permissions=Role.ADMIN.permissions)
    assert admin.narrowed(read_only=False) is admin
    assert admin.narrowed(read_only=True).permissions == READ_PERMISSIONS
    with pytest.raises(PermissionDenied, match="state:write"):
        admin.narrowed(read_only=True).require(Permission.STATE_WRITE)


def test_a_user_may_act_for_any_agent_and_an_agent_only_for_itself():
    SYSTEM.require_self("agent_a")
    agent = Actor(kind="agent", id="agent_a", permissions=frozenset())
    agent.require_self("agent_a")
    with pytest.raises(PermissionDenied):
        agent.require_self("agent_b")


def test_every_refusal_has_a_code_of_its_own_and_says_what_to_do_next():
    kinds = OpsError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds) == 12
    error = NotFound("There is no cat.", next="Buy one.", details={"cat": 1})
    assert (str(error), error.details) == ("There is no cat. Buy one.", {"cat": 1})
