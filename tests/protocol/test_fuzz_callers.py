"""Three callers with keys, an admin, an agent and a viewer, do whatever comes to mind, with what they were told, in any
order: nothing of it is a failure of the server's, nothing hangs, and nobody hears what it may not."""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mcp_types as types
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, ResourceTemplateReference

from mcp_server.domain.areas import AREAS
from mcp_server.protocol.offer import METHODS
from mcp_server.protocol.prompt_catalogue import PROMPTS
from mcp_server.protocol.schemas import input_schema
from resources import RESOURCES
from tests.protocol.canaries import CALLERS, House, haunted
from tests.protocol.guessing import HOSTILE, TEXTS, Guesser, seeds
from tests.protocol.tasks_client import ask
from tests.world import on_file
from tools import TOOLS
from tools.spec import Shared

BY_NAME = {tool.name: tool for tool in TOOLS}
BOUND_SECONDS = 60.0
"""Within this each answer comes, also on a machine that does much else."""
OF_MEMBERS: dict[str, list[Any]] = {
    "namespace": ["team", "team.a", "bots", "vault", "email-templates"],
    "key": ["open", "hidden", "a/b"],
    "agent_id": ["scribe", "other"],
    "as_agent": ["scribe", "other"],
    "value": [{"a": [1, {"b": None}]}, "text", 7],
    "merge_patch": [{"a": 1}],
    "until": ["2999-01-01T00:00:00Z"],
    "name": ["scribe", "other", "lock/a", "web"],
    "to": ["other", "capability:python", "user:val", "ann@inside.example", "ann@outside.example"],
    "approvers": ["val", "root", "ann@inside.example"],
    "target": ["compose", "kubernetes", "workerd", "cloudflare", "process"],
    "environment": ["dev", "production"],
    "image": ["web:1"],
    "type": ["task.*", "message.sent", "key.created", "email.queued"],
    "run_at": ["2999-01-01T00:00:00Z"],
    "send_at": ["2999-01-01T00:00:00Z"],
    "cron": ["0 3 * * *"],
    "timezone": ["Europe/Berlin"],
    "tool": [tool.name for tool in TOOLS],
    "uri": [f"ops://{kind}" for kind in ("agents", "tasks", "locks", "events", "health", "state/vault/open")],
}
_KINDS = {"as_agent": "agent", "to_agent": "agent", "depends_on": "task", "parent_id": "task", "thread_id": "message"}
_ID = re.compile(r"\b([a-z]+)_[0-9a-z]{12}\b")
_KEPT = frozenset(("lease_token", "hash", "cursor", "next_cursor", "fencing_token", "action_hash", "requestState"))
"""Members of answers, beside ids, that later calls name."""


class Memory:
    """What a caller was told, and what it has heard of others' ids."""

    def __init__(
        self, chance: random.Random, heard: list[str], told: dict[str, list[Any]], mistaken: float = 0.15
    ) -> None:
        self._chance = chance
        self._mistaken = mistaken
        self._heard = heard
        self.told = told

    def __call__(self, name: str) -> list[Any]:
        """Texts for a member of some name: as it should be, or, now and then, of another kind."""
        if self._chance.random() < self._mistaken:
            return self._heard
        kind = _KINDS.get(name, name.removesuffix("s").removesuffix("_id"))
        known = [one for one in self._heard if one.startswith(f"{kind}_")]
        known += self.told.get({"plan_hash": "hash", "after": "cursor"}.get(name, name), [])
        return [*known, *OF_MEMBERS.get(name, [])] or ["a", "open", "other", *self._heard[-3:]]


class Callers(RuleBasedStateMachine):
    """What comes to their minds."""

    open: Callable[[], AbstractContextManager[str]]
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        url = self.stack.enter_context(self.open())
        if url.startswith("sqlite:///"):
            on_file(Path(url.removeprefix("sqlite:///")))
        self.portal = self.stack.enter_context(start_blocking_portal("asyncio"))
        opened = haunted(url, self.folder)
        self.house: House = self.stack.enter_context(self.portal.wrap_async_context_manager(opened))
        self.heard = ["other", "scribe", *self.house.known]
        self.told: dict[str, dict[str, list[Any]]] = {name: {} for name in CALLERS}

    def within(self, who: str, what: Callable[[], Awaitable[Any]]) -> Any:
        """Do it; what was answered, error or not, after a look at it."""

        async def bounded() -> Any:
            async with asyncio.timeout(BOUND_SECONDS):
                try:
                    return (await what()).model_dump(mode="json", by_alias=True, exclude_none=True)
                except MCPError as error:
                    return {"error": error.error.model_dump(mode="json")}

        answer = self.portal.call(bounded)
        text = json.dumps(answer, ensure_ascii=False)
        self.house.nest.require_none(text, who)
        assert "internal error" not in text and '"code": "busy"' not in text, text
        assert '"code": "unavailable"' not in text or "This client cannot ask its user" in text, text
        self.heard += [match.group() for match in _ID.finditer(text) if match.group() not in self.heard][:50]
        self.keep(who, answer)
        return answer

    def claimed(self, who: str, answer: dict[str, Any]) -> None:
        """A lease is nobody else's business."""
        for claim in answer.get("structuredContent", {}).get("claims", []):
            for other in CALLERS.keys() - {who}:
                self.house.nest.hidden[other].add(claim["lease_token"])

    def keep(self, who: str, answer: Any) -> None:
        """Remember what later calls name."""
        if isinstance(answer, list):
            for one in answer:
                self.keep(who, one)
        elif isinstance(answer, dict):
            for name, one in answer.items():
                if name in _KEPT and isinstance(one, str | int):
                    self.told[who].setdefault(name.removeprefix("next_"), []).append(one)
                self.keep(who, one)

    def guesser(self, who: str, number: int, hostility: float) -> tuple[random.Random, Guesser]:
        """What makes arguments up."""
        chance = random.Random(number)
        memory = Memory(chance, self.heard, self.told[who], chance.choice((0.0, 0.15)))
        return chance, Guesser(chance, memory, hostility, chance.choice((0.0, 0.1, 0.4)))

    def arguments(self, guesser: Guesser, chance: random.Random, tool: Any) -> dict[str, Any]:
        """Of a tool; where it takes calls, of some tool each."""
        given = guesser.arguments(input_schema(tool.arguments, Shared if tool.writes else None))
        for name in given.keys() & {"calls", "also"}:
            if isinstance(given[name], list):
                inner = chance.choices([one for one in TOOLS if one.part is not None], k=2)
                given[name] = [{"tool": one.name, "arguments": self.arguments(guesser, chance, one)} for one in inner]
        return given

    async def said_yes(self, who: str, name: str, arguments: dict[str, Any]) -> Any:
        """Call; where the caller's person is asked, it says yes."""
        call = partial(self.house.clients[who].session.call_tool, name, arguments, allow_claimed=True)
        answer = await call(allow_input_required=True)
        if not isinstance(answer, types.InputRequiredResult):
            return answer
        self.house.nest.require_none(answer.model_dump_json(), who)
        yes = types.ElicitResult(action="accept", content={"approve": True})
        responses = dict.fromkeys(answer.input_requests or {}, yes)
        return await call(input_responses=responses, request_state=answer.request_state, allow_input_required=True)

    @rule(
        who=st.sampled_from(list(CALLERS)),
        names=st.lists(st.sampled_from(list(BY_NAME)), min_size=3, max_size=8),
        number=st.integers(0, 2**32),
        hostility=st.sampled_from((0.0, 0.0, 0.05, 0.35)),
    )
    def call(self, who: str, names: list[str], number: int, hostility: float) -> None:
        chance, guesser = self.guesser(who, number, hostility)
        for name in names:
            arguments = self.arguments(guesser, chance, BY_NAME[name])
            self.claimed(who, self.within(who, partial(self.said_yes, who, name, arguments)))

    @rule(
        who=st.sampled_from(list(CALLERS)),
        template=st.sampled_from([one.uri_template for one in RESOURCES]),
        number=st.integers(0, 2**32),
    )
    def read(self, who: str, template: str, number: int) -> None:
        chance = random.Random(number)
        memory = Memory(chance, self.heard, self.told[who])

        def part(match: re.Match[str]) -> str:
            name = match.group(1).strip("+?")
            text = str(chance.choice(TEXTS if chance.random() < 0.2 else memory(name)))[:3000]
            return f"?{name}={quote(text, safe='')}" if "?" in match.group(1) else quote(text, safe="")

        uri = re.sub(r"\{([^}]*)\}", part, template)
        self.within(who, lambda: self.house.clients[who].read_resource(uri))

    @rule(who=st.sampled_from(list(CALLERS)), number=st.integers(0, 2**32))
    def complete_or_prompt(self, who: str, number: int) -> None:
        chance = random.Random(number)
        memory = Memory(chance, self.heard, self.told[who])
        client, argument, prompt = (
            self.house.clients[who],
            chance.choice(list(AREAS.completions)),
            chance.choice(PROMPTS),
        )
        typed = chance.choice(
            ("", "c", "canary", str(chance.choice(TEXTS))[:500], str(chance.choice(memory(argument))))
        )
        known = {"namespace": str(chance.choice(OF_MEMBERS["namespace"]))}
        ref: Any = ResourceTemplateReference(uri="ops://tasks/{task_id}", type="ref/resource")
        ref = chance.choice((ref, PromptReference(name=prompt.name, type="ref/prompt")))
        self.within(who, lambda: client.complete(ref, {"name": argument, "value": typed}, context_arguments=known))
        given = {one.name: str(chance.choice(TEXTS))[:2000] for one in prompt.arguments if chance.random() < 0.8}
        self.within(who, lambda: client.get_prompt(prompt.name, given))

    @rule(
        who=st.sampled_from(list(CALLERS)),
        method=st.sampled_from([one.name for one in METHODS]),
        number=st.integers(0, 2**32),
    )
    def use_a_method(self, who: str, method: str, number: int) -> None:
        chance = random.Random(number)
        tasks = [one for one in self.heard if one.startswith("task_")]
        task_id = chance.choice([*tasks, *tasks, chance.choice(HOSTILE)])
        params = {"taskId": task_id, "uri": chance.choice([*OF_MEMBERS["uri"], "skill://planner/SKILL.md"])}
        responses = chance.choice(({}, {"approval": {"action": "accept", "content": {"approve": True}}}, [], None))

        async def asked() -> Any:
            return Answer(await ask(self.house.clients[who], method, **params, inputResponses=responses))

        self.within(who, asked)

    def teardown(self) -> None:
        try:
            for who in CALLERS:
                self.look_around(who)
            self.house.look_at_the_log()
        finally:
            self.stack.close()

    def look_around(self, who: str) -> None:
        """Read all that there is for a caller."""
        client = self.house.clients[who]
        for tool in (one for one in TOOLS if one.hints.read_only):
            self.within(who, partial(client.session.call_tool, tool.name, {"limit": 100}))
        events: dict[str, Any] = {"cursor": None}
        while events.get("events") != []:
            after = {"limit": 100, "wait_seconds": 0, "after": events["cursor"]}
            asked = partial(client.session.call_tool, "events_read", after)
            events = self.within(who, asked)["structuredContent"]
        listed, uris = {"nextCursor": None}, []
        while "nextCursor" in listed:
            listed = self.within(who, partial(client.list_resources, cursor=listed["nextCursor"]))
            uris += [one["uri"] for one in listed["resources"]]
        for uri in uris[:60]:
            self.within(who, partial(client.read_resource, uri))


class Answer(dict[str, Any]):
    """A raw answer, dumped as models are."""

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return dict(self)


def lives(fresh: Any, folder: Path, number: int, examples: int, steps: int) -> None:
    """Some lives of the callers, made of a number."""
    machine = type("Callers", (Callers,), {"open": staticmethod(fresh), "folder": folder})
    phases = [Phase.generate]  # a desk goes on by itself, so that less of a life is another life
    checks = list(HealthCheck)
    limits = settings(
        max_examples=examples, stateful_step_count=steps, database=None, phases=phases, suppress_health_check=checks
    )
    run_state_machine_as_test(seed(number)(machine), settings=limits)


@pytest.mark.slow
def test_whatever_callers_do_in_a_row_nothing_fails_hangs_or_leaks(fresh: Any, tmp_path: Path):
    lives(fresh, tmp_path, 18, examples=2, steps=25)


@pytest.mark.slow
def test_whatever_callers_do_for_a_minute_nothing_fails_hangs_or_leaks(fresh: Any, tmp_path: Path):
    for number in seeds(6):
        lives(fresh, tmp_path, number, examples=3, steps=60)
