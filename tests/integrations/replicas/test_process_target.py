"""The target `process`, with real processes: what it brings live, keeps alive and takes away."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest

from tests.integrations.replicas.plant import SERVICE, Plant, declared, eventually, got, plant_on, running
from tests.integrations.replicas.traffic import traffic_to
from tests.runtime.supervised import is_gone

pytestmark = pytest.mark.anyio
slow = pytest.mark.slow


async def answers(url: str | None, text: str) -> bool:
    try:
        return (await got(url, seconds=3)).startswith(text)
    except httpx2.HTTPError:
        return False


@pytest.fixture
async def plant(url: str, tmp_path: Path) -> AsyncGenerator[Plant]:
    """On each engine in turn."""
    async with plant_on(url, tmp_path, declared(tmp_path, start_seconds=4)) as made:
        yield made


async def test_a_service_goes_live_is_replaced_while_it_is_asked_and_leaves_nothing(sqlite_url: str, tmp_path: Path):
    async with plant_on(sqlite_url, tmp_path, declared(tmp_path)) as plant:
        live = await plant.apply("one")
        assert (live.status, live.error) == ("live", None)
        async with traffic_to(live.url, slow_seconds=0.3) as traffic:
            again = await plant.apply("two", replicas=2)
            assert (again.status, again.error, again.url) == ("live", None, live.url)
            assert (await got(live.url)).startswith("two ")
        assert traffic.failures == [] and {"one"} < traffic.words
        assert len(await plant.pids()) == 2 and len(running(tmp_path)) == 3
        await plant.destroy()
        assert running(tmp_path) == [] and list((tmp_path / "logs").iterdir()) == []


@slow
async def test_no_request_fails_while_replicas_are_replaced_go_from_three_to_one_and_are_rolled_back(plant: Plant):
    live = await plant.apply("one", replicas=3)
    async with traffic_to(live.url) as traffic:
        for word, replicas in (("two", 3), ("three", 1)):
            assert (await plant.apply(word, replicas=replicas)).error is None
            assert len(await plant.pids()) == replicas
        back = await plant.control("rollback")
        assert (back.live_revision, back.url) == (2, live.url)
        assert (await got(live.url)).startswith("two ")
    assert traffic.failures == [] and traffic.slow > 1
    assert traffic.words == {"one", "two", "three"}


@slow
@pytest.mark.parametrize(("word", "why"), [("ill", "status 503 instead of 200"), ("broken", "it ended: exit code 1")])
async def test_what_does_not_become_healthy_is_ended_and_nobody_who_asks_notices(
    url: str, tmp_path: Path, word: str, why: str
):
    seconds = 4 if word == "ill" else 40  # what ends by itself is given up before
    async with plant_on(url, tmp_path, declared(tmp_path, start_seconds=seconds)) as plant:
        live = await plant.apply("one", replicas=2)
        before = await plant.pids()
        async with traffic_to(live.url) as traffic:
            failed = await plant.apply(word, replicas=2)
            assert failed.status == "live" and failed.live_revision == 1
            assert failed.error is not None and why in failed.error
            assert await plant.pids() == before
        assert traffic.failures == [] and traffic.words == {"one"}
        said = "serves" if word == "ill" else "it cannot work"
        assert said in ((await plant.seen(logs=True)).logs or "").split("(not live)")[1]
        assert (await plant.apply("two")).error is None
        assert "(not live)" not in ((await plant.seen(logs=True)).logs or "")


@slow
async def test_what_is_live_is_asked_by_its_checks_at_every_replica(plant: Plant):
    checks = [{"path": "/", "contains": "one", "attempts": 1}]
    assert (await plant.apply("one", replicas=2, checks=checks)).status == "live"
    wrong = await plant.apply("two", replicas=2, checks=checks)
    assert wrong.error is not None and 'web 2 /: status 200 without "one"' in wrong.error


@slow
async def test_a_replica_that_is_killed_is_back_and_until_then_requests_go_round_it(plant: Plant):
    live = await plant.apply("one", replicas=2)
    first, second = await plant.pids()
    os.kill(first, signal.SIGKILL)
    while not is_gone(first):  # what it had taken up by then is lost with it
        await asyncio.sleep(0.001)
    for _ in range(20):
        assert (await got(live.url)).startswith("one ")

    async def is_back() -> bool:
        return len(set(await plant.pids()) - {first}) == 2

    await eventually(is_back)
    assert second in await plant.pids()
    assert sorted(one["starts"] for one in await plant.replicas()) == [1, 2]
    assert (await plant.control("check_drift")).drift is None


@slow
async def test_a_proxy_that_is_killed_is_back_at_its_port(plant: Plant):
    live = await plant.apply("one")
    (proxy,) = [one for one in (await plant.seen()).replicas or [] if "proxy" in one]
    os.kill(proxy["pid"], signal.SIGKILL)

    await eventually(lambda: answers(live.url, "one "))


@slow
async def test_requests_go_round_a_replica_that_hangs(plant: Plant):
    live = await plant.apply("one", replicas=2)
    hung, well = (await plant.replicas())[0], (await plant.replicas())[1]
    await got(hung["url"], "/hang")

    async def goes_round() -> bool:
        return all([await answers(live.url, f"one {well['pid']}\n") for _ in range(6)])

    await eventually(goes_round, 40)


@slow
async def test_a_port_that_is_taken_is_told_and_nothing_is_left_of_the_attempt(plant: Plant):
    with socket.create_server(("127.0.0.1", 23_456)):
        failed = await plant.apply("one", ports=[23_456])
        assert failed.status == "failed" and "port 23456 of 127.0.0.1 is taken" in (failed.error or "")
        assert running(plant.folder) == []
    live = await plant.apply("one", ports=[23_456])
    assert (live.status, live.url) == ("live", "http://127.0.0.1:23456")
    moved = await plant.apply("one", ports=[23_457])
    assert (moved.status, moved.url) == ("live", "http://127.0.0.1:23457")
    assert len(running(plant.folder)) == 2


@slow
async def test_a_replica_whose_port_is_taken_while_it_is_down_gets_another_one(plant: Plant):
    live = await plant.apply("one")
    (replica,) = await plant.replicas()
    port = replica["port"]
    await plant.control("stop")
    assert running(plant.folder) == []
    with socket.create_server(("127.0.0.1", port)):
        started = await plant.control("start")
        assert (started.status, started.url) == ("live", live.url)
        assert (await plant.replicas())[0]["port"] != port
        assert (await got(live.url)).startswith("one ")


@slow
async def test_what_fails_while_a_deployment_is_stopped_leaves_it_stopped(plant: Plant):
    live = await plant.apply("one")
    await plant.control("stop")
    failed = await plant.apply("ill")
    assert failed.status == "stopped" and running(plant.folder) == []
    assert (await plant.control("start")).status == "live"
    assert (await got(live.url)).startswith("one ")


@slow
async def test_a_replica_that_can_run_no_more_is_drift_and_says_why(url: str, tmp_path: Path):
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {SERVICE} "$@"\n')
    program.chmod(0o700)
    async with plant_on(url, tmp_path, declared(tmp_path, argv=[str(program), "{port}", "{word}"])) as plant:
        await plant.apply("one")
        (replica,) = await plant.replicas()
        program.unlink()
        os.kill(replica["pid"], signal.SIGKILL)

        async def is_drift() -> bool:
            return (await plant.control("check_drift")).drift == ["web 1 does not run"]

        await eventually(is_drift)
        (down,) = await plant.replicas()
        assert down["status"] == "crash_loop" and "No such file" in down["reason"] and "pid" not in down


@slow
async def test_secrets_reach_the_replicas_and_stand_in_no_row_event_log_file_or_command(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SHOP_KEY", "hush-hush-4711")
    async with plant_on(sqlite_url, tmp_path, declared(tmp_path)) as plant:
        checks = [{"path": "/secret", "contains": "hush"}]
        live = await plant.apply("one", replicas=2, secrets=["KEY"], checks=checks)
        assert (live.status, await got(live.url, "/secret")) == ("live", "hush-hush-4711")
        assert "[KEY]" in str(live.live), "what a check was answered is told without it"
        kept = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(kept) > 5 and not any(b"4711" in path.read_bytes() for path in kept)
        assert "4711" not in str(running(tmp_path)) + str(await plant.seen(logs=True))


@slow
async def test_a_command_of_the_operators_may_say_whether_a_replica_works(url: str, tmp_path: Path):
    command = [
        sys.executable,
        "-c",
        "import sys; sys.exit(sys.argv[1] == 'ill' or int(sys.argv[2]) < 1)",
        "{word}",
        "{port}",
    ]
    config = declared(tmp_path, health_command=command, start_seconds=3)
    async with plant_on(url, tmp_path, config) as plant:
        assert (await plant.apply("one", health=None)).status == "live"
        failed = await plant.apply("ill", health=None)
        assert "web 1: exit code 1" in (failed.error or "")
