"""Plans: no statement reads a large table from end to end, whatever stands in it.

Looked at on both engines in tables that are filled and counted. On PostgreSQL with `enable_seqscan` off: what is read
in full all the same could not be read otherwise, however small the tables of a test are.
"""

import asyncio
import itertools
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.size.filling import Sizes, enlarge, make_small
from mcp_server.domain.areas import AREAS
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.persistence.statements import statements
from tests.world import on_file

LARGE = {
    *("tasks", "archived_tasks", "task_tags", "dependencies", "events", "documents", "document_versions"),
    *("document_tags", "messages", "deliveries", "emails", "approvals", "approvers", "texts"),
}
NARROWED = {
    "tasks_find": (
        *("", "task_not_system", "task_schedules", "task_blocked", "task_leased", "task_named", "task_finished"),
        *(
            "task_assignee",
            "task_finisher",
            "task_kind",
            "task_parent",
            "task_after",
            "task_text",
            "task_text_indexed",
            "task_text_among",
        ),
        *(f"task_status_{status}" for status in ("pending", "queued", "running", "paused")),
        *(f"task_status_{status}" for status in ("completed", "failed", "cancelled", "timed_out")),
    ),
    "tasks_tagged": ("", "task_not_system", "task_tagged_after", "task_text", "task_text_indexed", "task_text_among"),
    "state_find": ("document_range", "document_after", "document_text", "document_text_indexed"),
    "state_deleted": ("", "document_range", "document_after", "document_text", "document_text_indexed"),
    "state_keyed": ("", "document_key_after", "document_text", "document_text_indexed"),
    "state_tagged": ("", "document_tagged_after", "document_text", "document_text_indexed"),
    "events_after": ("aggregate", "since", "until", "correlation"),
    "events_before": ("aggregate", "since", "until", "correlation"),
    "events_after_types": ("", "since", "actors_beside"),
    "events_before_actors": ("", "until", "types_beside"),
    "emails_find": (
        *("email_status", "email_template", "email_after", "email_since", "email_until"),
        *("email_text", "email_text_indexed", "email_text_among"),
    ),
    "approvals_find": ("approval_status", "approval_answered", "approval_task", "approval_after"),
    "approvals_put_to": ("", "approval_status", "approval_task", "approval_put_to_after"),
    "messages_found": (
        "found_sent",
        "message_text",
        "message_text_indexed",
        "message_text_among",
        "sent_before",
        "inbox_thread",
    ),
    "inbox": ("inbox_unread", "inbox_thread", "of_importance"),
    "sent": ("sent_before", "of_importance"),
    "thread": ("", "of_importance"),
    "owed": ("owed_after", "of_importance"),
}
"""Lists with the ways to narrow them, each by itself; those of tasks are those of archived ones, too."""
ORDERED = {
    *("tasks_find", "tasks_find_count", "archived_tasks_find", "archived_tasks_find_count", "state_find"),
    *("state_find_count", "emails_find", "emails_find_count", "approvals_find", "approvals_find_count"),
    *("messages_found", "messages_found_count"),
    *("event_newest", "events_latest", "any_event_before", "events_end", "changes_held_back"),
}
"""Read from one end, in their own order, as far as a page or a count goes."""
AS_FAR_AS_A_PAGE = (
    "",
    "task_not_system",
    "task_after",
    "task_text",
    "document_after",
    "document_text",
    "email_text",
    "message_text",
    "sent_before",
)
"""Ways to narrow these that let them be read so."""
WHOLE = {
    "threads_fill": "the last step of a rebuild, which reads everything anyway",
}
LISTS = {"ids", "keys", "kinds", "skills", "types", "actors", "seen"}
SOUGHT = {"text_needle": "old work", "text_trigrams": "{old,wor}"}
_TEXTS = re.compile(r"\btexts\b|^SCAN [tn]\b")
_NAMES = re.compile(r"\b(?:FROM|JOIN)\s+([a-z_]+)(?:\s+(?:AS\s+)?(?!on\b|where\b)([a-z]+))?", re.IGNORECASE)


def composed(known: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Every statement, and every list with each way to narrow it: its name, the way, the SQL."""
    for name, text in known.items():
        if name.startswith(("filter.", "fragment.")) or name == "dues":  # which is each `due.` beside the others
            continue
        ways = NARROWED.get(name.removeprefix("archived_").removesuffix("_count"), ("",))
        for way in ways if "{{filters}}" in text else ("",):
            yield name, way, text.replace("{{filters}}", known[f"filter.{way}"] if way else "")


def values(sql: str, pattern: str) -> dict[str, str]:
    """Something that stands for each parameter."""
    snapshots = set(re.findall(r"%\((\w+)\)s(?:, '')?\)? AS pg_snapshot", sql))
    given = {name: '["5"]' if name in LISTS else "5" for name in re.findall(pattern, sql)}
    return given | dict.fromkeys(snapshots, "5:5:") | {name: SOUGHT[name] for name in given.keys() & SOUGHT.keys()}


@pytest.fixture
def filled(url: str) -> str:
    """A database in which everything stands, and is counted."""
    if url.startswith("sqlite:///"):
        on_file(Path(url.removeprefix("sqlite:///")))
    asyncio.run(make_small(url))
    enlarge(url, Sizes().scaled(0.001))
    if not url.startswith("sqlite:///"):
        with psycopg.connect(url, autocommit=True) as connection:
            # As it is once the index has followed: were all texts new, their own order would serve as well as that of
            # the new ones.
            connection.execute("UPDATE texts SET is_new = 0 WHERE number % 20 > 0")
            # Rewritten, too: the indexes of a database that tests before have used are as long as what they wrote.
            connection.execute("VACUUM (FULL, ANALYZE)")
    return url


def steps_on_sqlite(url: str) -> Iterator[tuple[str, str, str]]:
    """What is read in full: the statement, the way, and the step of its plan."""
    with closing(SqliteFile(Path(url.removeprefix("sqlite:///"))).connect()) as connection:
        partial = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '% WHERE %'")}
        for name, way, sql in composed(statements("sqlite", AREAS.sql)):
            alias = {second or first: first for first, second in _NAMES.findall(sql)}
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values(sql, r"(?<![:\w]):([a-z_0-9]+)"))
            for *_, step in plan.fetchall():
                large = step.startswith("SCAN") and alias.get(step.split()[1]) in LARGE
                if large and step.split()[-1] not in partial:
                    yield name, way, step


def steps_on_postgres(url: str) -> Iterator[tuple[str, str, str]]:
    """What is read in full: the statement, the way, and the node of its plan."""
    with psycopg.connect(url) as connection:
        indexes = connection.execute("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '% WHERE %'").fetchall()
    partial = {name for (name,) in indexes}
    for name, way, node in plans_on_postgres(url, "seqscan", "hashjoin", "mergejoin"):
        bounded = "Index Cond" in node or node.get("Index Name") in partial
        if node.get("Relation Name") in LARGE and "Scan" in node["Node Type"] and not bounded:
            yield name, way, f"{node['Node Type']} {node['Relation Name']} {node.get('Index Name', '')}"
    for name, way, node in plans_on_postgres(url):
        yield from ((name, way, f"{why}: {node}") for why in detours(node))


def detours(node: dict[str, Any]) -> Iterator[str]:
    """Why a plan reads in full what it need not, as the server chooses by itself. The log's numbers are told under the
    column's own name, by which nothing is in order; and where a few agents ended thousands of tasks, it takes the next
    task to be as good as any, and reads all for who ended none."""
    if any("xid)::" in key for key in node.get("Sort Key", ())):
        yield "the log is sorted"
    read = node["Plans"][0] if node["Node Type"] == "Limit" and "SubPlan" in node.get("Subplan Name", "") else {}
    if read.get("Node Type") == "Seq Scan" and read["Relation Name"] == "tasks":
        yield "one of many is not looked up"


def plans_on_postgres(url: str, *without: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each statement, each way, and each node of its plan as the server chooses it without some means."""
    with psycopg.connect(url, autocommit=True) as connection:
        for means in without:
            connection.execute(f"SET enable_{means} = off")
        for name, way, sql in composed(statements("postgres", AREAS.sql)):
            if not sql.startswith("LOCK"):
                found = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}", values(sql, r"%\((\w+)\)s")).fetchone()
                assert found is not None
                yield from ((name, way, node) for node in nodes(found[0][0]["Plan"]))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes; those that read a bitmap are read by the node beneath, and what reads one row at the end of an
    index reads no more."""
    if is_an_end(plan):
        return
    if plan["Node Type"] != "Bitmap Heap Scan":
        yield plan
    for one in plan.get("Plans", ()):
        yield from nodes(one)


def is_an_end(plan: dict[str, Any]) -> bool:
    """Whether it is the smallest or the largest of a column."""
    one = plan["Node Type"] == "Limit" and plan.get("Parent Relationship") == "InitPlan" and plan["Plan Rows"] == 1
    return one and "Index" in plan["Plans"][0]["Node Type"] and "Filter" not in plan["Plans"][0]


@pytest.mark.slow
def test_no_statement_reads_a_large_table_from_end_to_end(filled: str):
    steps = steps_on_sqlite if filled.startswith("sqlite") else steps_on_postgres
    found = [(name, way, step) for name, way, step in steps(filled) if name not in WHOLE]
    told = "\n".join(" ".join(one) for one in found if not may_read(*one))
    assert not told, told


def may_read(name: str, way: str, step: str) -> bool:
    """Whether a list is read in its order. Texts are read through by counts alone: how many hold what is too short for
    the index, each text must tell."""
    in_order = name in ORDERED and way in AS_FAR_AS_A_PAGE and "Seq Scan" not in step
    return in_order and (name.endswith("_count") or not _TEXTS.search(step))


def test_a_list_of_one_status_is_read_from_that_statuss_own_index(tmp_path: Path):
    """Also where nothing was ever counted, as in a database that is new."""
    on_file(tmp_path / "x.db")
    known = statements("sqlite", AREAS.sql)
    used = {"running": "tasks_running", "failed": "tasks_ended", "paused": "tasks_paused", "queued": "tasks_queued"}
    with closing(SqliteFile(tmp_path / "x.db").connect()) as connection:
        for status, index in used.items():
            sql = known["tasks_find"].replace("{{filters}}", known[f"filter.task_status_{status}"])
            plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", {"limit": 1}))
            assert index in plan, (status, plan)


LED_BY = {
    "task_kind": "tasks_kinds",
    "task_parent": "tasks_parent",
    "task_named": "tasks_named",
    "task_finished": "tasks_finishers",
    "task_schedules": "tasks_schedules",
    "task_status_failed": "tasks_ended",
    "task_status_completed": "tasks_ended",
    "task_status_queued": "tasks_queued",
    "task_status_pending": "tasks_pending",
    "task_blocked": "tasks_blocked",
}
BESIDE = ("status", "blocked", "schedules", "parent", "kind", "system_kind", "tag", "agent")


def test_a_list_that_several_things_narrow_is_read_by_the_one_that_was_chosen(tmp_path: Path):
    """Whatever the engine takes for rarer. What is blocked is a part of what is pending, with an index of its own."""
    on_file(tmp_path / "x.db")
    known = statements("sqlite", AREAS.sql)
    with closing(SqliteFile(tmp_path / "x.db").connect()) as connection:
        for (first, index), beside in itertools.product(LED_BY.items(), BESIDE):
            filters = f"{known[f'filter.{first}']}\n{known[f'filter.task_{beside}_beside']}"
            sql = known["tasks_find"].replace("{{filters}}", filters)
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values(sql, r"(?<![:\w]):([a-z_0-9]+)")).fetchall()
            (read,) = [row[3] for row in plan if row[3].split()[1] == "tasks"]
            assert index in read or "tasks_blocked" in read, (first, beside, read)


@pytest.mark.parametrize("is_counted", [False, True])
def test_what_is_unread_of_an_inbox_is_found_and_counted_without_what_was_read(tmp_path: Path, is_counted: bool):
    on_file(tmp_path / "x.db")
    known = statements("sqlite", AREAS.sql)
    with closing(SqliteFile(tmp_path / "x.db").connect()) as connection:
        if is_counted:  # as where the table was counted before its index was made
            connection.execute("ANALYZE")
            connection.execute("INSERT INTO sqlite_stat1 VALUES ('deliveries', 'deliveries_inbox', '20000 400 1')")
            connection.execute("ANALYZE sqlite_schema")
        for name in ("inbox_unread", "inbox_any_unread", "inbox_unread_ids", "inbox_unread_known", "inbox_count"):
            asked = values(known[name], r"(?<![:\w]):([a-z_0-9]+)")
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {known[name]}", asked)]
            assert "INDEX deliveries_unread (party=? AND read_at=?)" in steps[0], (name, steps)
    assert "COVERING" in steps[0], "the last is a count"
