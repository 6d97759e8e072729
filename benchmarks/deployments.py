"""What the target `process` costs: a plan of many services, a replacement, its proxies, and what runs idle. Linux only.

python -m benchmarks.deployments [--services 50] [--seconds 20]

A real server with a real program behind a real proxy: how long a plan of so many services takes; how long from apply
until a service of two replicas is live; how long a request takes at the replica itself and through the proxy, one after
the other over kept connections and over new ones; and the processor time of proxies and server while nobody asks.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.idle import processor_seconds
from tests.processes import RawClient, server

PLAN_SECONDS_AIM = 0.2
PLANS = 20
REQUESTS = 2000
CONNECTIONS = 500
PROGRAM = """import socketserver, sys

class Answers(socketserver.BaseRequestHandler):
    def handle(self):
        while self.request.recv(65536):
            self.request.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

class Service(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    request_queue_size = 128

Service(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


def declared(folder: Path) -> Path:
    """The operator's file, with the program."""
    (folder / "service.py").write_text(PROGRAM, "utf-8")
    argv = json.dumps([sys.executable, "-I", "-S", str(folder / "service.py"), "{port}"])
    config = folder / "desk.toml"
    config.write_text(f'[targets.web]\nkind = "process"\nargv = {argv}\nhealth = "/"\ndrain_seconds = 2\n', "utf-8")
    return config


async def defined(client: RawClient, name: str, services: list[dict[str, Any]]) -> None:
    """One deployment of the program."""
    said = {"name": name, "environment": "dev", "target": "web", "services": services}
    answer = await client.call("deployments_define", **said)
    assert "deployment" in answer, answer


async def planned(client: RawClient, name: str) -> tuple[float, str]:
    """Plan it; how long that took, and the hash."""
    began = time.monotonic()
    answer = await client.call("deployments_plan", deployment_id=name)
    return time.monotonic() - began, answer["plan"]["hash"]


async def applied(client: RawClient, name: str) -> float:
    """Bring it live; seconds from apply until it is."""
    _, plan_hash = await planned(client, name)
    began = time.monotonic()
    task = (await client.call("deployments_apply", deployment_id=name, plan_hash=plan_hash))["task"]
    ended = await client.call("tasks_wait", task_id=task["id"], wait_seconds=50)
    assert ended["task"]["status"] == "completed", ended
    return time.monotonic() - began


async def removed(client: RawClient, name: str) -> None:
    """Take it away again."""
    plan = (await client.call("deployments_plan", deployment_id=name, destroy=True))["plan"]
    said = {"deployment_id": name, "action": "destroy", "plan_hash": plan["hash"]}
    await client.call("tasks_wait", task_id=(await client.call("deployments_control", **said))["task"]["id"])


async def _answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(REQUEST)
    answer = await reader.readuntil(b"ok")
    assert answer.startswith(b"HTTP/1.1 200"), answer


async def kept(port: int) -> list[float]:
    """How long each request over one connection took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = [await _timed(lambda: _answered(reader, writer)) for _ in range(REQUESTS)]
    writer.close()
    return taken


async def _connecting(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await _answered(reader, writer)
    writer.close()


async def anew(port: int) -> list[float]:
    """How long each request over a connection of its own took."""
    return [await _timed(lambda: _connecting(port)) for _ in range(CONNECTIONS)]


async def _timed(does: Callable[[], Awaitable[None]]) -> float:
    began = time.monotonic()
    await does()
    return time.monotonic() - began


def _said(name: str, taken: list[float]) -> None:
    most = statistics.quantiles(taken, n=100)[98]
    print(f"{name:42} median {statistics.median(taken) * 1000:.3f} ms, 99 % within {most * 1000:.3f} ms")


async def requests(found: dict[str, Any]) -> None:
    """Ask a replica itself, and through the proxy."""
    replicas = found["replicas"]
    proxy = next(one for one in replicas if one.get("proxy"))
    replica = next(one for one in replicas if not one.get("proxy"))
    for name, port in (("replica", replica["port"]), ("proxy", proxy["port"])):
        _said(f"{name}, over one connection", await kept(port))
        _said(f"{name}, a connection for each request", await anew(port))


async def idle(client: RawClient, found: dict[str, Any], seconds: float) -> None:
    """The processor time of everything while nobody asks."""
    proxies = [one["pid"] for one in found["replicas"] if one.get("proxy")]
    pids = {"the server": client.process.pid} | {f"proxy {number}": pid for number, pid in enumerate(proxies, 1)}
    before = {name: processor_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(seconds)
    for name, pid in pids.items():
        share = (processor_seconds(pid) - before[name]) / seconds
        print(f"idle, {name:36} {share:.2%} of a core")


async def main(services: int, seconds: float) -> int:
    """Measure; 1 where the aim is missed."""
    with tempfile.TemporaryDirectory() as name:
        options = ("--config", str(declared(Path(name))), "--supervisor-folder", f"{name}/logs")
        async with server(f"sqlite:///{name}/desk.db", *options) as client:
            await defined(client, "many", [{"name": f"web-{number}"} for number in range(services)])
            taken = [(await planned(client, "many"))[0] for _ in range(PLANS)]
            _said(f"plan of {services} services", taken)
            await defined(client, "web", [{"name": "web", "replicas": 2}])
            print(f"{'apply until two replicas are live':42} {await applied(client, 'web'):.2f} s")
            print(f"{'the same again, beside what runs':42} {await applied(client, 'web'):.2f} s")
            found = (await client.call("deployments_find", deployment_id="web"))["deployment"]
            try:
                await requests(found)
                await idle(client, found, seconds)
            finally:
                await removed(client, "web")
    return 0 if statistics.median(taken) < PLAN_SECONDS_AIM else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.services, chosen.seconds)))
