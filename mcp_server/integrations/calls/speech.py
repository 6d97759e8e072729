"""Speech of a text, by the operator's command: what it writes to stdout is a WAV file."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from mcp_server.integrations.groups import end_group
from mcp_server.kernel.environment import passed_on
from mcp_server.kernel.quoting import quoted

SECONDS_MAX = 30.0
SPOKEN_BYTES_MAX = 32 * 1024 * 1024
"""What the longest text comes to in a slow voice of 48 kHz; it goes through no line and no database."""

PLACE = "{text}"
_SAID_BYTES_MAX = 2000


async def spoken(command: Sequence[str], text: str) -> bytes:
    """The WAV file that a command makes of a text, which stands for `{text}` in its arguments, or else comes on stdin.

    Raises:
        ValueError: there is none; the text says why.
    """
    argv = [part.replace(PLACE, _argument(text)) for part in command]
    given = b"" if any(PLACE in part for part in command) else text.encode()
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=pipe, stdout=pipe, stderr=pipe, env=passed_on(), start_new_session=True
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the speech command {quoted(command[0])} cannot be started ({type(error).__name__})"
        ) from None
    listening = asyncio.create_task(_said(process)), asyncio.create_task(_given(process, given))
    try:
        async with asyncio.timeout(SECONDS_MAX):
            wav = await _all_of(process.stdout, SPOKEN_BYTES_MAX)
            said, _ = await asyncio.gather(*listening)
            code = await process.wait()
    except TimeoutError:
        raise ValueError(f"the speech command took longer than {SECONDS_MAX:g} seconds and was stopped") from None
    finally:
        await _ended(process, listening)
    if code != 0:
        raise ValueError(
            f"the speech command ended with {code}, saying {quoted(said.decode('utf-8', 'replace').strip(), 300)}"
        )
    return wav


def _argument(text: str) -> str:
    """The text as an argument that is no option, whatever it begins with."""
    return " " + text if text.startswith("-") else text


async def _all_of(stream: asyncio.StreamReader | None, bytes_max: int) -> bytes:
    assert stream is not None
    read = bytearray()
    while part := await stream.read(64 * 1024):
        read += part
        if len(read) > bytes_max:
            raise ValueError(f"the speech command wrote more than {bytes_max} bytes")
    return bytes(read)


async def _said(process: asyncio.subprocess.Process) -> bytes:
    """The beginning of what it says; the rest is read and forgotten."""
    assert process.stderr is not None
    said = bytearray()
    while part := await process.stderr.read(64 * 1024):
        said += part[: max(0, _SAID_BYTES_MAX - len(said))]
    return bytes(said)


async def _given(process: asyncio.subprocess.Process, text: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError, BrokenPipeError):  # a command need not read it
        process.stdin.write(text)
        await process.stdin.drain()
        process.stdin.close()


async def _ended(process: asyncio.subprocess.Process, listening: Sequence[asyncio.Task[Any]]) -> None:
    """End it, and read what it had written: a pipe that nobody reads any more is never seen to close, and a process is
    waited for until all of its pipes have. One that left a pipe to a process which got away is waited for a second."""
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    end_group(process)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await asyncio.gather(*map(_read_away, (process.stdout, process.stderr)))
            await process.wait()


async def _read_away(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(64 * 1024):
        continue
