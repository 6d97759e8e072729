"""What other tools' files say, and what is refused of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.commands.foreign.beads import BEADS
from mcp_server.commands.foreign.files import SOURCES
from mcp_server.commands.foreign.github import GITHUB
from mcp_server.commands.foreign.item import Item, Reading
from mcp_server.commands.foreign.taskmaster import TASKMASTER
from mcp_server.commands.foreign.wording import tags_of, text_of, title_of
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.errors import ValidationFailed

READING = Reading("demo")


def lines(*records: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(record).encode() for record in records)


def beads(*records: dict[str, Any], also_open: frozenset[str] = frozenset()) -> list[Item]:
    return BEADS.read(lines(*records), Reading("demo", also_open))


def taskmaster(whole: Any) -> dict[str, Item]:
    return {item.id: item for item in TASKMASTER.read(json.dumps(whole).encode(), READING)}


def issue(number: int, **more: Any) -> dict[str, Any]:
    return {"number": number, "title": f"I{number}", "url": f"https://github.com/O/r/issues/{number}"} | more


def github(*records: dict[str, Any]) -> dict[str, Item]:
    return {item.id: item for item in GITHUB.read(json.dumps(records).encode(), READING)}


def test_an_issue_of_beads_keeps_what_it_says():
    dependencies = [
        {"issue_id": "bd-2", "depends_on_id": "bd-1", "type": "blocks", "created_by": "ann"},
        {"issue_id": "bd-2", "depends_on_id": "bd-9", "type": "parent-child"},
        {"issue_id": "bd-2", "depends_on_id": "bd-7", "type": "discovered-from"},
    ]
    (item,) = beads(
        {
            "id": "bd-2",
            "title": "Fix\tit",
            "description": "Why",
            "acceptance_criteria": "Works",
            "priority": 0,
            "status": "in_progress",
            "issue_type": "bug",
            "labels": ["good first issue", "ui", "!!"],
            "assignee": "ann",
            "dependencies": dependencies,
            "unknown": {"is": "passed over"},
            "notes": None,
        }
    )
    assert (item.key, item.title, item.state, item.priority) == ("beads:demo:bd-2", "Fix it", "open", "critical")
    assert item.description == "Why\n\nAccepted when:\nWorks"
    assert (item.blocked_by, item.parent, item.assignee) == (("bd-1",), "bd-9", "ann")
    assert item.tags == ("beads", "bug", "good-first-issue", "ui")


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_every_status_that_is_known_is_told_of_in_the_table(source: Any):
    import importlib

    states = importlib.import_module(source.read.__module__).STATES
    told = " ".join(there for there, _ in source.maps).lower()
    assert not [status for status in states if status not in told]


def test_a_status_that_nobody_knows_is_refused_unless_it_is_said_to_be_open():
    record = {"id": "bd-1", "title": "t", "status": "Triage"}
    with pytest.raises(ValidationFailed, match=r"Line 1 has the status 'Triage'.*--also-open 'triage'"):
        beads(record)
    (item,) = beads(record, also_open=frozenset({"triage"}))
    assert (item.state, item.status) == ("open", "Triage")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"id": "a"}\n\n{"id": "b"', r"Line 3 cannot be taken over: it is not JSON.*Nothing was changed"),
        (b"<<<<<<< HEAD", "Line 1 .*not JSON"),
        (b'{"id": "a"}\n\xff\xfe', "Line 2 .*byte 0 is no UTF-8"),
        (b"[1]", "Line 1 .*the whole"),
        (b'{"title": "t"}', "Line 1 .*id: it is missing"),
        (b'{"id": "a", "priority": 9}', "Line 1 .*priority"),
        (b'{"id": "a", "dependencies": [{"type": "blocks"}]}', "Line 1 .*dependencies.0.depends_on_id"),
        (b'{"id": "a", "dependencies": ["b"]}', "Line 1 .*dependencies.0: it takes a table of names and values"),
        (b'{"id": "a"}\n{"id": "a", "title": "x"}', "Line 2 .*it is a, which Line 1 is too"),
        (b'{"id": ' + b"[" * 100_000, "Line 1 .*not JSON"),
        (b'{"id": ' + b"9" * 5_000 + b"}", "Line 1 .*a number is too long"),
    ],
)
def test_a_broken_file_of_beads_names_the_line(data: bytes, said: str):
    with pytest.raises(ValidationFailed, match=said):
        BEADS.read(data, READING)


def test_the_same_line_twice_is_one_issue_and_a_byte_order_mark_is_none():
    assert [item.id for item in BEADS.read(b'\xef\xbb\xbf{"id": "a"}\r\n{"id": "a"}\r\n', READING)] == ["a"]


def test_tasks_of_all_tags_come_with_their_subtasks():
    tasks = [
        {"id": 1, "title": "One", "status": "done"},
        {
            "id": "2",
            "title": "Two",
            "priority": "high",
            "dependencies": [1],
            "details": "How",
            "testStrategy": "So",
            "subtasks": [
                {"id": 1, "title": "A"},
                {"id": 2, "title": "B", "dependencies": [1, "1.1"], "priority": "low", "status": "deferred"},
            ],
        },
    ]
    whole = {
        "master": {"tasks": tasks, "metadata": {}},
        "next": {"tasks": [{"id": 1, "title": "x", "dependencies": [2]}]},
    }
    items = taskmaster(whole | {"other": 1})
    assert list(items) == ["master:1", "master:2", "master:2.1", "master:2.2", "next:1"]
    two, sub = items["master:2"], items["master:2.2"]
    assert (two.blocked_by, two.description) == (("master:1",), "Details:\nHow\n\nTest:\nSo")
    assert (sub.parent, sub.blocked_by, sub.state) == ("master:2", ("master:2.1", "master:1.1"), "later")
    assert [items[id_].priority for id_ in ("master:2.1", "master:2.2", "master:1")] == ["high", "low", "normal"]
    assert items["next:1"].key == "taskmaster:demo:next:1" and items["next:1"].blocked_by == ("next:2",)


def test_a_list_from_before_there_were_tags_is_that_of_master():
    assert list(taskmaster({"tasks": [{"id": 1, "title": "x"}], "metadata": {}})) == ["master:1"]


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        ([], "no object"),
        ({"a": 1}, "none of its members has tasks"),
        ({"m": {"tasks": [{"id": 1}, {"id": 1, "title": "x"}]}}, "Task 1 of tag 'm' .*it is m:1"),
        ({"m": {"tasks": [{"id": 1, "priority": "huge"}]}}, "Task 1 of tag 'm' .*'huge' is none of low, medium"),
        (
            {"m": {"tasks": [{"id": 1, "subtasks": [{"id": 2, "status": "so"}]}]}},
            "Task 1.2 of tag 'm' has the status 'so'",
        ),
        ({"m": {"tasks": [{"title": "x"}]}}, "Tag 'm' .*tasks.0.id"),
    ],
)
def test_a_broken_file_of_taskmaster_names_the_task(whole: Any, said: str):
    with pytest.raises(ValidationFailed, match=said):
        taskmaster(whole)


def test_an_issue_of_github_names_its_repository_blockers_and_parent():
    items = github(
        issue(
            1,
            body="Do it\n- Depends on #2, #3\n  blocked by: #4 and x#5\nsee #6",
            labels=[{"name": "Priority: High"}, {"name": "P2"}, {"name": "area: api"}],
            assignees=[{"login": "ann"}, {"login": "bob"}],
            parent={"number": 9, "url": "https://github.com/o/Other/issues/9"},
            blockedBy={"nodes": [{"number": 2}, {"number": 8}], "totalCount": 2},
        ),
        issue(2, state="CLOSED", body=None),
        issue(3) | {"url": "https://git.example.org/o/r/issues/3"},
    )
    first = items["o/r#1"]
    assert first.blocked_by == ("o/r#2", "o/r#8", "o/r#3", "o/r#4") and first.parent == "o/other#9"
    assert (first.priority, first.assignee, first.key) == ("high", "ann", "github:o/r#1")
    assert first.tags == ("github", "Priority-High", "P2", "area-api")
    assert items["o/r#2"].state == "finished" and "git.example.org/o/r#3" in items


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{}", "no list"),
        (b'[{"number": 1, "title": "t"}]', "Issue 1 of the list .*url"),
        (b'[{"number": 1, "title": "t", "url": "javascript:alert(1)"}]', "its url is not that of an issue"),
        (b'[{"number": 1, "title": "t", "url": "https://[x/o/r/issues/1"}]', "its url is not that of an issue"),
        (
            json.dumps([issue(1), issue(1, body="other")]).encode(),
            "Issue 2 .*it is o/r#1, which Issue 1 of",
        ),
        (json.dumps([issue(1, state="MERGED")]).encode(), "status 'MERGED'"),
    ],
)
def test_a_broken_file_of_github_names_the_issue(data: bytes, said: str):
    with pytest.raises(ValidationFailed, match=said):
        GITHUB.read(data, READING)


@given(st.text(), st.text(max_size=300), st.lists(st.text(max_size=80), max_size=5))
def test_whatever_a_title_text_and_labels_are_a_task_can_have_them(title: str, text: str, labels: list[str]):
    spec = {"title": title_of(title, "x"), "description": text_of(("", text), ("H", text)), "tags": tags_of(labels)}
    TaskSpec.model_validate(spec)


def test_what_is_too_long_is_cut_and_says_so():
    assert len(title_of("t" * 500, "")) == 200
    assert text_of(("", "d" * 30_000)).endswith("[It goes on where it came from.]")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "title", "tasks", "url", "x"]), inner)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("read", [source.read for source in SOURCES.values()], ids=list(SOURCES))
@given(data=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_file_is_read_or_refused_in_words(read: Callable[[bytes, Reading], list[Item]], data: bytes):
    try:
        read(data, READING)
    except ValidationFailed as error:
        assert "Nothing was changed" in error.message or "--also-open" in error.message
