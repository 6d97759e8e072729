"""Foreign items as the tasks that they become."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mcp_server.commands.foreign.item import Item
from mcp_server.commands.foreign.parsing import unusable
from mcp_server.commands.foreign.wording import tags_of
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.kernel.complaints import complaint
from mcp_server.kernel.json_text import check_line
from mcp_server.kernel.lines import one_line

LATER = "9999-01-01T00:00:00Z"
"""When what was put off there without a day is due: once somebody reschedules it."""
KEY_MAX = 200
TAGS_MAX = 32
ANY_TASK = "task_aaaaaaaaaaaa"

Blockers = Mapping[str, Sequence[str]]
"""By item, the items that it waits for."""


def command_for(
    items: Sequence[Item], blockers: Blockers, ids: Mapping[str, str], agents: Container[str | None]
) -> CreateTasks:
    """The call that creates some items.

    Args:
        items: those, what they wait for among them before them.
        blockers: what they wait for.
        ids: of tasks that are there already, by item.
        agents: the names of those who are agents here.
    """
    places = {item.id: f"#{number}" for number, item in enumerate(items)}
    known = {**ids, **places}
    waits_for = (list(map(known.__getitem__, blockers[item.id])) for item in items)
    specs = [_spec(item, agents) | {"depends_on": ids} for item, ids in zip(items, waits_for, strict=True)]
    return CreateTasks.model_validate({"tasks": specs})


def tags_for(item: Item) -> list[str]:
    """An item's tags, with the one by which a parent's children are found."""
    parent = item.parent or ""
    name = parent.rpartition("#" if "#" in parent else ":")[2]
    return [*tags_of([f"parent/{name}"] if name else ()), *item.tags][:TAGS_MAX]


def require_sound(items: Sequence[Item], blockers: Blockers) -> None:
    """Have items checked as they will be when they are created.

    Raises:
        ValidationFailed: one of them cannot become a task; naming it, and what is wrong.
    """
    for item in items:
        _require_key(item)
    try:
        command_for(items, blockers, dict.fromkeys(blockers, ANY_TASK), ())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        number, *member = first["loc"][1:]
        where = f"{one_line(items[int(number)].id, 80)}, {'.'.join(map(str, member))}"
        raise unusable(where, complaint(first)) from None


def _require_key(item: Item) -> None:
    if len(item.idempotency_key) > KEY_MAX:
        raise unusable(one_line(item.id, 80), f"its id is too long: {KEY_MAX} characters with project and tag")
    check_line(item.key, "id")


def _spec(item: Item, agents: Container[str | None]) -> dict[str, Any]:
    return {
        "title": item.title,
        "description": item.description,
        "priority": item.priority,
        "tags": tags_for(item),
        "run_at": item.not_before or _due(item),
        "input": {"source": _source(item)},
        "agent_id": item.assignee if item.assignee in agents else None,
        "idempotency_key": item.idempotency_key,
    }


def _due(item: Item) -> str | None:
    return LATER if item.state == "later" else None


def _source(item: Item) -> dict[str, Any]:
    told = {"id": item.id, "status": item.status, "parent": item.parent, "assignee": item.assignee, **item.origin}
    return {"of": item.key.partition(":")[0]} | {name: value for name, value in told.items() if value is not None}
