"""The pages of approvals and calls beside stdio, on a loopback port that several servers of one machine may want."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.kernel.errors import Unavailable
from mcp_server.kernel.limits import Limits
from mcp_server.runtime.neighbours import is_ours

BIND_AGAIN_SECONDS = 5.0
_LOOP = "console"
log = logging.getLogger("datamcp.console")


@contextlib.asynccontextmanager
async def console(desk: Desk, port: int, limits: Limits, names: Sequence[str] = ()) -> AsyncGenerator[None]:
    """Serve the pages of approvals and calls meanwhile, to who calls this machine by a name of its own or of these."""
    from starlette.applications import Starlette

    from mcp_server.kernel.hosts import LOOPBACK, Hosts
    from mcp_server.pages.approval import approval_routes
    from mcp_server.pages.bodies import Arriving
    from mcp_server.pages.call import call_routes
    from mcp_server.pages.door import Door
    from mcp_server.runtime.web import WebServer

    routes = [*approval_routes(desk), *call_routes(desk)]
    page = Door(Arriving(Starlette(routes=routes), limits), Hosts((*LOOPBACK, *names)))
    server = WebServer(page, "127.0.0.1", port)
    serving = asyncio.create_task(_serve(desk, server, port), name="console")
    try:
        yield
    finally:
        if server.started:
            server.stop()
        else:
            serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        desk.loops.release(_LOOP)


async def console_problem(port: int) -> Unavailable | None:
    """Why links would not open on a port now; None where it is free, or a server of this house answers there."""
    try:
        _bind(port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE and await is_ours(port):
            return None
        return _not_served(port, error)
    return None


async def _serve(desk: Desk, server: Any, port: int) -> None:
    """One server has the port, and the next takes over when it ends. What else has it, or forbids it, is said."""
    while True:
        try:
            bound = _bind(port)
        except OSError as error:
            await _tell(desk, port, error)
            await asyncio.sleep(BIND_AGAIN_SECONDS)
            continue
        desk.loops.release(_LOOP)
        log.info("console at http://127.0.0.1:%d", port)
        with contextlib.closing(bound):
            await server.serve([bound])
        return


def _bind(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


async def _tell(desk: Desk, port: int, error: OSError) -> None:
    if error.errno == errno.EADDRINUSE and await is_ours(port):
        desk.loops.release(_LOOP)
    else:
        desk.loops.hold(_LOOP, _not_served(port, error))


def _not_served(port: int, error: OSError) -> Unavailable:
    return Unavailable(
        f"The pages of approvals and calls cannot be served on port {port} ({error.strerror}), so links do not open.",
        next="End the program that has that port, or choose another one with --console-port.",
    )
