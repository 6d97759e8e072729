"""A database full of work, made by the last version with schema 5, goes on under this one.

`schema_5.jsonl.gz` is that version's own export; `schema_5.json` says what stands in it, and which links it mailed.
"""

import gzip
import io
import json
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_server.domain.agents.commands import Register
from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval, Vote
from mcp_server.domain.approvals.model import ApprovalPolicy
from mcp_server.domain.approvals.transactions import signing_key
from mcp_server.domain.areas import AREAS
from mcp_server.domain.email.commands import FindEmails, SendEmail
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.domain.locks.model import AcquireLock, ReleaseLock
from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.domain.state.commands import SetDocument
from mcp_server.domain.tasks.commands import ClaimTasks, ControlTasks, CreateTasks, FindTasks, FinishTask, ReportTask
from mcp_server.kernel.authority import Role, Speaker
from mcp_server.kernel.call import SYSTEM_CALL, Call
from mcp_server.kernel.errors import (
    IdempotencyConflict,
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    NotFound,
    PermissionDenied,
)
from mcp_server.persistence import migrate
from mcp_server.persistence.database import make_backend
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.persistence.texts import texts_of
from mcp_server.upkeep import backup, transfer
from mcp_server.upkeep.inspection import inspect_database, replay_database
from mcp_server.upkeep.replay import replay
from tests.domain.approvals.test_service import Posted, work
from tests.domain.events.test_thinning import DAY, KEEP, desk_with, thin_out
from tests.upkeep.test_upkeep import exported, facts, file_of
from tests.world import World, caller, open_world
from tools.spec import Shared

pytestmark = pytest.mark.anyio
HERE = Path(__file__).parent
OLD: dict[str, Any] = json.loads((HERE / "schema_5.json").read_text("utf-8"))
TASKS, AGENTS, APPROVALS, MAILS = OLD["tasks"], OLD["agents"], OLD["approvals"], OLD["mails"]


@pytest.fixture
def sqlite_url(absent_sqlite_url: str) -> str:
    """What the earlier version made itself."""
    return absent_sqlite_url


@pytest.fixture
def old_url(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database as the earlier version left it."""
    backend: Any = make_backend(url, AREAS)
    if not isinstance(backend, SqliteBackend):  # the test's database is made of one that has every migration
        with backend.server.connect() as connection:
            connection.execute(f"DROP SCHEMA {backend.server.schema} CASCADE")
    real = migrate.migrations
    with monkeypatch.context() as before:
        for module in (migrate, transfer):
            before.setattr(module, "migrations", lambda engine: [one for one in real(engine) if one.number <= 5])
        exported = gzip.decompress((HERE / "schema_5.jsonl.gz").read_bytes())
        before.setattr(transfer, "_NAMES", tuple(json.loads(exported.splitlines()[-1])["rows"]))  # its tables alone
        transfer.import_(url, io.BytesIO(exported))
    return url


@pytest.fixture
async def upgraded(old_url: str) -> AsyncGenerator[World]:
    """A desk of this version on it; whatever a test does there, the events account for all of it."""
    async with open_world(old_url) as world:
        world.clock.now = OLD["now"]
        policy = EmailPolicy(allow=("*@example.org",), approvers=("Boss <Boss@example.org>",))
        world.desk = desk_with(world, policy, ApprovalPolicy(links_base="http://x", mails_leave=True))
        await world.database.write(signing_key, world.desk.context.origin(SYSTEM_CALL), "approval links", "0" * 64)
        yield world
        assert replay(old_url).differences == ()


def key_of(agent: str) -> Call:
    """A call with an agent's own key."""
    return replace(caller(Role.AGENT, "agent", AGENTS[agent]), speaker=Speaker(AGENTS[agent], agent))


def as_agent(agent: str) -> Call:
    """A call of the user on behalf of an agent."""
    return replace(caller(), speaker=Speaker(AGENTS[agent], agent))


async def look(world: World, name: str) -> Any:
    return await world.desk.tasks.get(world.call, TASKS[name])


async def later(world: World, seconds: float) -> None:
    """What time alone does, also after the wait for the next attempt."""
    for more in (seconds, 60):
        world.clock.advance(more)
        await world.settle()


async def control(world: World, action: Any, *names: str) -> Any:
    command = ControlTasks(task_ids=tuple(TASKS[name] for name in names), action=action)
    return await world.desk.tasks.control(world.call, command)


async def test_it_is_whole_after_its_first_start_and_before_it_nothing_is_called_damaged(old_url: str):
    found = {one.name: one for one in (*inspect_database(old_url), replay_database(old_url))}
    assert [name for name, one in found.items() if not one.ok] == ["replay"]
    assert "schema 5" in found["replay"].detail and "Start the server once" in (found["replay"].remedy or "")
    async with open_world(old_url):
        pass
    assert [one for one in (*inspect_database(old_url), replay_database(old_url)) if not one.ok] == []


async def test_what_an_earlier_version_wrote_is_found_by_its_text(old_url: str):
    async with open_world(old_url) as world:
        world.clock.now = OLD["now"]
        rows = await world.database.fetch_all("texts_new", limit=1000)
        stored = [
            *await world.database.fetch_all("tasks_every", after="", limit=1000),
            *await world.database.fetch_all("archive_every", after="", limit=1000),
        ]
        values = await world.database.fetch_all("documents_every", after="", limit=1000)
        mails = await world.database.fetch_all("emails_every", after="", limit=1000)
        messages = await world.database.fetch_all("messages_every", after="", limit=1000)
        assert len(rows) == sum(map(len, (stored, values, mails, messages))) and values and mails and messages
        for task in stored:
            command = FindTasks(text=task["title"].upper(), include_system=True, limit=100)
            assert task["id"] in {one.id for one in (await world.desk.tasks.find(world.call, command)).items}
        for mail in mails:
            found = FindEmails(to=json.loads(mail["recipients"])[0].upper(), limit=100)
            assert mail["id"] in {one.id for one in (await world.desk.emails.find(world.call, found)).items}


async def test_texts_of_the_version_before_keep_their_place_and_are_found(
    old_url: str, monkeypatch: pytest.MonkeyPatch
):
    """As schema 20 left them: some indexed, some new, without the time of what they tell of."""
    backend: Any = make_backend(old_url, AREAS)
    engine = backend.engine
    real = migrate.migrations
    with monkeypatch.context() as before:
        before.setattr(migrate, "migrations", lambda engine: [one for one in real(engine) if one.number <= 20])
        backend.prepare()
    opened = backend.file.connect() if engine == "sqlite" else backend.server.connect()
    with closing(opened) as connection:
        mark = "%s" if engine == "postgres" else "?"
        for place, row in enumerate(texts_of(connection, engine, AREAS)):
            if row["kind"] in ("task", "document"):
                values = (row["kind"], row["about"], place % 2, row["folded"])
                sql = f"INSERT INTO texts (kind, about, is_new, folded) VALUES ({', '.join([mark] * 4)})"
                connection.execute(sql, values)
        if engine == "sqlite":
            connection.execute(
                "INSERT INTO text_index (rowid, folded) SELECT number, folded FROM texts WHERE is_new = 0"
            )
    async with open_world(old_url) as world:
        world.clock.now = OLD["now"]
        for task in await world.database.fetch_all("tasks_every", after="", limit=1000):
            command = FindTasks(text=task["title"].upper(), include_system=True, limit=100)
            assert task["id"] in {one.id for one in (await world.desk.tasks.find(world.call, command)).items}
        assert (await world.desk.emails.find(world.call, FindEmails(to="@"))).items
    assert replay(old_url).differences == ()


async def test_messages_that_were_sent_before_they_could_be_searched_are_found(
    old_url: str, monkeypatch: pytest.MonkeyPatch
):
    """As schema 21 left them: with texts of all else."""
    backend: Any = make_backend(old_url, AREAS)
    real = migrate.migrations
    with monkeypatch.context() as before:
        before.setattr(migrate, "migrations", lambda engine: [one for one in real(engine) if one.number <= 21])
        backend.prepare()
    opened = backend.file.connect() if backend.engine == "sqlite" else backend.server.connect()
    with closing(opened) as connection:
        connection.execute("DELETE FROM texts WHERE kind = 'message'")
    async with open_world(old_url) as world:
        world.clock.now = OLD["now"]
        found = await world.desk.messages.look(as_agent("bob"), ReadMessages(text="HELLO"))
        assert len(found.messages) >= 2
    assert replay(old_url).differences == ()


async def test_who_was_asked_before_the_upgrade_is_found_by_name(old_url: str):
    async with open_world(old_url) as world:
        world.clock.now = OLD["now"]
        listed = (await world.desk.approvals.find(world.call, FindApprovals(limit=100))).items
        people = {person for one in listed for person in one.approvers or ()}
        for person in people:
            found = (
                await world.desk.approvals.find(world.call, FindApprovals(approver=person.upper(), limit=100))
            ).items
            assert [one.id for one in found] == [one.id for one in listed if person in (one.approvers or ())]
        assert people


async def test_an_old_key_with_the_same_content_finds_what_was_made_first(upgraded: World):
    keyed = [name for name, spec in OLD["specs"].items() if "idempotency_key" in spec]
    for name in keyed:
        call, spec = key_of("ann") if name == "by ann" else upgraded.call, OLD["specs"][name]
        again = await upgraded.desk.tasks.create(call, CreateTasks.model_validate({"tasks": [spec]}))
        assert (again.tasks[0].id, again.tasks[0].replayed) == (TASKS[name], True)
        with pytest.raises(IdempotencyConflict, match=TASKS[name]):
            await upgraded.desk.tasks.create(call, CreateTasks.model_validate({"tasks": [spec | {"title": "another"}]}))
    for name, spec in OLD["mail_specs"].items():
        call = key_of("ann") if name == "by ann" else upgraded.call
        assert (await upgraded.desk.emails.send(call, SendEmail.model_validate(spec))).email.id == MAILS[name]
        with pytest.raises(IdempotencyConflict, match=MAILS[name]):
            await upgraded.desk.emails.send(call, SendEmail.model_validate(spec | {"subject": "another"}))
    assert len(keyed) == 7
    archived = await upgraded.task(title="archived", idempotency_key="key archived", input={"b": 1, "a": [1.0, None]})
    assert archived.id == OLD["archived"]
    assert (await upgraded.task(title="other", idempotency_key="key by ann")).id != TASKS["by ann"], "another's key"


async def test_a_numbered_token_holds_nothing_any_more_and_its_task_goes_on(upgraded: World):
    for task_id, token in {**OLD["leases"], **OLD["finished"]}.items():
        lease = {"task_id": task_id, "lease_token": token}
        with pytest.raises(LeaseLost):
            await upgraded.desk.tasks.report(upgraded.call, ReportTask.model_validate(lease))
        with pytest.raises(LeaseLost):
            finish = FinishTask.model_validate(lease | {"outcome": "completed"})
            await upgraded.desk.tasks.finish(upgraded.call, finish)
        under = replace(upgraded.call, lease_token=Shared.model_validate({"lease_token": token}).lease_token)
        with pytest.raises(LeaseLost):
            await upgraded.desk.state.set(under, SetDocument(namespace="n", key="k", value=1))
    resumed = await upgraded.desk.tasks.claim(as_agent("ann"), ClaimTasks(resume=True, lease_seconds=60))
    claims = {one.task.title: one for one in resumed.claims}
    assert sorted(claims) == ["instance running", "running"] and claims["running"].attempt == 1
    done = await upgraded.finish(claims["running"], result=1)
    assert done.task.status == "completed" and done.released == [TASKS["run anyway"]]
    await later(upgraded, 3601)  # the lease of then, which no fresh token cuts short
    assert (await look(upgraded, "instance running")).status == "queued"


async def test_a_lease_that_nobody_takes_up_again_expires_and_a_budget_that_is_used_up_stays_so(upgraded: World):
    await later(upgraded, 601)
    assert (await look(upgraded, "running")).status == "queued"
    ann = await upgraded.desk.agents.get(upgraded.call, AGENTS["ann"])
    with pytest.raises(LimitExceeded, match="105 tokens"):
        await upgraded.claim(ann)
    upgraded.clock.advance(10 * DAY)  # the next month
    claims = await upgraded.claim(ann, max_tasks=5)
    assert {TASKS["running"], TASKS["instance running"]} < {one.task.id for one in claims}


async def test_what_waits_goes_on_dead_and_pinned_and_scheduled_alike(upgraded: World):
    bob = await upgraded.desk.agents.get(upgraded.call, AGENTS["bob"])
    pinned = await upgraded.desk.tasks.find(upgraded.call, FindTasks(agent_id=bob.id))
    assert [task.id for task in pinned.items] == [TASKS["pinned"]]
    assign = ControlTasks(task_ids=(TASKS["pinned"],), action="assign", agent_id="new")
    assert (await upgraded.desk.tasks.control(upgraded.call, assign)).tasks[0].agent_id == AGENTS["new"]
    assert (await control(upgraded, "retry", "dead", "rejected")).refused is None
    assert [(await look(upgraded, name)).status for name in ("dead", "rejected")] == ["queued", "pending"]
    upgraded.clock.advance(5 * DAY)
    await upgraded.settle()
    assert (await look(upgraded, "later")).status == "queued"
    schedule = await upgraded.desk.tasks.get(upgraded.call, OLD["schedule"])
    assert schedule.result["fired"] == 8
    assert (await look(upgraded, "two\nlines")).title == "two\nlines"


async def test_agents_are_whose_they_were_and_keep_what_an_operator_set(upgraded: World):
    other = caller(Role.AGENT, id="other")
    command = Register(name="new", max_concurrent_tasks=50)
    with pytest.raises(PermissionDenied):
        await upgraded.desk.agents.register(other, command)
    with pytest.raises(PermissionDenied, match="An operator set max_concurrent_tasks"):
        await upgraded.desk.agents.register(caller(Role.AGENT), command)
    kept = await upgraded.desk.agents.register(caller(Role.AGENT), Register(name="new"))
    assert (kept.agent.id, kept.agent.capacity) == (AGENTS["new"], 3)
    again = await upgraded.desk.agents.register(key_of("dora"), Register(name="dora", description="a key"))
    assert (again.agent.id, again.created) == (AGENTS["dora"], False)


async def test_locks_are_released_by_who_holds_them_or_expire(upgraded: World):
    release, user = upgraded.desk.locks.release, upgraded.call
    ann = as_agent("ann")
    for call, name, owner in (
        (user, "plain", "ann"),
        (ann, "often", "ann"),
        (ann, "shared", "ann"),
        (user, "shared", "bob"),
        (key_of("ann"), "keyed", None),
        (ann, "of instance", OLD["instances"]["ann"]),
        (user, "src/*.py", "glob"),
        (user, "mine", None),
        (user, "Agent label", "AGENT:x"),
    ):
        assert (await release(call, ReleaseLock(name=name, owner=owner))).released, name
    with pytest.raises(PermissionDenied):
        await release(as_agent("bob"), ReleaseLock(name="daily"))
    with pytest.raises(NotFound):  # under the name that it has today, nobody holds it
        await release(user, ReleaseLock(name="./src//a.py", owner="ann"))
    upgraded.clock.advance(8 * DAY)
    await upgraded.settle()
    assert (await upgraded.desk.locks.overview(user)).locks == []
    taken = await upgraded.desk.locks.acquire(user, AcquireLock(name="often"))
    assert taken.lock is not None and taken.lock.fencing_token == OLD["often"] + 1


async def test_messages_are_read_and_acknowledged_and_threads_stand_in_the_order_sent(upgraded: World):
    bob, messages = as_agent("bob"), upgraded.desk.messages
    thread = await messages.look(bob, ReadMessages(thread_id=OLD["thread"]))
    assert [message.body for message in thread.messages] == ["hello", "hello", "third", "fourth"]
    unread = await messages.read(bob, ReadMessages())
    assert [message.body for message in unread.messages] == ["hello", "unread", "to ops"]
    await messages.read(bob, ReadMessages(acknowledge=(OLD["unread"],)))
    answer = await messages.send(bob, SendMessage(thread_id=OLD["thread"], body="fifth", idempotency_key="k"))
    assert answer.recipients == [AGENTS["ann"], "user:tester"]
    mine = await messages.read(upgraded.call, ReadMessages())
    assert [message.body for message in mine.messages] == ["fifth"]
    owed = await messages.read(as_agent("ann"), ReadMessages(unacknowledged=True))
    assert OLD["unread"] not in [message.id for message in owed.messages]


async def test_open_questions_are_decided_and_each_mailbox_counts_once(upgraded: World):
    assert (await upgraded.answer(caller(id="hal"), APPROVALS["anyone"]))[0].status == "approved"
    assert (await upgraded.answer(caller(id="tester"), TASKS["gated"]))[1].status == "queued"
    partly, _ = await upgraded.desk.approvals.decide(*await followed(upgraded, "partly", "Hal@example.org"))
    assert partly.status == "approved", "gus had answered before, and Hal is one person"
    once, _ = await upgraded.desk.approvals.decide(*await followed(upgraded, "named", "Eve <Eve@Example.org>"))
    assert once.status == "pending"
    with pytest.raises(InvalidTransition, match="answered"):
        await upgraded.desk.approvals.decide(*await followed(upgraded, "named", "eve@example.org"))
    both, _ = await upgraded.desk.approvals.decide(*await followed(upgraded, "named", "frank"))
    assert both.status == "approved"
    with pytest.raises(InvalidTransition, match="approved"):
        await upgraded.answer(caller(id="gus"), APPROVALS["decided"])


async def followed(world: World, name: str, person: str) -> tuple[Any, ...]:
    """What follows from a link of before: a call without rights, who answers, and what was shown."""
    opened = await world.desk.approvals.open_link(OLD["links"][name][person])
    call = caller(Role.VIEWER, id=opened.voter.name)
    shown = await world.desk.approvals.shown(world.call, opened.approval.id)
    return call, opened.voter, opened.approval.id, Vote(approve=True), shown.seen


async def test_who_asked_with_a_key_of_its_own_reminds_and_replaces_nobody(upgraded: World):
    ask, spec = upgraded.desk.approvals.request, {"title": "put to", "action": "Let this task start."}
    command = RequestApproval.model_validate(spec | {"approvers": ["gus"], "task_id": TASKS["put to"]})
    reminded = (await ask(as_agent("ann"), command)).approval
    assert reminded.id == APPROVALS["about put to"]
    assert (await upgraded.desk.approvals.get(upgraded.call, reminded.id)).approvers == ["gus"]
    held = await upgraded.database.fetch_all("approvals_open_of", requester=AGENTS["ann"])
    assert {row["id"] for row in held} == {APPROVALS["about put to"], APPROVALS["named"]}


async def test_mails_go_out_and_a_question_of_before_is_still_mailed_with_a_link(upgraded: World):
    upgraded.clock.advance(2 * DAY)
    await upgraded.settle()
    posted = Posted()
    await work(upgraded, posted)
    (link,) = [line for mail in posted.mails for line in (mail.text or "").splitlines() if "/approvals/" in line]
    opened = await upgraded.desk.approvals.open_link(link.rpartition("/")[2])
    assert opened.voter.name == "boss@example.org"
    found = await upgraded.desk.emails.find(upgraded.call, FindEmails())
    status = {email.id: email.status for email in found.items}
    assert [status[MAILS[name]] for name in ("sent", "queued", "by ann", "outside")] == [*["sent"] * 3, "waiting"]
    with pytest.raises(PermissionDenied, match="operator named"):
        command = RequestApproval(title="t", action="a", approvers=("ann",), task_id=opened.approval.task_id)
        await upgraded.desk.approvals.request(upgraded.call, command)


async def test_it_is_thinned_out_archived_and_rebuilt_again_and_again(upgraded: World):
    for _ in range(3):
        upgraded.clock.advance(80 * DAY)
        await upgraded.settle()
        await thin_out(upgraded, KEEP)
        assert replay(upgraded.url).differences == ()


@pytest.mark.slow
async def test_it_moves_to_the_other_engine_and_comes_back_from_a_backup(
    old_url: str, sqlite_url: str, postgres_url: str, tmp_path: Path
):
    async with open_world(old_url) as world:
        await world.database.write(signing_key, world.desk.context.origin(SYSTEM_CALL), "approval links", "0" * 64)
    whole = await exported(old_url)
    assert b"0" * 64 not in whole, "what links are signed with stays"
    other = postgres_url if old_url == sqlite_url else f"sqlite:///{tmp_path / 'other.db'}"
    transfer.import_(other, io.BytesIO(whole))
    assert facts(await exported(other)) == facts(whole)
    assert replay(other).differences == ()
    if old_url == sqlite_url:
        copy, new = tmp_path / "copy.db", tmp_path / "new.db"
        backup.back_up(file_of(old_url), copy, force=False)
        backup.restore(copy, new, force=False)
        assert facts(await exported(f"sqlite:///{new}")) == facts(whole)
