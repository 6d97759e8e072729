"""Calls with real peers on this machine: joining, text, sound, and what they cost.

    python -m benchmarks.calls [--joins 20] [--seconds 60] [--calls 2 4 10] [--leavers 100] [--nice N]

The people are aiortc peers in a process of their own, whose load is told. `--nice` starts the media process with a
lower priority. A gap is silence in a tone, after the jitter buffer.
"""

import argparse
import asyncio
import base64
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from array import array
from functools import partial
from pathlib import Path
from typing import Any

from mcp_server.domain.calls import orders
from mcp_server.domain.calls.media import MediaSettings
from mcp_server.integrations.calls.door import CallMedia
from tests.integrations.calls.peers import Listener, clearest, longest_gap_seconds, tone, wav
from tests.processes import RawClient, server

EDGE_SAMPLES = 16_000
TOOL_CALLS = 500


def usage(pid: int | None) -> dict[str, float]:
    """Processor time and memory of a process, this one if None, and what it holds."""
    folder = Path("/proc") / ("self" if pid is None else str(pid))
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return {
        "cpu_seconds": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        "resident_bytes": int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        "threads": int(fields[17]),
        "descriptors": len(list((folder / "fd").iterdir())),
    }


class Peers:
    """The people, in their own process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asking = asyncio.Lock()

    @classmethod
    async def start(cls) -> "Peers":
        pipe = asyncio.subprocess.PIPE
        argv = (sys.executable, "-m", "benchmarks.call_peers")
        return cls(await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, limit=1 << 20))

    async def ask(self, what: str, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._asking:
            self._process.stdin.write(json.dumps({"do": what} | order).encode() + b"\n")
            return json.loads(await self._process.stdout.readline())

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


class Bench:
    """A media process, the people, and the calls between them."""

    def __init__(self, door: CallMedia, peers: Peers) -> None:
        self.door, self.peers = door, peers
        self._numbers = itertools.count()

    async def call(self, *, audio: bool) -> tuple[Listener, str, float]:
        """A call that somebody has joined: who hears it, the peer's name, and the seconds from offer to connected."""
        name = f"peer_{next(self._numbers)}"
        heard = Listener(await self.door.open(f"call_{name}", audio=audio, record=audio))
        offer = (await self.peers.ask("offer", peer=name, audio=audio))["offer"]
        began = time.perf_counter()
        await heard.call.tell(orders.Join("1", "x", offer, audio))
        answered = await heard.until(orders.Answered)
        await self.peers.ask("accept", peer=name, answer=answered.answer)
        await heard.until(orders.Connected)
        return heard, name, time.perf_counter() - began

    async def joins(self, count: int) -> list[float]:
        """Join to connected, one after the other."""
        seconds = list[float]()
        for _ in range(count):
            heard, name, took = await self.call(audio=True)
            seconds.append(took)
            await self.end(heard, name)
        return seconds

    async def end(self, heard: Listener, name: str) -> dict[str, Any]:
        """End a call; what its peer heard."""
        await heard.call.tell(orders.Close("done"))
        await heard.until(orders.Closed)
        told = await self.peers.ask("leave", peer=name)
        await heard.close()
        return told

    async def texts(self, count: int) -> list[float]:
        """A text of the peer's, to the desk and back as a line."""
        heard, name, _ = await self.call(audio=False)

        async def echo() -> None:
            for number in range(count):
                await heard.until(orders.Messaged, partial(is_text, str(number)))
                await heard.call.tell(orders.Send({"type": "line", "line": {"n": number, "text": "How are you?"}}))

        echoing = asyncio.create_task(echo())
        seconds = (await self.peers.ask("texts", peer=name, count=count))["seconds"]
        await echoing
        await self.end(heard, name)
        return seconds

    async def sounds(self, calls: int, seconds: float) -> dict[str, Any]:
        """So many calls at once, each with a tone both ways: gaps, and what they cost."""
        under_way = [await self.call(audio=True) for _ in range(calls)]
        pieces = [wav(tone(440, 10))] * (int(seconds // 10) + 1)
        for (heard, _, _), (number, piece) in itertools.product(under_way, enumerate(pieces)):
            await heard.call.tell(orders.Play(f"p{number}", piece))
        assert self.door.pid is not None
        began, ours, theirs = time.perf_counter(), usage(self.door.pid), await self.peers.ask("load")
        await asyncio.sleep(max(0, seconds - (time.perf_counter() - began)))
        took, after, people = time.perf_counter() - began, usage(self.door.pid), await self.peers.ask("load")
        told = {
            "media_cpu": (after["cpu_seconds"] - ours["cpu_seconds"]) / took,
            "media_mib": after["resident_bytes"] / 2**20,
            "media_threads": after["threads"],
            "peers_cpu": (people["cpu_seconds"] - theirs["cpu_seconds"]) / took,
        }
        for heard, _, _ in under_way:
            await heard.call.tell(orders.Close("done"))
            await heard.until(orders.Closed)
        heard_there = [await self.peers.ask("leave", peer=name) for _, name, _ in under_way]
        recorded = [
            array("h", b"".join(one.pcm for one in heard.told if isinstance(one, orders.Recorded)))[
                EDGE_SAMPLES:-EDGE_SAMPLES
            ]
            for heard, _, _ in under_way
        ]
        for heard, _, _ in under_way:
            await heard.close()
        assert min(one["clearest"] for one in heard_there) > 0.9
        assert min(clearest(sound, 1000) for sound in recorded) > 0.25
        return told | {
            "gap_there": max(one["gap_seconds"] for one in heard_there),
            "gap_recorded": max(map(longest_gap_seconds, recorded)),
        }


def is_text(text: str, told: orders.Messaged) -> bool:
    return told.message["text"] == text


async def tool_seconds(desk: RawClient) -> float:
    """The median of a small tool call."""
    seconds = list[float]()
    for _ in range(TOOL_CALLS):
        began = time.perf_counter()
        await desk.call("state_get", namespace="bench", key="k")
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


async def beside_calls(desk: RawClient, peers: Peers) -> None:
    """A tool's median while the desk itself holds two recorded calls with sound, by that before and after."""
    before, ids = await tool_seconds(desk), list[str]()
    sound = base64.b64encode(wav(tone(440, 20))).decode()
    for number in range(2):
        offer = (await peers.ask("offer", peer=f"desk_{number}", audio=True))["offer"]
        opened = await desk.call("calls_open", purpose="Bench", media="audio", record=True, offer=offer)
        ids.append(opened["call"]["id"])
        await peers.ask("accept", peer=f"desk_{number}", answer=opened["answer"])
        await desk.call("calls_control", call_id=ids[-1], action="play", wav=sound)
    during = [await tool_seconds(desk) for _ in range(4)]
    for number, call_id in enumerate(ids):
        await desk.call("calls_control", call_id=call_id, action="end")
        await peers.ask("leave", peer=f"desk_{number}")
    after = await tool_seconds(desk)
    ratio = 2 * statistics.median(during) / (before + after)
    print(f"tools/call p50 with two calls: {ratio:.2f} x of that without")


async def measure(bench: Bench, desk: RawClient, told: argparse.Namespace) -> None:
    """Everything, one after the other."""
    await bench.joins(1)
    joins, texts = await bench.joins(told.joins), await bench.texts(max(told.joins, 50))
    print(f"join to connected: p50 {statistics.median(joins):.3f} s, worst {max(joins):.3f} s of {len(joins)}")
    print(f"text, there and back: p50 {1000 * statistics.median(texts):.1f} ms, worst {1000 * max(texts):.1f} ms")
    assert bench.door.pid is not None
    await beside_calls(desk, bench.peers)
    empty = usage(bench.door.pid)
    for calls in told.calls:
        one = await bench.sounds(calls, told.seconds)
        print(
            f"{calls} calls for {told.seconds:g} s: longest gap {1000 * one['gap_there']:.0f} ms at the peers, "
            f"{1000 * one['gap_recorded']:.0f} ms in the recordings; media process {100 * one['media_cpu']:.0f} % of a "
            f"core ({100 * one['media_cpu'] / calls:.1f} a call), {one['media_mib']:.0f} MiB "
            f"({one['media_mib'] - empty['resident_bytes'] / 2**20:.0f} more than without), "
            f"{one['media_threads']:.0f} threads; peers {100 * one['peers_cpu']:.0f} %"
        )
    before, parent = usage(bench.door.pid), usage(None)
    for _ in range(told.leavers):
        await bench.joins(1)
    after, left = usage(bench.door.pid), usage(None)
    print(
        f"{told.leavers} calls left {after['threads'] - before['threads']:.0f} threads, "
        f"{after['descriptors'] - before['descriptors']:.0f} descriptors, "
        f"{(after['resident_bytes'] - before['resident_bytes']) / 2**20:.1f} MiB in the media process; "
        f"{left['descriptors'] - parent['descriptors']:.0f} descriptors in the desk's"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--joins", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--calls", type=int, nargs="*", default=[2, 4, 10])
    parser.add_argument("--leavers", type=int, default=100)
    parser.add_argument("--nice", type=int, default=0)
    told = parser.parse_args()
    nice = ("nice", "-n", str(told.nice)) if told.nice else ()
    command = (*nice, sys.executable, "-P", "-m", "mcp_server.integrations.calls.child")
    door, peers = CallMedia(MediaSettings(), lambda: command), await Peers.start()
    print(f"on {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the beginning")
    try:
        with tempfile.TemporaryDirectory() as folder:
            async with server(f"sqlite:///{folder}/desk.db") as desk:
                await desk.call("state_set", namespace="bench", key="k", value={"a": 1})
                await measure(Bench(door, peers), desk, told)
    finally:
        await door.close()
        await peers.end()


if __name__ == "__main__":
    asyncio.run(main())
