"""An ASGI application on a loopback port."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from mcp_server.runtime.web import WebServer


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[str]:
    """The application's address while it is served."""
    server = WebServer(app, "127.0.0.1", 0)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.stop()
        await serving
