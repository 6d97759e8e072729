"""A small database, made by real calls; and a large one, where its histories are repeated by SQL.

What is made by calls is made first, so that it is the oldest of all: what a list is narrowed to in vain until then.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from mcp.client import Client

from mcp_server.app import open_app
from mcp_server.config import load_settings
from mcp_server.kernel.schemas import OWN

Call = Callable[..., Any]
AT_ONCE = 2_000
"""Rows in one transaction: the order of PostgreSQL's log is that of its transactions."""
PAST_DAYS = 20
"""How long ago it happened: less than what retention looks at."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of each."""

    finished: int = 1_000_000
    archived: int = 300_000
    """Of the finished ones."""
    queued: int = 100_000
    documents: int = 50_000
    events: int = 1_000_000
    others: int = 20_000
    """Messages, in threads of their own and in one, mails and questions; parts of one task, tasks that failed; versions
    of one document; plus kinds that came and went."""
    waiting: int = 4_000
    """For one task."""
    deployments: int = 2_000
    locks: int = 2_000

    def scaled(self, scale: float) -> "Sizes":
        """The same, but so much of it."""
        return Sizes(*(max(round(getattr(self, name) * scale), 10) for name in self.__slots__))


async def make_small(url: str) -> None:
    """A little of everything, by tool calls."""
    async with open_app(load_settings(database=url)) as app, Client(app.server) as client:

        async def call(tool: str, **arguments: Any) -> Any:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, (tool, result.content)
            return result.structured_content or {}

        await _agents(call)
        await _tasks(call)
        await _documents(call)
        await _people(call)
        await _others(call)


async def _agents(call: Call) -> None:
    can = [{"name": "python"}]
    for name in ("painter", "rare"):
        await call("agents_register", name=name, capabilities=can, max_concurrent_tasks=1000, tags=["night"])
    await call("agents_register", name="idle", capabilities=[{"name": "nothing"}])
    await call("agents_register", name="away", capabilities=[{"name": "nothing"}])
    for number in range(20):
        await call("agents_register", name=f"other-{number}", capabilities=can)


async def _worked(call: Call, agent: str, count: int, outcome: dict[str, Any], **spec: Any) -> None:
    await call("tasks_create", tasks=[{"title": "Old work", **spec}] * count)
    for claim in (await call("tasks_claim", agent_id=agent, max_tasks=count))["claims"]:
        held = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"]}
        await call("tasks_report", **held, progress={"percent": 50})
        await call("tasks_finish", **held, **outcome)


async def _tasks(call: Call) -> None:
    done: dict[str, Any] = {"outcome": "completed", "result": {"ok": True}}
    lost = {"outcome": "failed", "error": {"message": "it broke", "retryable": False}}
    needs: dict[str, Any] = {"required_capabilities": ["python"]}
    await _worked(call, "rare", 3, done, kind="rare", tags=["rare"])
    await _worked(call, "rare", 3, lost, kind="build")
    await _worked(call, "painter", 40, done, kind="build", tags=["nightly"], input={"branch": "main"})
    (whole,) = (await call("tasks_create", tasks=[{"title": "Whole", "run_at": "2100-01-01T00:00:00Z"}]))["tasks"]
    await _worked(call, "painter", 3, done, title="Part", kind="part", parent_id=whole["id"])
    await call("tasks_create", tasks=[{"title": "Under way", "kind": "build", **needs}] * 3)
    await call("tasks_claim", agent_id="painter", max_tasks=3, lease_seconds=86_400)
    (parent,) = (await call("tasks_create", tasks=[{"title": "Parent", "kind": "build", **needs}]))["tasks"]
    waiting = {"title": "Waiting", "kind": "build", **needs}
    waits = [
        {**waiting, "depends_on": [parent["id"]], "parent_id": parent["id"]},
        {**waiting, "run_at": "2100-01-01T00:00:00Z"},
        {**waiting, "schedule": {"cron": "0 3 1 1 *"}},
        {**waiting, "requires_approval": True},
    ]
    await call("tasks_create", tasks=waits)
    queued = {"title": "Ready", "kind": "build", "tags": ["nightly"], **needs}
    made = (await call("tasks_create", tasks=[queued] * 40))["tasks"]
    await call("tasks_control", task_ids=[made[0]["id"]], action="pause")
    await call("tasks_control", task_ids=[made[1]["id"]], action="cancel")


async def _documents(call: Call) -> None:
    for number in range(40):
        tags = ["rare"] if number == 0 else ["page"]
        await call("state_set", namespace="notes", key=f"page-{number}", value={"text": "x" * 200}, tags=tags)
    await call("state_patch", namespace="notes", key="page-0", merge_patch={"more": 1})
    for number in range(3):
        await call("state_set", namespace="notes", key="long", value={"number": number})
    await call("state_set", namespace="notes", key="gone", value=1)
    await call("state_set", namespace="notes", key="gone", delete=True)


async def _people(call: Call) -> None:
    for number in range(30):
        await call("messages_send", to=["painter"], body=f"Message {number}", as_agent="rare")
        await call("email_send", to=["ann@example.org"], subject=f"Mail {number}", text="Hello")
        await call("approvals_request", title=f"Question {number}", action="do it", approvers=["ann@example.org"])
    await call("email_send", to=["rare@example.org"], subject="Mail", text="Hello")
    await call("approvals_request", title="Rare", action="do it", approvers=["rare@example.org"])
    await call("messages_read", agent_id="painter", limit=100)
    await call("messages_send", to=["painter"], body="Unread", as_agent="rare", ack_within_seconds=86_400)
    await call("messages_send", to=["away"], body="In a long thread", as_agent="rare")


async def _others(call: Call) -> None:
    for number in range(30):
        await call("locks_acquire", name=f"src/{number}", ttl_seconds=86_400, as_agent="painter")
        service = {"name": "web", "image": "nginx:1"}
        await call(
            "deployments_define", name=f"site-{number}", target="compose", environment="test", services=[service]
        )


@dataclass(frozen=True, slots=True)
class Copies:
    """Rows to be made of rows of one table: `n.i` counts them, `t` is the row that is repeated."""

    table: str
    where: str
    count: int
    changed: Mapping[str, str]
    """SQL for the columns that differ."""
    into: str = ""


def _id(kind: str) -> str:
    return f"'{kind}_' || substr('000000000000' || CAST(n.i AS TEXT), length(CAST(n.i AS TEXT)) + 1)"


_DONE = "title = 'Old work' AND kind = 'build' AND status = 'completed'"
_FAILED = "title = 'Old work' AND status = 'failed'"
_PAINTER = "(SELECT id FROM agents WHERE name = 'painter')"
_READY = "title = 'Ready' AND status = 'queued'"
_OLD = "folded LIKE 'old work%'"
_N = "CAST(n.i AS TEXT)"
_SPACE = "CASE WHEN n.i % 2 = 0 THEN 'notes' ELSE 'docs-' || CAST(n.i % 200 AS TEXT) END"
_KEY = f"'page-0' || {_N}"
_PAGE = f"{_SPACE} || '/' || {_KEY}"
_AT = {"created_at": "t.created_at + n.i * 10", "updated_at": "t.updated_at + n.i * 10"}


def _copies(sizes: Sizes) -> list[Copies]:
    """Copies are later than what they are copies of, in the order of their numbers."""
    return [*_work(sizes), *_log(sizes), *_pages(sizes), *_letters(sizes), *_more(sizes)]


def _work(sizes: Sizes) -> list[Copies]:
    later = {name: f"t.{name} + n.i * 10" for name in ("started_at", "finished_at", "ready_at")} | _AT
    fresh = {name: f"t.{name} + 20000000 + n.i" for name in ("created_at", "updated_at", "ready_at")}
    return [
        Copies("tasks", _DONE, sizes.archived, {"id": _id("task_a"), **later}, "archived_tasks"),
        Copies("tasks", _DONE, sizes.finished - sizes.archived, {"id": _id("task"), **later}),
        Copies("tasks", _READY, sizes.queued, {"id": _id("task_q"), **fresh}),
        Copies("texts", _OLD, sizes.archived, _text("task_a", "archived_tasks")),
        Copies("texts", _OLD, sizes.finished - sizes.archived, _text("task", "tasks")),
        Copies("texts", "folded LIKE 'ready%'", sizes.queued, _text("task_q", "tasks")),
        Copies("tasks", "title = 'Part'", sizes.others, {"id": _id("task_t"), **later}),
        Copies("tasks", _FAILED, sizes.others, {"id": _id("task_f"), "finished_by": _PAINTER, **later}),
        Copies("tasks", "title = 'Waiting' AND waits_on > 0", sizes.waiting, {"id": _id("task_w"), **_AT}),
        Copies("dependencies", "TRUE", sizes.waiting, {"task_id": _id("task_w")}),
    ]


def _text(kind: str, table: str) -> dict[str, str]:
    """What a copied task is found by, since when it is there."""
    return {"about": _id(kind), "at": f"(SELECT s.created_at FROM {table} AS s WHERE s.id = {_id(kind)})"}


def _log(sizes: Sizes) -> list[Copies]:
    """The histories of some of the finished tasks: with all of them there would be three times as many events."""
    one = f"aggregate_id = (SELECT id FROM tasks WHERE {_DONE} LIMIT 1)"
    changed = {"aggregate_id": _id("task"), "at": "t.at + n.i * 1000", "correlation_id": f"'call-' || {_N}"}
    told = ("task.created", "task.claimed", "task.completed")
    return [Copies("events", f"{one} AND type = '{type_}'", sizes.events // len(told), changed) for type_ in told]


def _pages(sizes: Sizes) -> list[Copies]:
    changed = {"id": _PAGE, "namespace": _SPACE, "key": _KEY, **_AT}
    return [
        Copies("documents", "key = 'page-1'", sizes.documents, changed),
        Copies("document_versions", "document_id = 'notes/page-1'", sizes.documents, {"document_id": _PAGE}),
        Copies("texts", "about = 'notes/page-1'", sizes.documents, {"about": _PAGE}),
        Copies("document_versions", "document_id = 'notes/long' AND version = 3", sizes.others, {"version": "3 + n.i"}),
    ]


def _letters(sizes: Sizes) -> list[Copies]:
    sent = {"id": _id("msg"), "thread_id": _id("thread"), "created_at": _AT["created_at"]}
    more = {"id": _id("msg_l"), "place": "100 + n.i", "created_at": _AT["created_at"]}
    mail = {"id": _id("email"), "message_id": _id("mail"), "task_id": _id("task_m"), "status": "'sent'", **_AT}
    written = {"about": _id("email"), "at": "t.at + n.i * 10"}
    return [
        *_messages("Message 1", "msg", sent, sizes.others),
        *_messages("In a long thread", "msg_l", more, sizes.others),
        Copies("emails", "subject = 'Mail 1'", sizes.others, mail),
        Copies("texts", f"about = {_first('emails', 'subject', 'Mail 1')}", sizes.others, written),
    ]


def _messages(body: str, kind: str, changed: dict[str, str], count: int) -> list[Copies]:
    """A message with its delivery and its text."""
    first = _first("messages", "body", body)
    got = {"message_id": _id(kind), "place": "1000 + n.i"}
    return [
        Copies("messages", f"body = '{body}'", count, changed),
        Copies("texts", f"about = {first}", count, {"about": _id(kind), "at": "t.at + n.i * 10"}),
        Copies("deliveries", f"message_id = {first}", count, got),
    ]


def _first(table: str, column: str, value: str) -> str:
    return f"(SELECT id FROM {table} WHERE {column} = '{value}' ORDER BY created_at LIMIT 1)"


def _more(sizes: Sizes) -> list[Copies]:
    asked = {"id": _id("appr"), "task_id": _id("task_p"), "status": "'approved'", "due_at": "NULL", **_AT}
    site = {"id": _id("dep"), "name": "'site-' || CAST(100 + n.i AS TEXT)", **_AT}
    gone = {"name": f"'gone-' || {_N} || '||'", "kind": f"'gone-' || {_N}", "capabilities": "'[]'"}
    return [
        Copies("approvals", "title = 'Question 1'", sizes.others, asked),
        Copies("deployments", "name = 'site-1'", sizes.deployments, site),
        Copies("lock_holds", "name = 'src/1'", sizes.locks, {"name": f"'src/more-' || {_N}"}),
        Copies("queues", "kind = 'build'", sizes.others, gone),
    ]


_NEWEST = (
    "UPDATE documents SET version = (SELECT MAX(version) FROM document_versions WHERE document_id = 'notes/long') "
    "WHERE id = 'notes/long'"
)
_COUNTED = {
    "sqlite": "(WITH RECURSIVE c (i) AS (SELECT {first} UNION SELECT i + 1 FROM c WHERE i < {last}) SELECT i FROM c)",
    "postgres": "generate_series({first}, {last})",
}


def _statement(copies: Copies, columns: list[str], engine: str, first: int) -> str:
    columns = [name for name in columns if name not in ("seq", "xid", "number")]
    values = ", ".join(copies.changed.get(name, f"t.{name}") for name in columns)
    counted = _COUNTED[engine].format(first=first + 1, last=min(first + AT_ONCE, copies.count))
    named = " AS n (i)" if engine == "postgres" else " AS n"
    return (
        f"INSERT INTO {copies.into or copies.table} ({', '.join(columns)}) SELECT {values} FROM {counted}{named}, "
        f"(SELECT * FROM {copies.table} WHERE {copies.where} LIMIT 1) AS t"
    )


def enlarge(url: str, sizes: Sizes) -> None:
    """Repeat what a small database holds. Blocks."""
    (_sqlite if url.startswith("sqlite:") else _postgres)(url, sizes)


def _sqlite(url: str, sizes: Sizes) -> None:
    from mcp_server.persistence.sqlite.library import load_library

    library = load_library()
    with closing(library.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -1000000")
        _repeat(connection, sizes, "sqlite")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _postgres(url: str, sizes: Sizes) -> None:
    with _connected(url) as connection:
        connection.execute("SET synchronous_commit = off")
        _repeat(connection, sizes, "postgres")


def tidy(url: str) -> None:
    """Do as autovacuum does after so many rows: an index of what is new still holds what no longer is. Blocks."""
    if not url.startswith("sqlite:"):
        with _connected(url) as connection:
            connection.execute("VACUUM ANALYZE")


def _connected(url: str) -> Any:
    """To a server, where the desk lies."""
    import psycopg

    return psycopg.connect(url, autocommit=True, options=f"-c search_path={OWN}")


def _repeat(connection: Any, sizes: Sizes, engine: str) -> None:
    connection.execute("BEGIN")
    for copies in _copies(sizes):
        for first in range(0, copies.count, AT_ONCE):
            connection.execute(_statement(copies, _columns(connection, copies.table), engine, first))
            connection.execute("COMMIT")
            connection.execute("BEGIN")
    connection.execute(_NEWEST)
    connection.execute("COMMIT")


def _columns(connection: Any, table: str) -> list[str]:
    return [column[0] for column in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]


def age(url: str) -> None:
    """Let all of it have happened days ago. Blocks."""
    if url.startswith("sqlite:"):
        from mcp_server.persistence.sqlite.library import load_library

        opened: Any = load_library().connect(url.removeprefix("sqlite:///"), isolation_level=None)
    else:
        opened = _connected(url)
    with closing(opened) as connection:
        for table in _AGED:
            past = [name for name in _columns(connection, table) if name in _PAST]
            changes = ", ".join(f"{name} = {name} - {PAST_DAYS * 86_400_000_000}" for name in past)
            connection.execute(f"UPDATE {table} SET {changes} WHERE {past[0]} > 0")


_PAST = frozenset(
    ("at", "created_at", "updated_at", "started_at", "finished_at", "ready_at", "opened_at", "sent_at", "read_at")
)
_AGED = ("tasks", "texts", "events", "documents", "document_versions", "messages", "deliveries", "emails", "approvals")
