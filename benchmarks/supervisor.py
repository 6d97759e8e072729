"""What supervision costs, and how soon what dies is back. Linux only.

    python -m benchmarks.supervisor [--instances 100] [--seconds 30] [--url postgresql://...]

Real servers with real instances that do nothing: the processor time of the server that supervises while nothing changes
(beside one that has no launchers), the time from a kill -9 of an instance until it runs again, and the time from a
kill -9 of the supervising server until the next has adopted everything.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.idle import processor_seconds
from tests.processes import RawClient, start

IDLE_SHARE_AIM = 0.01
BACK_SECONDS_AIM = 0.2
TAKE_OVER_SECONDS_AIM = 5.0
SETTLE_SECONDS = 5.0
CRASHES = 20


async def server(url: str, *options: str) -> RawClient:
    """A server that has shaken hands."""
    client = await start(url, *options)
    await client.initialize()
    return client


async def ended(client: RawClient) -> None:
    """End a server, in whatever state it is."""
    with contextlib.suppress(ProcessLookupError):
        client.process.kill()
    await client.process.wait()
    client.process._transport.close()


async def share_of(client: RawClient, seconds: float) -> float:
    """How much of a core a server takes."""
    before = processor_seconds(client.process.pid)
    await asyncio.sleep(seconds)
    return (processor_seconds(client.process.pid) - before) / seconds


async def instances(client: RawClient) -> list[dict[str, Any]]:
    """The first fifty of the agent's."""
    return (await client.call("agents_find", agent_id="fleet"))["agent"]["instances"]


async def until_all_run(client: RawClient, number: int) -> float:
    """Seconds until so many run."""
    started = time.perf_counter()
    while (await client.call("agents_find", agent_id="fleet"))["agent"].get("instances_running", 0) < number:
        await asyncio.sleep(0.05)
    return time.perf_counter() - started


async def seconds_until_back(pid: int, log: Path) -> float:
    """Kill an instance; seconds until its successor says that it runs."""
    lines = log.read_text().count("\n")
    started = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    while log.read_text().count("\n") == lines:
        await asyncio.sleep(0.001)
    return time.perf_counter() - started


async def measure(url: str, folder: Path, number: int, seconds: float) -> bool:
    """All of it; whether the aims were reached."""
    config = folder / "desk.toml"
    program = "import time; print('runs', flush=True); time.sleep(100000)"
    config.write_text(
        f'[supervisor]\nfolder = "{folder / "logs"}"\n[launchers.it]\nmax_instances = 1000\n'
        f'argv = ["{sys.executable}", "-I", "-S", "-c", "{program}"]\n'
    )
    bare = await server(url)
    first = await server(url, "--config", str(config))
    pids: list[int] = []
    try:
        await first.call("agents_register", name="fleet", launcher={"name": "it"})
        started = time.perf_counter()
        await first.call("agents_scale", agent_id="fleet", desired_instances=number)
        await until_all_run(first, number)
        print(f"{number} instances run after {time.perf_counter() - started:.1f} s")
        await asyncio.sleep(SETTLE_SECONDS)
        without, share = await asyncio.gather(share_of(bare, seconds), share_of(first, seconds))
        print(f"nothing changes: {share:.2%} of a core (aim < {IDLE_SHARE_AIM:.0%}); without launchers {without:.2%}")
        back: list[float] = []
        for _ in range(CRASHES):
            one = (await instances(first))[-1]
            back.append(await seconds_until_back(one["pid"], folder / "logs" / f"{one['id']}.log"))
            await asyncio.sleep(11)  # what ran for ten seconds was well, so that the next failure is the first again
            if len(back) >= 3 and seconds < 10:
                break
        print(
            f"a killed instance is back after {statistics.median(back):.3f} s, at most {max(back):.3f} s "
            f"of {len(back)} (aim < {BACK_SECONDS_AIM})"
        )
        second = await server(url, "--config", str(config))
        try:
            await asyncio.sleep(2)
            first.process.kill()
            started = time.perf_counter()
            while not all(one["process"].get("adopted") for one in await instances(second)):
                await asyncio.sleep(0.02)
            taken = time.perf_counter() - started
            print(f"after kill -9 of the server another has adopted all after {taken:.1f} s (aim < 5)")
            pids = [one["pid"] for one in await instances(second)]
            await second.call("agents_scale", agent_id="fleet", desired_instances=0)
            while (await second.call("agents_find", agent_id="fleet"))["agent"].get("instances_running"):
                await asyncio.sleep(0.1)
        finally:
            await ended(second)
    finally:
        for client in (bare, first):
            await ended(client)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    return share < IDLE_SHARE_AIM and max(back) < BACK_SECONDS_AIM and taken < TAKE_OVER_SECONDS_AIM


def main() -> int:
    """Measure and judge; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--url", help="a database; a temporary SQLite file by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/desk.db"
        return 0 if asyncio.run(measure(url, Path(folder), options.instances, options.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
