"""One steady port in front of replicas that come and go: a program of its own, which outlives whoever started it.

    python -I -S proxy.py ADDRESS PORT ROUTES STATUS

It forwards connections, whatever is spoken over them, each to the replica with the fewest. ROUTES is a file that says
to which ports: {release, ports, health}; it is looked at twenty times a second. What is under way with a replica that
it no longer names goes on there. Where HTTP/1 is spoken, a connection that a client keeps for its next request stays
open, and that request goes to a replica of now. STATUS is where the proxy says what it goes by, and how many
connections are left with replicas that are to go. It imports nothing of the house.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.05
HEALTH_SECONDS = 2.0
CONNECT_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
"""How long a connection waits where no replica takes it."""

FAILURES_MAX = 3
CHUNK_BYTES = 64 * 1024
HERE = "127.0.0.1"
_REQUEST = re.compile(rb"([A-Z]{3,10}) \S+ HTTP/1\.[01]\r\n")
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Dialogue:
    """How far a connection is, where HTTP/1 is spoken: between requests nothing is under way. Of what else is spoken
    that is never said."""

    def __init__(self) -> None:
        self._state = "idle"
        self._method = self._head = self._tail = b""
        self._left: int | None = None

    @property
    def is_idle(self) -> bool:
        """Whether everything that was asked has been answered."""
        return self._state == "idle"

    def ask(self, data: bytes) -> None:
        """The client said something."""
        begins = _REQUEST.match(data)
        if self._state == "idle" and begins is not None:
            self._state, self._method, self._head = "asked", begins[1], b""
        elif self._state == "idle" or begins is not None:  # no HTTP, or a second request before the first is answered
            self._state = "opaque"

    def answer(self, data: bytes) -> None:
        """The replica said something."""
        if self._state == "asked":
            self._begin(self._head + data)
        elif self._state == "answering":
            self._go_on(data)
        else:
            self._state = "opaque"

    def _begin(self, data: bytes) -> None:
        head, end, body = data.partition(b"\r\n\r\n")
        status = _STATUS.match(head)
        self._head = data
        if not end:
            self._state = "opaque" if len(data) > CHUNK_BYTES else "asked"
        elif status is None or status[1] == b"101":
            self._state = "opaque"
        elif status[1][:1] == b"1":  # the answer itself is still to come
            self._head = b""
            if body:
                self._begin(body)
        else:
            self._state, self._left, self._tail = "answering", self._length(head + b"\r\n", status[1]), b"\r\n"
            self._go_on(body)

    def _length(self, head: bytes, status: bytes) -> int | None:
        """How many bytes follow a head; None where they end with the last chunk, or the connection."""
        if self._method == b"HEAD" or status in (b"204", b"304"):
            return 0
        if _CHUNKED.search(head) is not None:
            return None
        length = _LENGTH.search(head)
        return sys.maxsize if length is None else int(length[1])

    def _go_on(self, data: bytes) -> None:
        if self._left is None:
            self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
            is_whole = self._tail == _LAST_CHUNK
        else:
            self._left -= len(data)
            is_whole = self._left == 0
        if is_whole:
            self._state = "idle"
        elif self._left is not None and self._left < 0:
            self._state = "opaque"


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
        return self.up is None or (is_leaving and self.dialogue.is_idle and _REQUEST.match(data) is not None)

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
        self._said: tuple[bytes, bytes] = b"", b""
        self._release: str | None = None
        self._health: dict[str, Any] | None = None
        self._current: dict[int, Replica] = {}
        self._leaving: list[Replica] = []
        self._turns = itertools.count()
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
            await asyncio.sleep(LOOK_SECONDS)
        self._is_ending = True
        server.close()
        checking.cancel()
        self._lead_to([])
        while self._leaving:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Go by what the file says now, and say so."""
        routes, status = self._files
        with contextlib.suppress(OSError, ValueError, KeyError):
            text = routes.read_bytes()
            if text != self._said[0] and not self._is_ending:
                told = json.loads(text)
                self._release, self._health = told["release"], told["health"]
                self._lead_to(told["ports"])
                self._said = text, self._said[1]
        for link in [link for replica in self._leaving for link in replica.links if link.dialogue.is_idle]:
            link.let_go()
            if self._is_ending:
                link.close()
        self._leaving = [replica for replica in self._leaving if replica.links]
        said = json.dumps(self.status()).encode()
        if said != self._said[1]:
            _write(status, said)
            self._said = self._said[0], said

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
            await asyncio.sleep(LOOK_SECONDS)
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


def _write(path: Path, text: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text)
    part.replace(path)


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
