"""The smallest server of the same SDK: what `stdio.py` and `http.py` compare with.

python -m benchmarks.bare_server                        stdio
python -m benchmarks.bare_server http|sse PORT FOLDER   HTTP, with a tool that commits a row to SQLite in FOLDER
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mcp.server import MCPServer

server = MCPServer("bare", version="1", log_level="ERROR")


@server.tool()
def echo(namespace: str, key: str, value: dict[str, str] | None = None) -> dict[str, str]:
    """Echo what is given."""
    return {"namespace": namespace, "key": key, **(value or {})}


def offer_commit(folder: Path) -> None:
    """A tool that stores one row as durably as the desk does, and nothing else."""
    import pysqlite3

    file = pysqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
    file.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE rows (key TEXT, value TEXT)")
    writer = ThreadPoolExecutor(1)

    @server.tool()
    async def commit(namespace: str, key: str, value: dict[str, str]) -> dict[str, str]:
        """Store what is given, then echo it."""
        insert = "INSERT INTO rows VALUES (?, ?)"
        await asyncio.get_running_loop().run_in_executor(writer, file.execute, insert, (key, str(value)))
        return {"namespace": namespace, "key": key}


if __name__ == "__main__":
    if len(sys.argv) == 1:
        server.run("stdio")
    else:
        offer_commit(Path(sys.argv[3]))
        server.run("streamable-http" if sys.argv[1] == "http" else "sse", host="127.0.0.1", port=int(sys.argv[2]))
