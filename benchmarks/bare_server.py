"""The smallest server of the same SDK: one tool, nothing behind it. What `stdio.py` compares with."""

from mcp.server import MCPServer

server = MCPServer("bare", version="1")


@server.tool()
def echo(namespace: str, key: str, value: dict[str, str] | None = None) -> dict[str, str]:
    """Echo what is given."""
    return {"namespace": namespace, "key": key, **(value or {})}


if __name__ == "__main__":
    server.run("stdio")
