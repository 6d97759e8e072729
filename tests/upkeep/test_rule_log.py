"""`doctor` says what each rule of the operator's means, and what it would have caught."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner

from mcp_server.commands.doctor import doctor
from mcp_server.domain.approvals.rules import Condition, Rule, Rules
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.upkeep.rule_log import inspect_rules
from tests.world import World, open_world, speaking


async def lived(url: str) -> World:
    """A desk with some history, and closed."""
    async with open_world(url) as world:
        await some_history(world)
    return world


async def some_history(world: World) -> None:
    agent = await world.agent("scribe")
    await world.write("prod", "config/a", {"replicas": 50})
    await world.write("dev", "config/a", 1)
    await world.task(priority="critical")
    await world.desk.locks.acquire_now(speaking(agent), lock("release/prod"))
    await world.agent("scribe", tags=("x",))


def lock(name: str) -> AcquireLock:
    return AcquireLock(name=name)


IN_PROD = (("namespace", Condition(equals=("prod",))),)


def found(world: World, *rules: Rule) -> list[str]:
    return [finding.detail for finding in inspect_rules(world.url, Rules(rules))]


def test_each_rule_is_explained_with_what_it_would_have_caught_of_the_log(url: str):
    world = asyncio.run(lived(url))
    details = found(
        world,
        Rule(
            "state_set", arguments=(("namespace", Condition(equals=("prod",))),), approvers=("ann", "bob"), quorum="all"
        ),
        Rule("state_*", arguments=(("value.replicas", Condition(over=10)),)),
        Rule("tasks_create", arguments=(("priority", Condition(equals=("low",))),)),
        Rule("tasks_*", arguments=(("priority", Condition(equals=("critical",))),)),
        Rule("locks_acquire", speakers=("agent:scribe",)),
    )
    assert details[0].startswith('state_set where namespace is "prod": asks 2 of ann, bob first. Of the last ')
    assert "would have named 1, the newest document.set prod/config/a at 20" in details[0]
    assert "asks anyone who may decide first" in details[1] and "would have named 2" in details[1], (
        "values are not told"
    )
    assert "would have named 0." in details[2] and "would have named 1" in details[3]
    assert "would have named 1, the newest lock.acquired release/prod" in details[4]


def test_doctor_tells_of_rules(sqlite_url: str, tmp_path: Path):
    asyncio.run(lived(sqlite_url))
    config = tmp_path / "config.toml"
    config.write_text('[[approve]]\ntool = "state_set"\napprovers = ["ann"]\narguments.namespace = "prod"\n')
    done = CliRunner().invoke(doctor, ["--json", "--database", sqlite_url, "--config", str(config)])
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "would have named 1" in checks["rule_1"]["detail"]
