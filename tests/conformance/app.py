"""The conformance app: the production server with the suite's fixtures beside it, over Streamable HTTP.

python -m tests.conformance.app PORT
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncGenerator
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server

from mcp_server.app import open_desk, seam_of
from mcp_server.config import Settings
from mcp_server.domain.desk import Desk
from mcp_server.kernel.limits import Limits
from mcp_server.observability.metrics import PrometheusMetrics
from mcp_server.protocol.http import Counts, HttpOptions, make_http_app
from mcp_server.protocol.resource_reads import ResourceReads
from mcp_server.protocol.seam import RequestContext, Seam
from mcp_server.protocol.server import assembled
from mcp_server.protocol.task_handles import TaskHandles, require_extension
from mcp_server.protocol.tool_calls import ToolCalls
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.wiring import offer
from tests.conformance.fixtures import install
from tests.conformance.slow_tools import KINDS, TOOLS, TestQuestions
from tools import KnownTool


class Calls(ToolCalls):
    """Refuses `failing_job` to a client that takes no handles, as the suite wants it of one tool."""

    async def call(
        self, ctx: RequestContext, params: types.CallToolRequestParams
    ) -> types.CallToolResult | dict[str, Any]:
        if params.name == "failing_job":
            require_extension(ctx)
        return await super().call(ctx, params)


def make_server(desk: Desk, seam: Seam, settings: Settings) -> Server[Any]:
    """The whole catalogue and the suite's slow tools; over them, its fixtures."""
    whole = offer(settings)
    handles = TaskHandles(desk, seam, whole, TestQuestions(desk))
    tools = Calls(desk, seam, (*whole.tools, *map(KnownTool.of, TOOLS)))
    server = assembled(desk, seam, tools, ResourceReads(desk, seam, whole.resources), handles, whole)
    install(server)
    return server


@contextlib.asynccontextmanager
async def working(desk: Desk) -> AsyncGenerator[None]:
    """Something does the slow tools' tasks."""
    worker = asyncio.create_task(SystemWorker(desk, KINDS).run())
    try:
        yield
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def main(port: int) -> None:
    metrics = PrometheusMetrics()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database=f"sqlite:///{folder}/desk.db", transport="http", port=port)
        async with open_desk(settings, metrics) as desk, working(desk):
            server = make_server(desk, seam_of(desk, settings, metrics), settings)
            counts = Counts(Limits(), metrics.kept_out, metrics.text)
            asgi = make_http_app(server, desk, HttpOptions("127.0.0.1", port), "http", counts)
            await uvicorn.Server(uvicorn.Config(asgi, port=port, log_level="warning")).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
