"""The proof: the server is started as a client would start it, and answers one call."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import NamedTuple, cast

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import ContentBlock, Tool

from mcp_server.integrations.clients.entries import Started
from mcp_server.kernel import private_files
from mcp_server.kernel.errors import Unavailable
from mcp_server.kernel.lines import one_line

ANSWER_SECONDS_MAX = 120.0
_SAID_MAX = 600


class Proof(NamedTuple):
    """What was seen."""

    tool: str
    said: str
    tools: int
    seconds: float


def prove(started: Started, env: Mapping[str, str], seconds_max: float = ANSWER_SECONDS_MAX) -> Proof:
    """Start the server, greet it and call one tool that changes nothing.

    Args:
        started: what the entry says.
        env: what the client's own environment gives besides.
        seconds_max: how long all of it may take.

    Raises:
        Unavailable: it did not start or answer; what it said on stderr.
    """
    with tempfile.TemporaryDirectory(prefix="datamcp-proof-") as folder:
        log = Path(folder) / "stderr"
        try:
            return anyio.run(_proof, started, {**env, **started.env}, log, seconds_max)
        except Exception as error:
            why = one_line(_reason(error), _SAID_MAX)
            raise Unavailable(f"{' '.join(started.argv)} did not answer: {why}.{_told(log)}") from None


def _told(log: Path) -> str:
    """The end of what a server said on stderr."""
    text = log.read_text("utf-8", "replace").strip() if log.exists() else ""
    return f" It said: {one_line(text[-_SAID_MAX:])}" if text else " It said nothing."


async def _proof(started: Started, env: dict[str, str], log: Path, seconds_max: float) -> Proof:
    began = monotonic()
    program, *arguments = started.argv
    server = StdioServerParameters(command=program, args=arguments, env=env)
    with os.fdopen(private_files.create(log), "w") as errors, anyio.fail_after(seconds_max):
        async with Client(stdio_client(server, errlog=errors)) as client:
            tools = (await client.list_tools()).tools
            name, said = await _answer(client, tools)
            return Proof(name, said, len(tools), monotonic() - began)


async def _answer(client: Client, tools: Sequence[Tool]) -> tuple[str, str]:
    """Which tool was called, and the first line of what it answered."""
    name = next(map(_name, filter(_is_harmless, tools)), None)
    if name is None:
        raise Unavailable(f"Among its {len(tools)} tools is none that changes nothing and takes nothing")
    result = await client.call_tool(name, {})
    said = one_line(_text(result.content).partition("\n")[0], _SAID_MAX)
    if result.is_error:
        raise Unavailable(f"{name} answered {said!r}")
    return name, said


def _name(tool: Tool) -> str:
    return tool.name


def _text(content: Sequence[ContentBlock]) -> str:
    return next((block.text for block in content if block.type == "text"), "")


def _is_harmless(tool: Tool) -> bool:
    hints = tool.annotations
    return hints is not None and bool(hints.read_only_hint) and not tool.input_schema.get("required")


def _reason(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _reason(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    return f"{type(error).__name__}: {error}".removesuffix(": ").removesuffix(".")
