"""An application on loopback at an address that outlives its server: who was told it finds it after a restart as well,
and several servers on one machine share it where the system lets them."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_server.kernel import private_files
from mcp_server.kernel.errors import Unavailable

if TYPE_CHECKING:
    from mcp_server.runtime.web import WebServer

App = Callable[..., Any]


class LocalService:
    """Asleep until it is needed, or where it was needed before."""

    def __init__(self, file: Path, make: Callable[[bytes], App]) -> None:
        """Serve nothing yet.

        Args:
            file: where its port and its key are kept.
            make: the application, from the key that it shares with whoever makes what it lets in.
        """
        self._file = file
        self._make = make
        self._server: WebServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def resume(self) -> None:
        """Serve again where somebody was told the address before; one that is taken by now is told of when asked."""
        if self._file.exists():
            with contextlib.suppress(Unavailable):
                await self.address()

    async def address(self) -> str:
        """Where it is served, from now on.

        Raises:
            Unavailable: the address is taken by something else.
        """
        async with self._lock:
            said = self._said()
            if self._serving is None:
                await self._serve(said["port"])
            return f"127.0.0.1:{said['port']}"

    def key(self) -> bytes:
        """The key of this machine."""
        return bytes.fromhex(self._said()["key"])

    async def close(self) -> None:
        """Serve no longer."""
        if self._server is not None and self._serving is not None:
            self._server.stop()
            await self._serving
        self._server = self._serving = None

    async def _serve(self, port: int) -> None:
        from mcp_server.runtime.web import WebServer  # on stdio nothing else needs it

        try:
            listening = _bound(port)
        except OSError as error:
            raise Unavailable(
                f"What deployed Workers ask for cannot be served on port {port}: {error.strerror}.",
                next=f"Free it; or remove {self._file.name} in the deployments' folder and deploy the Workers again.",
            ) from None
        self._server = server = WebServer(self._make(self.key()), "127.0.0.1", port)
        self._serving = asyncio.create_task(server.serve(sockets=[listening]), name="local-service")
        while not server.started and not self._serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.002)

    def _said(self) -> dict[str, Any]:
        """Port and key, made once; whoever comes second takes what is there."""
        if not self._file.exists():
            private_files.make_folder(self._file.parent)
            with _bound(0) as free:
                made = {"port": free.getsockname()[1], "key": secrets.token_hex(32)}
            part = Path(private_files.part_of(self._file))
            with os.fdopen(private_files.create(part), "w") as file:
                json.dump(made, file)
            with contextlib.suppress(FileExistsError):
                os.link(part, self._file)
            part.unlink()
        return json.loads(self._file.read_text())


def _bound(port: int) -> socket.socket:
    """A socket of loopback; several servers may listen on one address where the system lets them."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made
