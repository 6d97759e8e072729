"""The conformance app: the production server with the suite's fixtures beside it, over Streamable HTTP.

python -m tests.conformance.app PORT
"""

import asyncio
import sys
import tempfile

import uvicorn

from mcp_server.app import open_app
from mcp_server.config import Settings
from mcp_server.protocol.http import HttpOptions, make_http_app
from mcp_server.runtime.system_worker import SystemWorker
from tests.conformance.fixtures import install
from tests.conformance.slow_tools import HANDLERS, TOOLS, TestQuestions


async def main(port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database=f"sqlite:///{folder}/desk.db", transport="http", port=port)
        async with open_app(settings, extra_tools=TOOLS, questions=TestQuestions) as app:
            install(app.server)
            worker = asyncio.create_task(SystemWorker(app.desk, HANDLERS, concurrency=16).run())
            options = HttpOptions("127.0.0.1", port)
            asgi = make_http_app(app.server, app.desk, options, "http", app.metrics.text)
            await uvicorn.Server(uvicorn.Config(asgi, port=port, log_level="warning")).serve()
            worker.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
