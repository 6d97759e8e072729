"""One steady port in front of replicas that come and go: a program of its own, which outlives whoever started it.

    python -I -S proxy.py ADDRESS PORT ROUTES STATUS

It forwards connections, whatever is spoken over them, each to the replica with the fewest. ROUTES is a file that says
to which ports: {release, ports, health, drain_seconds}; it is looked at twenty times a second. What is connected to a
port that it no longer names goes on; but one that is quiet after an answer, as a client's is that keeps it for its next
request, is closed: after five seconds, and once half of the time is over, at the next pause. STATUS is where the proxy
says what it goes by, and how many connections are left on ports that are to go. It imports nothing of the house.
"""

import asyncio
import contextlib
import itertools
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.05
HEALTH_SECONDS = 2.0
CONNECT_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
"""How long a connection waits where no replica takes it."""

QUIET_SECONDS, PAUSE_SECONDS = 5.0, 0.01
"""After so long without anything said, a connection whose last word was an answer is taken for one that only waits: at
first, and once half of the time is over."""

FAILURES_MAX = 3
CHUNK_BYTES = 64 * 1024
HERE = "127.0.0.1"


class Link:
    """One connection, from a client to a replica."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.ends = [client]
        self._said_at = _now()
        self._was_answered = True

    def spoke(self, *, is_answer: bool) -> None:
        """Something was said on it."""
        self._said_at = _now()
        self._was_answered = is_answer

    def is_quiet(self, seconds: float) -> bool:
        """Whether nothing seems to be under way on it, nor has just arrived."""
        if not self._was_answered or _now() - self._said_at < seconds:
            return False
        client = self.ends[0].get_extra_info("socket")
        return not select.select([client], [], [], 0)[0]

    def close(self) -> None:
        """End it, once what was said has been passed on."""
        for end in self.ends:
            end.close()


class Replica:
    """One port behind the proxy."""

    def __init__(self, port: int, *, is_well: bool) -> None:
        self.port = port
        self.is_well = is_well
        self.failures = 0
        self.links: set[Link] = set()
        self.leaving_since = 0.0

    def told(self, *, is_well: bool, at_once: bool = False) -> None:
        """Whether it works was tried. A connection that it refuses counts at once."""
        self.failures = 0 if is_well else self.failures + 1
        if is_well or at_once or self.failures >= FAILURES_MAX:
            self.is_well = is_well

    def end_quiet(self, drain_seconds: float) -> None:
        """Close what seems to wait for nothing but the client's next request."""
        is_late = _now() - self.leaving_since > drain_seconds / 2
        for link in list(self.links):
            if link.is_quiet(PAUSE_SECONDS if is_late else QUIET_SECONDS):
                link.close()


class Proxy:
    """Forwards connections to where a file says."""

    def __init__(self, routes: Path, status: Path) -> None:
        """Lead nowhere yet."""
        self._files = routes, status
        self._said: tuple[bytes, bytes] = b"", b""
        self._release: str | None = None
        self._health: dict[str, Any] | None = None
        self._drain_seconds = 0.0
        self._current: dict[int, Replica] = {}
        self._leaving: list[Replica] = []
        self._turns = itertools.count()

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
        server.close()
        checking.cancel()
        self._lead_to([])
        while any(replica.links for replica in self._leaving):
            self._end_quiet()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Go by what the file says now, and say so."""
        routes, status = self._files
        with contextlib.suppress(OSError, ValueError, KeyError):
            text = routes.read_bytes()
            if text != self._said[0]:
                told = json.loads(text)
                self._release, self._health = told["release"], told["health"]
                self._drain_seconds = told["drain_seconds"]
                self._lead_to(told["ports"])
                self._said = text, self._said[1]
        self._end_quiet()
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
            replica.leaving_since = _now()
            self._leaving.append(replica)

    def _end_quiet(self) -> None:
        for replica in self._leaving:
            replica.end_quiet(self._drain_seconds)

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
        with contextlib.closing(writer):
            found = await self._connected(link)
            if found is None:
                return
            replica, (answers, questions) = found
            link.ends.append(questions)
            try:
                with contextlib.closing(questions):
                    await _until_answered(_pipe(reader, questions, link, False), _pipe(answers, writer, link, True))
            finally:
                replica.links.discard(link)

    async def _connected(self, link: Link) -> tuple[Replica, Any] | None:
        """A replica that takes the connection. One that does not is passed over, and so is one that does not work."""
        ends = _now() + PATIENCE_SECONDS
        while _now() < ends:
            for replica in self._in_turn():
                replica.links.add(link)
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        return replica, await asyncio.open_connection(HERE, replica.port, limit=CHUNK_BYTES)
                except (OSError, TimeoutError):
                    replica.links.discard(link)
                    if self._health is not None:  # else nobody would ever tell that it works again
                        replica.told(is_well=False, at_once=True)
            await asyncio.sleep(LOOK_SECONDS)
        return None

    def _in_turn(self) -> list[Replica]:
        """Those that work, the least busy first; then the others, since some answer is better than none."""
        known = list(self._current.values())
        first = next(self._turns) % len(known) if known else 0
        turned = known[first:] + known[:first]
        return sorted(turned, key=lambda replica: (not replica.is_well, len(replica.links)))


async def _until_answered(questions: Any, answers: Any) -> None:
    """Until the replica has said all that it has to say, or one direction has broken."""
    asking, answering = asyncio.ensure_future(questions), asyncio.ensure_future(answers)
    try:
        await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
        if asking.done() and asking.exception() is None:
            await asyncio.wait((answering,))
    finally:
        for task in (asking, answering):
            task.cancel()
        await asyncio.gather(asking, answering, return_exceptions=True)


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter, link: Link, is_answer: bool) -> None:
    while data := await source.read(CHUNK_BYTES):
        link.spoke(is_answer=is_answer)
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


def _now() -> float:
    return asyncio.get_running_loop().time()


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
