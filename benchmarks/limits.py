"""What one caller's flood costs another, and what many clients at once cost, over HTTP with keys.

    python -m benchmarks.limits fair [--seconds 5] [--rounds 5] [--flood 64]
    python -m benchmarks.limits many [--seconds 60] [--clients 200]

`fair`: a client with a key calls all the time, a read and a write in turn; then again while a process floods the server
with another key, each connection as fast as it is answered. How many times longer the 99th percentile of the first
client takes must stay below 2. On a busy machine, believe the medians over many rounds.

`many`: so many clients at once, each with a connection of its own. No call may fail, the 99th percentile must stay
under ten times the median, and the server's memory flat once it has warmed up.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.http import DOCUMENT, WRITTEN, Caller, serving
from benchmarks.idle import processor_seconds

TOKEN = '[[tokens]]\nsha256 = "{digest}"\nkind = "user"\nid = "{name}"\nrole = "admin"\n'
WARM_SHARE = 0.3
"""Of a run, after which memory has to be flat."""


def keys(folder: str, *names: str) -> str:
    """A file of tokens, each the name of its user."""
    path = Path(folder) / "tokens.toml"
    entries = (TOKEN.format(digest=hashlib.sha256(name.encode()).hexdigest(), name=name) for name in names)
    path.write_text("".join(entries))
    return str(path)


def resident_mb(pid: int) -> float:
    """A process's resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


async def opened(port: int, key: str) -> Caller:
    """A client with a key, once it is connected."""
    caller = Caller(port)
    caller.wire.headers["authorization"] = f"Bearer {key}"
    await caller.begin()
    return caller


async def closed(*callers: Caller) -> None:
    """End them."""
    for caller in callers:
        caller.end()
    with contextlib.suppress(ConnectionError):
        await asyncio.gather(*(caller.wire.writer.wait_closed() for caller in callers))


async def called(caller: Caller, number: int, took: list[float]) -> str | None:
    """One call, a read and a write in turn; the code with which it was refused."""
    tool, arguments = ("state_set", WRITTEN | {"key": "k"}) if number % 2 else ("state_get", DOCUMENT)
    started = time.perf_counter()
    result = (await caller.call(tool, arguments))["result"]
    took.append(time.perf_counter() - started)
    return result["structuredContent"]["error"]["code"] if result.get("isError") else None


async def alone(port: int, key: str, seconds: float) -> list[float]:
    """How long each call of one client took."""
    caller, took = await opened(port, key), list[float]()
    ends, number = time.perf_counter() + seconds, 1
    while time.perf_counter() < ends:
        refused = await called(caller, number, took)
        assert refused is None, refused
        number += 1
        await asyncio.sleep(0.02)  # so that it is no flood itself
    await closed(caller)
    return took


async def flood(port: int, key: str, connections: int, seconds: float) -> dict[str, int]:
    """Call as fast as is answered on every connection; how many calls were answered, and refused."""
    callers = [await opened(port, key) for _ in range(connections)]
    ends, counted = time.perf_counter() + seconds, {"answered": 0, "refused": 0}

    async def run(caller: Caller) -> None:
        number = 1
        while time.perf_counter() < ends:
            refused = await called(caller, number, [])
            counted["answered" if refused is None else "refused"] += 1
            number += 1

    await asyncio.gather(*map(run, callers))
    await closed(*callers)
    return counted


def p99(took: list[float]) -> float:
    """In milliseconds."""
    return sorted(took)[int(len(took) * 0.99)] * 1000


def fair(options: argparse.Namespace) -> dict[str, Any]:
    """One client, alone and beside a flood, in turn."""
    rows: list[tuple[float, float, float, float]] = []
    flooded: list[dict[str, int]] = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        tokens = keys(folder, "ann", "eve")
        port, pid = stack.enter_context(serving("ours", "http", folder, DATAMCP_TOKENS_FILE=tokens))
        asyncio.run(alone(port, "ann", 1))
        for _ in range(options.rounds):
            quiet = asyncio.run(alone(port, "ann", options.seconds))
            command = [sys.executable, "-m", "benchmarks.limits", "flood", "--port", str(port)]
            command += ["--flood", str(options.flood), "--seconds", str(options.seconds + 3)]
            eve = subprocess.Popen(command, stdout=subprocess.PIPE)
            time.sleep(2)
            before = processor_seconds(pid)
            beside = asyncio.run(alone(port, "ann", options.seconds))
            used = (processor_seconds(pid) - before) / options.seconds
            rows.append((p99(quiet), p99(beside), p99(beside) / p99(quiet), used))
            flooded.append(json.loads(eve.communicate()[0]))
    quiet_ms, beside_ms, ratio, used = (round(statistics.median(column), 2) for column in zip(*rows, strict=True))
    return {
        "p99_ms": {"alone": quiet_ms, "beside_a_flood": beside_ms},
        "p99_ratio": ratio,
        "p99_ratios": [round(row[2], 2) for row in rows],
        "server_processors_used": used,
        "flood": {name: sum(one[name] for one in flooded) for name in ("answered", "refused")},
    }


async def many_clients(port: int, pid: int, keyed: str, clients: int, seconds: float) -> dict[str, Any]:
    """So many clients at once; what they met, and what the server's memory was."""
    callers = [await opened(port, keyed) for _ in range(clients)]
    began = time.perf_counter()
    took, refused = list[float](), list[str]()
    memory: list[tuple[float, float]] = []

    async def run(caller: Caller) -> None:
        number = 1
        while time.perf_counter() < began + seconds:
            code = await called(caller, number, took)
            if code is not None:
                refused.append(code)
            number += 1

    async def watch() -> None:
        while (at := time.perf_counter() - began) < seconds:
            memory.append((at, resident_mb(pid)))
            await asyncio.sleep(0.25)

    await asyncio.gather(watch(), *map(run, callers))
    await closed(*callers)
    warm = [resident for at, resident in memory if at >= seconds * WARM_SHARE]
    half = len(warm) // 2
    p50 = statistics.median(took) * 1000
    return {
        "clients": clients,
        "calls": len(took),
        "errors": len(refused),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99(took), 1),
        "p99_to_p50": round(p99(took) / p50, 2),
        "resident_mb": {"warm": round(statistics.mean(warm[:half]), 1), "end": round(statistics.mean(warm[half:]), 1)},
    }


def many(options: argparse.Namespace) -> dict[str, Any]:
    """Without keys: the local user, as `many_clients`."""
    with tempfile.TemporaryDirectory() as folder, serving("ours", "http", folder) as (port, pid):
        asyncio.run(alone(port, "", 1))
        return asyncio.run(many_clients(port, pid, "", options.clients, options.seconds))


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fair", "many", "flood"))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flood", type=int, default=64)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    options.seconds = options.seconds or (60 if options.what == "many" else 5)
    if options.what == "flood":
        print(json.dumps(asyncio.run(flood(options.port, "eve", options.flood, options.seconds))))
    else:
        print(json.dumps({"fair": fair, "many": many}[options.what](options)))


if __name__ == "__main__":
    main()
