"""What a refusal costs is bounded, however much is wrong: everybody waits while it is made."""

from typing import Any

import pytest

from mcp_server.kernel import looking, near, problems
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.problems import EXAMINED_MAX
from mcp_server.kernel.refusing import PROBLEMS_TOLD
from mcp_server.kernel.shapes import shape_of
from mcp_server.kernel.understanding import understood
from mcp_server.protocol.strangers import named_things
from tools import TOOLS

MODELS = {tool.name: tool.arguments for tool in TOOLS}


class Untouched(list[Any]):
    """A list in which nobody looks."""

    def __iter__(self) -> Any:
        raise AssertionError("somebody did")


class Unread(dict[str, Any]):
    """An object of which nobody reads a value."""

    def __getitem__(self, name: str) -> Any:
        raise AssertionError("somebody did")

    def items(self) -> Any:
        raise AssertionError("somebody did")


def refusal(tool: str, **arguments: Any) -> str:
    with pytest.raises(ValidationFailed) as refused:
        understood(tool, MODELS[tool], arguments)
    return refused.value.message


def test_a_list_that_is_too_long_is_refused_by_its_length_alone():
    said = refusal("tasks_create", tasks=Untouched([{}] * 2000))
    assert said.startswith("tasks_create refused its arguments: tasks: a list of 2000 is not accepted; it takes")
    assert "1 to 100 objects" in said and said.endswith("Make several calls of it, or leave some out.")


@pytest.mark.parametrize("text", ["[" + ",".join(["{}"] * 101) + "]", [{"title": "x", "depends_on": ["#0"] * 101}]])
def test_so_is_one_inside_of_another_and_one_that_came_as_text(text: Any):
    assert "a list of 101 is not accepted" in refusal("tasks_create", tasks=text)


def test_of_very_many_faults_some_are_looked_at_and_all_are_counted(monkeypatch: pytest.MonkeyPatch):
    compared: list[str] = []

    def counting(name: str, known: Any) -> list[str]:
        compared.append(name)
        return []

    monkeypatch.setattr(problems, "near", counting)
    tasks = [{"title": "x", **{f"unknwn{number}": 1 for number in range(10)}} for _ in range(50)]
    assert "And 495 more." in refusal("tasks_create", tasks=tasks)
    assert 0 < len(compared) <= EXAMINED_MAX


def test_of_more_faults_than_anybody_reads_only_the_number_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(problems, "FAULTS_MAX", 20)
    said = refusal("state_set", namespace="n", key="k", value=1, **{f"unknwn{number}": 1 for number in range(21)})
    assert "21 names and values in it are not accepted; send a smaller call." in said


def test_a_great_many_strange_names_are_not_compared_with_each_other():
    said = refusal("commit", calls=[{"tool": "state_set", **{f"argum{number}": 1 for number in range(2000)}}])
    assert "calls[0].argum0: there is no such argument" in said and "And 1995 more." in said


def test_an_object_that_holds_too_much_is_refused_by_its_number_alone():
    said = refusal(
        "deployments_define", deployment="shop", secrets=Unread({str(number): "plain" for number in range(2000)})
    )
    assert "secrets: 2,000 names and values in it are not accepted; it takes at most 64." in said


@pytest.mark.parametrize("count", [100, 200])
def test_so_many_names_are_compared_for_one_call_however_much_is_wrong_with_it(
    monkeypatch: pytest.MonkeyPatch, count: int
):
    compared: list[int] = []
    closest = looking.closest

    def counting(asked: str, known: Any) -> list[str]:
        compared.append(len(known))
        return closest(asked, known)

    monkeypatch.setattr(looking, "closest", counting)
    tasks: list[Any] = [
        {"title": "x", "schedule": {"cron": "0 9 * * *", "timezone": f"Europe/Berlim{number}"}}
        for number in range(count // 2)
    ]
    said = refusal("tasks_create", tasks=tasks)
    assert said.count("Did you mean Europe/Berlin") == PROBLEMS_TOLD
    assert sum(compared) < looking.COMPARED_TOGETHER_MAX + near.KNOWN_MAX


def test_what_may_be_any_json_is_not_looked_through_for_names():
    value = {"tool": "agents_find", "arguments": {"agent_id": Untouched(["x"]), "deep": Unread(a=1)}}
    assert list(named_things(shape_of(MODELS["commit"]), {"calls": [value]}, ("an agent's name or id",))) == []


def test_each_strange_zone_is_looked_for_on_disk_once_however_often_a_call_is_checked(monkeypatch: pytest.MonkeyPatch):
    looked: list[str] = []

    def nowhere(name: str) -> Any:
        looked.append(name)
        raise KeyError(name)

    monkeypatch.setattr("mcp_server.domain.tasks.zones.ZoneInfo", nowhere)
    zones = [f"Nowhere/At-all-{number}" for number in range(9)]
    refusal("tasks_create", tasks=[{"title": "x", "schedule": {"cron": "0 9 * * *", "timezone": one}} for one in zones])
    assert sorted(looked) == zones
