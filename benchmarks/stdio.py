"""Start, memory and calls over stdio, beside a bare one-tool server of the same SDK, in one run.

    python -m benchmarks.stdio [--starts 7] [--calls 1500] [--before FOLDER]

Ratios above 1 mean slower or larger than the bare server. Of calls, p10 is told as well, which a busy machine changes
least. With `--before`, a checkout of another version, its calls are made in turn, too. Bytecode is to be there.
"""

import argparse
import itertools
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


def older(folder: str, checkout: str) -> Server:
    """Another version of ours, whose folder comes before this one."""
    run = "import sys; sys.argv[0] = 'serve'; from mcp_server.__main__ import main; main()"
    path = os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")]))
    options = ("--database", f"sqlite:///{folder}/before.db")
    return Server("-P", "-c", run, *options, variables={"PYTHONPATH": path})


def compare_starts(folder: str, starts: int) -> dict[str, Any]:
    """Start to first answer, then to the first call's answer or to the list of tools; memory after that; in turn."""
    seconds: dict[str, list[float]] = {}
    memory: dict[str, list[int]] = {}
    makes = {"bare": bare, "ours": lambda: ours(folder)}
    for _, what, name in itertools.product(range(starts), ("call", "list"), makes):
        server = makes[name]()
        seconds.setdefault(name, []).append(server.first_answer_seconds)
        if what == "list":
            server.request("tools/list", {})
        else:
            server.call_seconds("echo" if name == "bare" else "locks_find", DOCUMENT if name == "bare" else {})
        seconds.setdefault(f"{name}_{what}", []).append(time.perf_counter() - server.started)
        memory.setdefault(f"{name}_{what}", []).append(server.rss_kib())
        server.stop()
    return {
        "start_seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "start_ratio": ratio(seconds["ours"], seconds["bare"]),
        "first_call_ratio": ratio(seconds["ours_call"], seconds["bare_call"]),
        "list_of_tools_ratio": ratio(seconds["ours_list"], seconds["bare_list"]),
        "rss_mib": {name: round(statistics.median(values) / 1024, 1) for name, values in memory.items()},
        "rss_ratio": ratio(memory["ours_call"], memory["bare_call"]),
        "rss_after_list_ratio": ratio(memory["ours_list"], memory["bare_list"]),
    }


def compare_calls(folder: str, calls: int, before: str | None) -> dict[str, Any]:
    """Calls made in turn on all servers."""
    servers = {"bare": bare(), "ours": ours(folder)} | ({"before": older(folder, before)} if before else {})
    small, large = DOCUMENT | {"value": {"n": "1"}}, DOCUMENT | {"key": "large"}
    large["value"] = {f"field{n}": "x" * 90 for n in range(40)}
    for name, document in itertools.product(servers.keys() - {"bare"}, (small, large)):
        servers[name].call_seconds("state_set", document)
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "get": ("state_get", DOCUMENT),
        "get_4k": ("state_get", DOCUMENT | {"key": "large"}),
        "set": ("state_set", small | {"key": "w"}),
    }
    echoed = {"get": DOCUMENT, "get_4k": large, "set": small}
    times: dict[str, list[float]] = {}
    for _, what, name in itertools.product(range(calls), asked, servers):
        tool, arguments = ("echo", echoed[what]) if name == "bare" else asked[what]
        times.setdefault(f"{name}_{what}", []).append(servers[name].call_seconds(tool, arguments))
    for server in servers.values():
        server.stop()
    pairs = itertools.product(servers.keys() - {"ours"}, asked)
    return {
        "p50_ms": {name: round(statistics.median(values) * 1000, 3) for name, values in times.items()},
        "p10_ms": {name: round(statistics.quantiles(values, n=10)[0] * 1000, 3) for name, values in times.items()},
        "p50_ratio": {
            f"{what} to {name}": ratio(times[f"ours_{what}"], times[f"{name}_{what}"]) for name, what in pairs
        },
    }


def ratio(one: list[Any], other: list[Any]) -> float:
    """Of the medians."""
    return round(statistics.median(one) / statistics.median(other), 2)


def main() -> None:
    """Run both comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--calls", type=int, default=1500)
    parser.add_argument("--before", help="a checkout of another version")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(
            json.dumps(
                compare_starts(folder, options.starts) | compare_calls(folder, options.calls, options.before), indent=1
            )
        )


if __name__ == "__main__":
    main()
