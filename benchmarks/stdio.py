"""Start, memory and calls over stdio, beside a bare one-tool server of the same SDK, in one run.

    python -m benchmarks.stdio [--starts 7] [--calls 1500]

Ratios above 1 mean slower or larger than the bare server.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DOCUMENT = {"namespace": "bench", "key": "k"}
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


class Server:
    """A server process and raw JSON lines."""

    def __init__(self, *command: str, program: str = sys.executable, variables: dict[str, str] | None = None) -> None:
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [program, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | (variables or {}),
        )
        self._id = 0
        self.request("initialize", INITIALIZE)
        self.first_answer_seconds = time.perf_counter() - self.started
        self._send({"method": "notifications/initialized"})

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
        self.process.stdin.flush()

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request and its answer."""
        assert self.process.stdout is not None
        self._id += 1
        self._send({"id": self._id, "method": method, "params": params})
        return json.loads(self.process.stdout.readline())

    def call_seconds(self, tool: str, arguments: dict[str, Any]) -> float:
        """How long one tool call took."""
        started = time.perf_counter()
        answer = self.request("tools/call", {"name": tool, "arguments": arguments})
        seconds = time.perf_counter() - started
        assert not answer["result"].get("isError"), answer
        return seconds

    def rss_kib(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def stop(self) -> None:
        """End the server by closing its input."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def bare() -> Server:
    """The bare server."""
    return Server("-m", "benchmarks.bare_server")


def ours(folder: str) -> Server:
    """Our server, at its defaults."""
    return Server("-m", "mcp_server", "--database", f"sqlite:///{folder}/bench.db")


def compare_starts(folder: str, starts: int) -> dict[str, Any]:
    """Start to first answer and to the first call's answer, and memory after that, in turn."""
    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    called: dict[str, list[float]] = {"bare": [], "ours": []}
    memory: dict[str, list[int]] = {"bare": [], "ours": []}
    for _ in range(starts):
        for name, make in (("bare", bare), ("ours", lambda: ours(folder))):
            server = make()
            seconds[name].append(server.first_answer_seconds)
            server.call_seconds("echo" if name == "bare" else "locks_find", DOCUMENT if name == "bare" else {})
            called[name].append(time.perf_counter() - server.started)
            memory[name].append(server.rss_kib())
            server.stop()
    return {
        "start_seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "start_ratio": ratio(seconds["ours"], seconds["bare"]),
        "first_call_ratio": ratio(called["ours"], called["bare"]),
        "rss_mib": {name: round(statistics.median(values) / 1024, 1) for name, values in memory.items()},
        "rss_ratio": ratio(memory["ours"], memory["bare"]),
    }


def compare_calls(folder: str, calls: int) -> dict[str, Any]:
    """Medians of calls made in turn on both servers."""
    theirs, mine = bare(), ours(folder)
    value = {f"field{n}": "x" * 90 for n in range(40)}
    document = DOCUMENT
    mine.call_seconds("state_set", document | {"value": value})
    times: dict[str, list[float]] = {name: [] for name in ("bare_small", "bare_4k", "state_get", "state_set")}
    for _ in range(calls):
        times["bare_small"].append(theirs.call_seconds("echo", document))
        times["bare_4k"].append(theirs.call_seconds("echo", document | {"value": value}))
        times["state_get"].append(mine.call_seconds("state_get", document))
        times["state_set"].append(mine.call_seconds("state_set", {"namespace": "bench", "key": "w", "value": {"n": 1}}))
    theirs.stop()
    mine.stop()
    return {
        "p50_ms": {name: round(statistics.median(values) * 1000, 3) for name, values in times.items()},
        "state_get_4k_ratio": ratio(times["state_get"], times["bare_4k"]),
        "state_set_ratio": ratio(times["state_set"], times["bare_small"]),
    }


def ratio(one: list[Any], other: list[Any]) -> float:
    """Of the medians."""
    return round(statistics.median(one) / statistics.median(other), 2)


def main() -> None:
    """Run both comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--calls", type=int, default=1500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(compare_starts(folder, options.starts) | compare_calls(folder, options.calls), indent=1))


if __name__ == "__main__":
    main()
