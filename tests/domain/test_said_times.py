"""What is repeated under its key in the same words is the same, also where they say a time by how far it is off."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.calls.commands import OpenCall
from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.kernel import moments
from mcp_server.kernel.errors import IdempotencyConflict
from mcp_server.kernel.lasting import FROM_NOW_ON
from mcp_server.kernel.relative import as_said
from mcp_server.kernel.shapes import shape_of
from mcp_server.kernel.times import micros
from mcp_server.kernel.understanding import understood
from tests.world import START, World
from tools import TOOLS

pytestmark = pytest.mark.anyio
KEY = {"idempotency_key": "k"}
LATER = "2027-06-01T10:00:00Z"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Words are read by the test's clock, too."""
    world: World | None = request.getfixturevalue("world") if "world" in request.fixturenames else None
    monkeypatch.setattr(moments, "system_clock", lambda: START if world is None else world.clock.now)


async def made(world: World, what: str, **said: Any) -> str:
    """The id of what comes of it."""
    desk, call = world.desk, world.call
    if what == "mail":
        mail = understood("t", SendEmail, {"to": "a@example.org", "subject": "s", "text": "t"} | KEY | said)
        return (await desk.emails.send(call, mail)).email.id
    if what == "task":
        tasks = understood("t", CreateTasks, {"tasks": [{"title": "t"} | KEY | said]})
        (task,) = (await desk.tasks.create(call, tasks)).tasks
        return task.id
    if what == "message":
        message = understood("t", SendMessage, {"to": "worker", "body": "b"} | KEY | said)
        return (await desk.messages.send(call, message)).message.id
    asked = understood("t", RequestApproval, {"title": "t", "action": "a"} | KEY | said)
    return (await desk.approvals.request(call, asked)).approval.id


CASES = [
    ("mail", "send_at", "in 2 seconds"),
    ("mail", "send_at", "tomorrow 9am Europe/Berlin"),
    ("mail", "send_at", "+1h"),
    ("task", "run_at", "in 1 hour"),
    ("task", "run_at", "now"),
    ("task", "run_at", "PT90M"),
    ("message", "ack_within_seconds", "tomorrow 9am UTC"),
    ("message", "ack_within_seconds", "2027-02-01"),
    ("approval", "expires_in_seconds", "2027-02-01T10:00:00Z"),
]


@pytest.mark.parametrize(("what", "name", "words"), CASES)
async def test_the_same_words_under_the_same_key_are_the_same_later(world: World, what: str, name: str, words: str):
    await world.agent("worker")
    first = await made(world, what, **{name: words})
    for again in (words, f" {words}  "):
        world.clock.advance(3)
        assert await made(world, what, **{name: again}) == first


@pytest.mark.parametrize(("what", "name", "words"), [case for case in CASES if case[1].endswith("_at")])
async def test_other_words_and_a_time_that_is_another_are_another(world: World, what: str, name: str, words: str):
    await made(world, what, **{name: words})
    for other in ("in 3 days", LATER):
        with pytest.raises(IdempotencyConflict):
            await made(world, what, **{name: other})


@pytest.mark.parametrize(("what", "name"), [("mail", "send_at"), ("task", "run_at")])
async def test_one_moment_is_the_same_however_it_is_spelt(world: World, what: str, name: str):
    at = datetime(2027, 6, 1, 10, tzinfo=UTC)
    first = await made(world, what, **{name: LATER})
    spelt: list[Any] = ["2027-06-01 12:00 Europe/Berlin", "1 Jun 2027 at 10:00 UTC", "20270601T100000Z"]
    for again in (*spelt, "Tue, 1 Jun 2027 10:00 GMT", at.timestamp(), micros(at) // 1000):
        world.clock.advance(3)
        assert await made(world, what, **{name: again}) == first


def _keyed(model: Any) -> Iterator[type[BaseModel]]:
    """The commands in a model, itself included, that take an idempotency key."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        key = model.model_fields.get("idempotency_key")
        yield from () if key is None or key.annotation is Any else (model,)  # a task's is not changed
        for field in model.model_fields.values():
            for inner in getattr(field.annotation, "__args__", ()):
                yield from _keyed(inner)


def test_whatever_takes_a_key_keeps_the_words_of_what_hangs_on_the_clock():
    models = {model for tool in TOOLS for model in _keyed(tool.arguments)}
    assert {SendEmail, SendMessage, RequestApproval, OpenCall} <= models
    places = [(model, name) for model in models for name in _timed(model)]
    assert len(places) >= 5
    for model, name in places:
        words = "in 2 hours" if name.endswith("_at") else "today noon utc"
        assert as_said(understood("t", model, _enough(model) | {name: words})) == {name: words}, (model, name)


def _timed(model: type[BaseModel]) -> Iterator[str]:
    """The members that a caller may say by words which mean another thing a second later."""
    for name, member in shape_of(model).members.items():
        if member.kind == "time" or (name in FROM_NOW_ON and name != "wait_seconds"):
            yield name


def _enough(model: type[BaseModel]) -> dict[str, Any]:
    to = "user:a" if model is SendMessage else "a@example.org"
    enough: dict[str, Any] = {"to": [to], "subject": "s", "text": "t", "title": "t", "action": "a"}
    said = enough | {"body": "b", "purpose": "p"} | KEY
    return {name: value for name, value in said.items() if name in model.model_fields}
