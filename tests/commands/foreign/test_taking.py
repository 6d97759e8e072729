"""Foreign items in a desk: taken once, however often, on both engines."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mcp_server.__main__ import command_line
from mcp_server.commands.foreign.files import SOURCES
from mcp_server.commands.foreign.item import Item
from mcp_server.commands.foreign.specs import LATER
from mcp_server.commands.foreign.taking import Report, prepare, take
from mcp_server.commands.foreign.telling import LINES_MAX, table
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.kernel.errors import Conflict, PermissionDenied, ValidationFailed
from mcp_server.upkeep.watching import unwatched
from tests.world import World

ROOT = Path(__file__).parent.parent.parent.parent
pytestmark = pytest.mark.anyio


def item(id_: str, *blocked_by: str, **more: Any) -> Item:
    known = {"key": f"beads:demo:{id_}", "title": f"T {id_}", "description": "", "status": "open", "state": "open"}
    return Item(id=id_, blocked_by=blocked_by, **known | more)


async def taken(world: World, *items: Item) -> Report:
    taking = await prepare(world.desk, world.call, items)
    await take(world.desk, world.call, taking, unwatched)
    return taking.report


async def by_title(world: World) -> dict[str, Any]:
    found = await world.desk.tasks.find(world.call, FindTasks(limit=100))
    return {task.title: await world.desk.tasks.get(world.call, task.id) for task in found.items}


async def test_items_become_tasks_with_all_that_is_known_of_them(world: World):
    ann = await world.agent("ann")
    report = await taken(
        world,
        item("p", parent=None, tags=("beads", "epic"), priority="high"),
        item("c", "late", parent="p", assignee="ann", origin={"url": "https://x"}, description="Do"),
        item("late", state="later", status="deferred"),
        item("soon", state="later", status="deferred", not_before="2031-01-01T00:00:00Z", assignee="bob"),
        item("old", state="finished", status="closed"),
    )
    assert (report.items, report.created, report.here, report.later, report.finished) == (5, 4, 0, 2, 1)
    assert report.notes == ["there is no agent 'bob': anybody may take up its 1"]
    tasks = await by_title(world)
    child = tasks["T c"]
    assert tasks["T p"].depends_on == [child.id] and child.depends_on == [tasks["T late"].id]
    assert (child.agent_id, child.tags, child.description) == (ann.id, ["parent/p"], "Do")
    assert child.input == {
        "source": {"of": "beads", "id": "c", "status": "open", "parent": "p", "assignee": "ann", "url": "https://x"}
    }
    assert (tasks["T p"].priority, tasks["T late"].status) == ("high", "pending")
    assert tasks["T late"].run_at is not None and tasks["T late"].run_at[:4] == LATER[:4]
    assert tasks["T soon"].run_at is not None and tasks["T soon"].run_at.startswith("2031-01-01T00:00:00")


async def test_a_repeat_takes_what_is_new_and_says_what_is_different(world: World):
    first = [item("a"), item("b", "a"), item("gone", state="finished", status="closed")]
    await taken(world, *first)
    report = await taken(world, *first)
    assert (report.created, report.here, report.changed, report.notes) == (0, 2, [], [])
    again = await taken(
        world,
        item("a", title="other", priority="low", tags=("x",), description="d"),
        item("b", "a", "c", state="open"),
        item("c", "a"),
        item("gone", state="finished", status="closed"),
    )
    tasks = await by_title(world)
    assert (again.created, again.here, len(tasks)) == (1, 2, 3)
    assert tasks["T c"].depends_on == [tasks["T a"].id]
    assert again.changed == [
        f"a differs from {tasks['T a'].id} in title, description, priority, tags",
        f"b differs from {tasks['T b'].id} in what it waits for",
    ]
    assert tasks["T a"].priority == "normal", "what is here stays as it is"


async def test_what_ended_there_and_not_here_is_named_and_what_ended_in_both_is_not(world: World):
    await taken(world, item("a"), item("b"))
    tasks = await by_title(world)
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(tasks["T b"].id,), action="cancel"))
    report = await taken(world, *(item(id_, state="finished", status="closed") for id_ in "ab"))
    assert (report.created, report.here, report.finished) == (0, 0, 2)
    assert report.changed == [f"a is closed there, and {tasks['T a'].id} is queued here"]


async def test_dependencies_are_kept_over_the_limit_of_one_call(world: World):
    chain = [item(f"{n:03}", *([f"{n - 1:03}"] if n else [])) for n in range(250)]
    await taken(world, *reversed(chain))
    (last,) = (await world.desk.tasks.find(world.call, FindTasks(text="T 249"))).items
    (before,) = (await world.desk.tasks.find(world.call, FindTasks(text="T 248"))).items
    assert (await world.desk.tasks.get(world.call, last.id)).depends_on == [before.id]
    (ready,) = (await world.desk.tasks.find(world.call, FindTasks(ready=True))).items
    assert ready.title == "T 000"


async def test_what_stops_halfway_says_how_far_it_came_and_goes_on_there(world: World, monkeypatch: pytest.MonkeyPatch):
    items = [item(f"{n:03}", *([f"{n - 1:03}"] if n else [])) for n in range(150)]
    taking = await prepare(world.desk, world.call, items)
    steps = list[int]()

    def refuse_after_one(done: int, total: int) -> None:
        steps.append(done)
        assert total == 150
        monkeypatch.setattr("mcp_server.domain.tasks.service.refuse_system_kinds", _refused)

    with pytest.raises(Conflict, match="100 of 150 new tasks were created, then one was refused: no more.*goes on"):
        await take(world.desk, world.call, taking, refuse_after_one)
    monkeypatch.undo()
    again = await prepare(world.desk, world.call, items)
    assert (steps, again.report.created, again.report.here) == ([100], 50, 100)
    await take(world.desk, world.call, again, unwatched)
    assert len((await world.desk.tasks.find(world.call, FindTasks(limit=100))).items) == 100


def _refused(*_: object) -> None:
    raise ValidationFailed("no more")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"title": ""}, "a, title cannot be taken over"),
        ({"not_before": "tomorrow"}, "a, run_at cannot be taken over"),
        ({"key": "beads:demo:" + "x" * 200}, "its id is too long"),
        ({"key": "beads:a\nb"}, "is a line break"),
        ({"origin": {"url": "\ud800"}}, "a, input cannot be taken over"),
    ],
)
async def test_an_item_that_cannot_become_a_task_is_named_before_anything_is_created(
    world: World, wrong: dict[str, Any], said: str
):
    with pytest.raises(ValidationFailed, match=said):
        await taken(world, item("first"), item("a", **wrong))
    assert await by_title(world) == {}


async def test_the_keys_are_those_of_who_imports_and_nobody_imports_who_may_not(world: World):
    from mcp_server.kernel.authority import Role
    from tests.world import caller

    await taken(world, item("a"))
    other = await prepare(world.desk, caller(id="bea"), [item("a")])
    assert other.report.created == 1
    viewer = caller(Role.VIEWER, id="bea")
    with pytest.raises(Conflict, match="0 of 1 new tasks"):
        await take(world.desk, viewer, other, unwatched)
    assert issubclass(PermissionDenied, Exception)


def command(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(command_line(), ["import", "--database", url, *arguments])


def project(folder: Path, **files: str) -> Path:
    home = folder / "my project"
    for name, text in files.items():
        path = home / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return home


BEADS = "\n".join(
    json.dumps({"id": f"bd-{n}", "title": f"T{n}", "status": status, "assignee": "ann\x1b[2J"})
    for n, status in enumerate(["open", "blocked", "closed", "tombstone"])
)


def test_a_dry_run_counts_as_the_import_does_and_leaves_not_even_a_database(tmp_path: Path):
    home, database = project(tmp_path, **{".beads__issues.jsonl": BEADS}), tmp_path / "desk.db"
    url = f"sqlite:///{database}"
    dry = command(url, "--from", "beads", "--dry-run", str(home))
    assert dry.exit_code == 0, dry.output
    assert "4 items: 2 tasks would be created, 0 here already, 1 finished there, 1 given up there." in dry.output
    assert table(SOURCES["beads"].maps) in dry.output and "this was a dry run" in dry.output
    assert not database.exists()
    done = command(url, "--from", "beads", str(home))
    assert "4 items: 2 tasks created, 0 here already, 1 finished there" in done.output
    assert "\x1b" not in done.output and "'ann\\x1b[2J'" in done.output
    for options in (["--dry-run"], []):
        again = command(url, "--from", "beads", *options, str(home / ".beads" / "issues.jsonl"))
        assert "0 tasks" in again.output and "2 here already" in again.output


def test_the_folder_names_the_project_and_stdin_needs_a_name(tmp_path: Path):
    home = project(tmp_path, **{".taskmaster__tasks__tasks.json": '{"tasks": [{"id": 1, "title": "x"}]}'})
    url = f"sqlite:///{tmp_path / 'desk.db'}"
    assert "1 tasks created" in command(url, "--from", "taskmaster", str(home)).output
    assert "1 here already" in command(url, "--from", "taskmaster", "--project", "my-project", str(home)).output
    assert "1 tasks created" in command(url, "--from", "taskmaster", "--project", "other", str(home)).output
    piped = CliRunner().invoke(command_line(), ["import", "--database", url, "--from", "taskmaster", "-"], input="{}")
    assert piped.exit_code == 2 and "Add --project NAME" in piped.output
    none = CliRunner().invoke(command_line(), ["import", "--database", url, "--from", "github", "-"], input="[]")
    assert none.exit_code == 0 and "0 items" in none.output


def test_what_cannot_be_read_is_said_and_other_options_are_not_taken_without_from(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'desk.db'}"
    assert "holds no .beads/issues.jsonl or .beads/beads.jsonl" in command(url, "--from", "beads", str(tmp_path)).output
    assert "cannot be read" in command(url, "--from", "github", str(tmp_path / "no")).output
    assert "go with --from" in command(url, "--dry-run", "x").output
    broken = project(tmp_path, **{".beads__issues.jsonl": "{"})
    refused = command(url, "--from", "beads", str(broken))
    assert refused.exit_code == 2 and "Line 1 cannot be taken over" in refused.output
    assert not (tmp_path / "desk.db").exists()


def test_long_lists_of_what_is_different_are_cut(tmp_path: Path):
    many = "\n".join(json.dumps({"id": f"bd-{n}", "assignee": f"p{n}"}) for n in range(LINES_MAX + 5))
    home = project(tmp_path, **{".beads__issues.jsonl": many})
    assert "... and 5 more" in command(f"sqlite:///{tmp_path / 'desk.db'}", "--from", "beads", str(home)).output


@pytest.mark.parametrize("name", SOURCES)
def test_the_page_tells_what_maps_to_what_as_the_command_does(name: str):
    page = (ROOT / "docs" / "import.md").read_text("utf-8")
    rows = "\n".join(f"| {there} | {here} |" for there, here in SOURCES[name].maps)
    assert rows in page, f"docs/import.md should hold:\n{rows}"


@pytest.mark.slow
async def test_ten_thousand_issues_are_taken_and_found_again(world: World):
    items = [item(str(n), *([str(n // 2)] if n > 1 else []), parent=None) for n in range(1, 10_001)]
    assert (await taken(world, *items)).created == 10_000
    report = await taken(world, *items)
    assert (report.created, report.here, report.changed) == (0, 10_000, [])
