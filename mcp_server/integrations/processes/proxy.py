"""One steady port in front of replicas that come and go: a program of its own, which outlives whoever started it.

    python -P -S -m mcp_server.integrations.processes.proxy ADDRESS PORT ROUTES STATUS

It forwards connections, whatever is spoken over them, each to the replica with the fewest. ROUTES is a file that says
to which ports: {release, ports, health}; it is looked at five times a second, and twenty times while somebody waits.
What is under way with a replica that it no longer names goes on there. Where HTTP/1 is spoken, a connection that a
client keeps for its next request stays open, and that request goes to a replica of now. STATUS is where the proxy says
what it goes by, and how many connections are left with replicas that are to go. It imports nothing of the house but
`dialogue`.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mcp_server.integrations.processes.dialogue import Dialogue, begins_request
from mcp_server.kernel import private_files

LOOK_SECONDS = 0.05
REST_SECONDS = 0.2
"""How long nobody looks while every replica takes connections and none is to go: that is what an idle proxy costs."""

HEALTH_SECONDS = 2.0
CONNECT_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
"""How long a connection waits where no replica takes it."""

FAILURES_MAX = 3
CHUNK_BYTES = 64 * 1024
HERE = "127.0.0.1"


class Link:
    """One connection of a client, and the replica that it speaks with."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.dialogue = Dialogue()
        self.replica: Replica | None = None
        self.up: asyncio.StreamWriter | None = None
        self.answering: asyncio.Task[None] | None = None

    def needs_another(self, data: bytes) -> bool:
        """Whether what the client says now goes to another replica than before."""
        is_leaving = self.replica is not None and self.replica.is_leaving
        return self.up is None or (is_leaving and self.dialogue.is_idle and begins_request(data))

    def let_go(self) -> None:
        """Speak with the replica no longer."""
        if self.replica is not None:
            self.replica.links.discard(self)
        if self.up is not None:
            self.up.close()
        self.replica = self.up = None

    def close(self) -> None:
        """End it, once what was said has been passed on."""
        self.let_go()
        self.client.close()


class Replica:
    """One port behind the proxy."""

    def __init__(self, port: int, *, is_well: bool) -> None:
        self.port = port
        self.is_well = is_well
        self.is_leaving = False
        self.failures = 0
        self.links: set[Link] = set()

    def let_go_idle(self, *, is_over: bool) -> None:
        """Let go of connections on which nothing is under way, or close them where nobody is left to go on with."""
        for link in [link for link in self.links if link.dialogue.is_idle]:
            link.let_go()
            if is_over:
                link.close()

    def told(self, *, is_well: bool, at_once: bool = False) -> None:
        """Whether it works was tried. A connection that it refuses counts at once."""
        self.failures = 0 if is_well else self.failures + 1
        if is_well or at_once or self.failures >= FAILURES_MAX:
            self.is_well = is_well


class Proxy:
    """Forwards connections to where a file says."""

    def __init__(self, routes: Path, status: Path) -> None:
        """Lead nowhere yet."""
        self._files = routes, status
        self._known = self._told = b""
        self._release: str | None = None
        self._health: dict[str, Any] | None = None
        self._current: dict[int, Replica] = {}
        self._leaving: list[Replica] = []
        self._turns = itertools.count()
        self._waiting = 0
        self._is_ending = False

    async def run(self, address: str, port: int, ending: asyncio.Event) -> None:
        """Serve until that is to end, and what is under way has ended.

        Raises:
            OSError: the port is taken.
        """
        server = await asyncio.start_server(self._accept, address, port, limit=CHUNK_BYTES, backlog=1024)
        checking = asyncio.create_task(self._check_always())
        while not ending.is_set():
            self.look()
            await asyncio.sleep(REST_SECONDS if self._is_at_rest() else LOOK_SECONDS)
        self._is_ending = True
        server.close()
        checking.cancel()
        self._lead_to([])
        while self._leaving:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def _is_at_rest(self) -> bool:
        """Whether nothing is going on that is to be seen at once."""
        return bool(self._current) and not self._leaving and not self._waiting

    def look(self) -> None:
        """Go by what the file says now, and say so."""
        if not self._is_ending:
            self._read()
        self._let_go_idle()
        said = json.dumps(self.status()).encode()
        if said != self._told:
            private_files.put(self._files[1], said)
            self._told = said

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            text = self._files[0].read_bytes()
            if text != self._known:
                told = json.loads(text)
                self._release, self._health = told["release"], told["health"]
                self._lead_to(told["ports"])
                self._known = text

    def _let_go_idle(self) -> None:
        """With replicas that are to go, nobody speaks longer than it takes to answer what was asked."""
        for replica in self._leaving:
            replica.let_go_idle(is_over=self._is_ending)
        self._leaving = [replica for replica in self._leaving if replica.links]

    def status(self) -> dict[str, Any]:
        """What it goes by, and what is left on ports that are to go."""
        left = {str(replica.port): len(replica.links) for replica in self._leaving}
        return {"pid": os.getpid(), "release": self._release, "ports": sorted(self._current), "left": left}

    def _lead_to(self, ports: list[int]) -> None:
        before, self._current = self._current, {}
        is_well = not before or self._health is None  # what joins others has to show that it works, if anybody asks
        for port in ports:
            self._current[port] = before.pop(port, None) or Replica(port, is_well=is_well)
        for replica in before.values():
            replica.is_leaving = True
            self._leaving.append(replica)

    async def _check_always(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_SECONDS)
            if self._health is not None:
                await asyncio.gather(*(self._check(one, self._health) for one in self._current.values()))

    async def _check(self, replica: Replica, health: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                status = await _status_of(replica.port, health["path"])
        except (OSError, TimeoutError, ValueError, IndexError):
            status = None
        replica.told(is_well=status == health["status"])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(writer)
        try:
            if await self._attached(link):
                await self._ask(link, reader)
        except OSError:  # the client is gone, or the replica
            pass
        finally:
            link.close()

    async def _ask(self, link: Link, reader: asyncio.StreamReader) -> None:
        """Pass on what a client says, until it has said everything and was answered."""
        while data := await reader.read(CHUNK_BYTES):
            if link.needs_another(data) and not await self._attached(link):
                return
            assert link.up is not None, "it was attached"
            link.dialogue.ask(data)
            link.up.write(data)
            await link.up.drain()
        if link.up is not None and link.answering is not None:
            with contextlib.suppress(OSError, RuntimeError):
                link.up.write_eof()
            await link.answering

    async def _answer(self, link: Link, up: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        """Pass on what a replica says, until it has said everything or the client speaks with another."""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                link.dialogue.answer(data)
                link.client.write(data)
                await link.client.drain()
        if link.up is up:
            link.close()

    async def _attached(self, link: Link) -> bool:
        """Have a replica take a connection; whether one does. One that does not is passed over."""
        link.let_go()
        loop = asyncio.get_running_loop()
        ends = loop.time() + PATIENCE_SECONDS
        while loop.time() < ends:
            for replica in self._in_turn():
                replica.links.add(link)
                link.replica = replica
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        reader, link.up = await asyncio.open_connection(HERE, replica.port, limit=CHUNK_BYTES)
                except (OSError, TimeoutError):
                    link.let_go()
                    if self._health is not None:  # else nobody would ever tell that it works again
                        replica.told(is_well=False, at_once=True)
                else:
                    link.answering = asyncio.create_task(self._answer(link, link.up, reader))
                    return True
            self._waiting += 1
            await asyncio.sleep(LOOK_SECONDS)
            self._waiting -= 1
        return False

    def _in_turn(self) -> list[Replica]:
        """Those that work, the least busy first; then the others, since some answer is better than none."""
        known = list(self._current.values())
        first = next(self._turns) % len(known) if known else 0
        turned = known[first:] + known[:first]
        return sorted(turned, key=lambda replica: (not replica.is_well, len(replica.links)))


async def _status_of(port: int, path: str) -> int:
    """The status of the answer to one request."""
    reader, writer = await asyncio.open_connection(HERE, port)
    with contextlib.closing(writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HERE}:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        return int((await reader.readline()).split()[1])


async def main(address: str, port: int, routes: Path, status: Path) -> int:
    """Serve until SIGTERM; the exit code."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    try:
        await Proxy(routes, status).run(address, port, ending)
    except OSError as error:
        sys.stderr.write(f"port {port} of {address}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))))
