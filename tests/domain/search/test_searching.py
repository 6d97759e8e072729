"""What is found by its text, on both engines alike, whether the index has it or not."""

import io
import json
import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from mcp_server.domain.agents.commands import Capability, FindAgents, Register
from mcp_server.domain.email.commands import FindEmails, SendEmail
from mcp_server.domain.search.service import BEHIND_MAX, INDEX_KIND, TextIndex, index_texts, is_behind
from mcp_server.domain.search.transactions import index_some
from mcp_server.domain.state.commands import FindDocuments, RestoreDocument, SetDocument
from mcp_server.domain.tasks.archive import ARCHIVE_AT_ONCE
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.domain.tasks.timers import archive
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.handling import Job
from mcp_server.kernel.searching import SOUGHT_CHARACTERS_MAX
from mcp_server.upkeep import replay, transfer
from tests.world import World, open_world

pytestmark = pytest.mark.anyio


async def documents(world: World, text: str | None = None, **narrowed: Any) -> set[str]:
    found = await world.desk.state.find(world.call, FindDocuments(text=text, limit=100, **narrowed))
    return {one.key for one in found.items}


async def tasks(world: World, text: str | None = None, **narrowed: Any) -> set[str]:
    found = await world.desk.tasks.find(world.call, FindTasks(text=text, limit=100, **narrowed))
    return {one.title for one in found.items}


@pytest.fixture(params=[False, True], ids=["new", "indexed"])
async def settled(world: World, request: pytest.FixtureRequest) -> Callable[[], Any]:
    """What was written is in the index, or not yet: it is found all the same."""

    async def settle() -> None:
        while request.param and await world.database.write(index_some):
            pass

    return settle


@pytest.mark.parametrize(
    ("written", "typed", "is_found"),
    [
        ("Äpfel", "ÄPFEL", True),
        ("Россия", "РОССИЯ", True),
        ("Straße", "STRASSE", True),
        ("Strasse", "straße", True),
        ("İzmir", "i̇zmir", True),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", True),
        ("café", "CAFE\u0301", True),
        ("cafe\u0301", "CAFÉ", True),
        ("café", "cafe", False),
        ("東京都", "京都", True),
        ("京都", "都", True),
        ("100 %_", "0 %_", True),
        ("100 of them", "0%them", False),
        ("100 of them", "0_of", False),
        ('she said "no"', 'D "NO"', True),
        ("C:\\new", "c:\\NEW", True),
        ("one\ntwo", "ONE\nTWO", True),
        ("\U0010ffff end", "\U0010ffff E", True),
        ("plain", "u0070lain", False),
    ],
)
async def test_who_types_it_in_another_case_finds_it_in_titles_and_in_values(
    world: World, settled: Any, written: str, typed: str, is_found: bool
):
    await world.write("ns", "held", {"deep": [{"in": written}]})
    await world.write("ns", "other", {"deep": [{"in": "something else"}]})
    await world.task(title="held", description=written)
    await world.task(title="other")
    await settled()
    expected = {"held"} if is_found else set()
    assert await documents(world, typed) == await tasks(world, typed) == expected


async def test_a_value_is_searched_and_not_how_json_writes_it(world: World, settled: Any):
    await world.write("ns", "k", {"Status": "Open", "n": 1.50, "none": None, "yes": True, "list": ["a", "b"]})
    await settled()
    for typed in ("status: open", "STATUS", "n: 1.5", "none: null", "yes: true", "a\nb"):
        assert await documents(world, typed) == {"k"}, typed
    for typed in ('"Status"', "{", '["a"', "nothing"):
        assert await documents(world, typed) == set(), typed


async def test_nothing_narrows_nothing_and_a_nul_in_a_value_keeps_nothing_from_being_found(world: World):
    await world.write("ns", "k", {"a": "b\0c"})
    assert await documents(world, "") == await documents(world, "B\ufffdC") == {"k"}


async def test_what_changes_is_found_by_what_it_is_now(world: World, settled: Any):
    first = await world.write("ns", "k", "first words")
    task = await world.task(title="first", description="words")
    await settled()
    await world.write("ns", "k", "second words")
    edit = ControlTasks.model_validate({"task_ids": [task.id], "action": "edit", "changes": {"title": "Second"}})
    await world.desk.tasks.control(world.call, edit)
    for again in (True, False):
        assert await documents(world, "FIRST") == await tasks(world, "FIRST") == set()
        assert (await documents(world, "SECOND"), await tasks(world, "SECOND WORDS".replace(" ", "\n"))) == (
            {"k"},
            {"Second"},
        )
        if again:
            await settled()
    await world.desk.state.restore(world.call, RestoreDocument(namespace="ns", key="k", version=first.version))
    assert await documents(world, "FIRST") == {"k"}
    await world.desk.state.set(world.call, SetDocument(namespace="ns", key="k", delete=True))
    assert await documents(world, "FIRST") == set()
    assert await documents(world, "FIRST", deleted=True) == {"k"}


async def test_a_text_longer_than_any_title_is_refused_with_its_length_and_the_limit():
    for make in (
        lambda text: FindDocuments(text=text),
        lambda text: FindDocuments(prefix=text),
        lambda text: FindDocuments(tag=text),
        lambda text: FindTasks(text=text),
        lambda text: FindTasks(tag=text),
        lambda text: FindAgents(capability=text),
        lambda text: FindEmails(to=text),
    ):
        make("x" * SOUGHT_CHARACTERS_MAX)
        with pytest.raises(ValueError, match="60,000 characters, .* at most 1,000"):
            make("x" * 60_000)


async def test_the_longest_text_that_may_be_looked_for_is_found(world: World, settled: Any):
    text = "".join(f"{number} Äé" for number in range(200))[:SOUGHT_CHARACTERS_MAX]
    await world.write("ns", "k", {"text": f"before {text} after"})
    await settled()
    assert await documents(world, text.upper()) == {"k"}
    assert await documents(world, text[:-1] + "#") == set()


async def test_keys_that_begin_with_the_highest_character_are_listed(world: World):
    keys = {"a", "\U0010ffff", "\U0010ffff\U0010ffffz", "\ud7ff", "\ue000"}
    for key in keys:
        await world.write("ns", key, 1)
    await world.write("ns2", "elsewhere", 1)
    assert await documents(world, namespace="ns") == keys
    assert await documents(world, namespace="ns", prefix="\U0010ffff") == {"\U0010ffff", "\U0010ffff\U0010ffffz"}
    assert await documents(world, namespace="ns", prefix="\ud7ff") == {"\ud7ff"}


async def test_tags_prefixes_and_skills_tell_cases_apart(world: World):
    await world.write("ns", "Key", 1, tags=("Tag",))
    await world.task(title="t", tags=("Tag",))
    await world.desk.agents.register(
        world.call, Register(name="a", tags=("Tag",), capabilities=(Capability(name="Go"),))
    )

    async def agents(**narrowed: Any) -> int:
        return len((await world.desk.agents.find(world.call, FindAgents(**narrowed))).items)

    assert await documents(world, tag="Tag") == await documents(world, prefix="Ke") == {"Key"}
    assert await documents(world, tag="tag") == await documents(world, prefix="ke") == set()
    assert (await tasks(world, tag="Tag"), await tasks(world, tag="tag")) == ({"t"}, set())
    assert [await agents(tag=tag) for tag in ("Tag", "tag")] == [1, 0]
    assert [await agents(capability=skill) for skill in ("Go", "go")] == [1, 0]


async def test_a_mail_is_found_by_its_recipient_as_typed_whatever_its_quotes(world: World):
    await world.desk.emails.send(
        world.call,
        SendEmail.model_validate({"to": ['"Ann \\"Ä\\" Lee" <Ann@Example.org>'], "subject": "s", "text": "t"}),
    )
    for typed in ("ann@example", "ANN@", "Ä", "lee"):
        assert len((await world.desk.emails.find(world.call, FindEmails(to=typed))).items) == 1, typed


async def test_who_names_a_task_by_its_title_in_another_case_is_told_its_id(world: World):
    task = await world.task(title="Äpfel holen")
    await world.task(title="Äpfel holen und essen")
    with pytest.raises(NotFound) as refused:
        await world.desk.tasks.get(world.call, "ÄPFEL HOLEN")
    assert task.id in refused.value.message


async def test_the_index_catches_up_as_a_chore_once_it_is_behind(world: World):
    services = world.desk
    await world.write("ns", "first", "of all")
    for first in range(0, BEHIND_MAX - 2, 100):
        await world.created(*[{"title": "one of many"}] * min(100, BEHIND_MAX - 2 - first))
    assert not await is_behind(services)
    await world.write("ns", "k", "number last")
    assert await is_behind(services)
    await world.desk.housekeeping.begin_chores()
    queued = FindTasks(kind=INDEX_KIND, include_system=True)
    assert len((await world.desk.tasks.find(world.call, queued)).items) == 1
    done = await index_texts(services)(Job("task_x", "lease", None, _unreported))
    assert done["indexed"] > BEHIND_MAX and await services.get(TextIndex).index_some() == 0
    assert await documents(world, "NUMBER L") == {"k"}


async def _unreported(_: str) -> None:
    raise AssertionError("it takes no ten seconds")


async def test_an_export_holds_no_texts_and_an_import_makes_them_anew(fresh: Any):
    with fresh() as from_url, fresh() as to_url:
        async with open_world(from_url) as world:
            await world.write("ns", "k", {"a": "Äpfel"})
            await world.task(title="Россия")
        out = io.BytesIO()
        transfer.export(from_url, out, 7)
        assert "texts" not in {json.loads(line).get("table") for line in out.getvalue().splitlines()}
        transfer.import_(to_url, io.BytesIO(out.getvalue()))
        async with open_world(to_url) as world:
            assert (await documents(world, "ÄPFEL"), await tasks(world, "россия")) == ({"k"}, {"Россия"})
            await world.write("ns", "k", {"a": "Birnen"})
            assert (await documents(world, "ÄPFEL"), await documents(world, "BIRNEN")) == (set(), {"k"})
        assert replay.replay(to_url).differences == ()


async def test_a_text_that_is_not_what_its_task_says_is_told_by_a_rebuild(world: World):
    task = await world.task(title="right")
    await world.database.write(lambda tx: tx.keep_text("task", task.id, "wrong", new=False))
    assert replay.replay(world.url).differences == (f"texts task/{task.id} differs in folded",)


_PLANS = {"sqlite": "EXPLAIN QUERY PLAN ", "postgres": "EXPLAIN "}


@pytest.mark.parametrize("list_", [("state_find", "document"), ("tasks_find", "task")], ids=str)
async def test_the_index_is_asked_and_no_text_read_that_it_does_not_propose(world: World, list_: tuple[str, str]):
    statement, kind = list_
    await world.created(*[{"title": f"number {number}", "description": "of many " * 9} for number in range(100)])
    while await world.database.write(index_some):
        pass
    database = world.database
    sql = database._compose(statement, (f"{kind}_text_indexed",))
    given: dict[str, Any] = {"text_kind": kind, "text_needle": "number 7", "now": 1, "limit": 20}
    if database.engine == "sqlite":
        rows = await database.backend.read(_PLANS["sqlite"] + sql, given | {"text_trigrams": '"num" AND "r 7"'})
        plan = [tuple(row)[3] for row in rows]
        assert any("text_index VIRTUAL TABLE INDEX" in step for step in plan), plan
        assert not any(step == "SCAN t" for step in plan), plan
    else:
        with database.backend.server.connect() as connection:
            connection.execute("SET enable_seqscan = off")
            plan = [row[0] for row in connection.execute(_PLANS["postgres"] + sql, given | {"text_trigrams": ["num"]})]
        assert any("Bitmap Index Scan on text_index" in step for step in plan), plan


async def test_what_more_hold_than_the_index_is_asked_for_is_found_one_after_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mcp_server.domain.search.finding.PROPOSED_MAX", 2)
    await world.created(*[{"title": f"number {number}"} for number in range(5)])
    while await world.database.write(index_some):
        pass
    assert len(await tasks(world, "NUMBER")) == 5


@dataclass
class Reference:
    """What there is, searched by Python alone."""

    documents: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def found(among: dict[str, str], needle: str) -> set[str]:
        return {name for name, text in among.items() if _folded(needle) in _folded(text)}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


_LETTERS = (
    *"abcAB %_\"\\'\n*^:-",
    *"äÄßẞéÉİıſKÅσςΣǅﬁŉјЖж東京한글\u0301\u0345\u200d\U0001f600\U00010400\U0010ffff",
)


def _text(chance: random.Random) -> str:
    return "".join(chance.choices(_LETTERS, k=chance.randint(1, 40)))


def _needle(chance: random.Random, text: str) -> str:
    """A part of a text in another case; a fourth of them made up."""
    if not text or not chance.randrange(4):
        return _text(chance)[: chance.randint(1, 6)]
    start = chance.randrange(len(text))
    part = text[start : start + chance.randint(1, 12)]
    return chance.choice((part, part.upper(), part.lower(), part.title(), part.swapcase()))


async def _change(world: World, reference: Reference, chance: random.Random) -> None:
    text, key = _text(chance), f"k{chance.randrange(12)}"
    match chance.randrange(8):
        case 0 | 1 | 2:
            await world.write("ns", key, text)
            reference.gone.pop(key, None)
            reference.documents[key] = text
        case 3 if key in reference.documents:
            await world.desk.state.set(world.call, SetDocument(namespace="ns", key=key, delete=True))
            reference.gone[key] = reference.documents.pop(key)
        case 4 if key in reference.gone:
            first = json.loads(json.dumps((await world.read("ns", key, 1)).value))
            await world.desk.state.restore(world.call, RestoreDocument(namespace="ns", key=key, version=1))
            del reference.gone[key]
            reference.documents[key] = first
        case 5 | 6:
            task = await world.task(title="t", description=text)
            reference.tasks[task.id] = f"t\n{text}"
            if chance.randrange(2):
                await world.desk.tasks.control(world.call, ControlTasks(task_ids=(task.id,), action="cancel"))
        case _:
            await world.database.write(index_some)
            world.clock.advance(1)
            await world.database.write(
                archive, world.desk.context.origin(world.call), world.clock() - 5_000_000, ARCHIVE_AT_ONCE
            )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_both_engines_find_what_python_finds_whatever_happened_before(world: World, seed: int):
    chance, reference = random.Random(seed), Reference()
    for turn in range(80):
        await _change(world, reference, chance)
        everything = [*reference.documents.values(), *reference.gone.values(), *reference.tasks.values(), ""]
        needle = _needle(chance, chance.choice(everything))
        told = f"turn {turn}: {needle!r}"
        assert await documents(world, needle) == reference.found(reference.documents, needle), told
        assert await documents(world, needle, deleted=True) == reference.found(reference.gone, needle), told
        found = await world.desk.tasks.find(world.call, FindTasks(text=needle, limit=100))
        assert {one.id for one in found.items} == reference.found(reference.tasks, needle), told
    assert replay.replay(world.url).differences == ()
