"""The two descriptors of a client on stdio: bounded, whole and in order."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from mcp_server.protocol.opening import Opening
from mcp_server.protocol.stdio import CHUNKS_AHEAD_MAX, READ_BYTES, Input
from mcp_server.protocol.stdout import Output

pytestmark = pytest.mark.anyio
LARGE = b"x" * (1 << 20) + b"\n"


class Pipe:
    """Its reading end, and what writes whole texts into the other without holding up the loop."""

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()
        self.written = 0

    def fill(self, text: bytes) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().run_in_executor(None, self._fill, text)

    def _fill(self, text: bytes) -> None:
        for start in range(0, len(text), READ_BYTES):
            self.written += os.write(self.writes, text[start : start + READ_BYTES])
        os.close(self.writes)


async def all_of(lines: AsyncIterator[bytes]) -> list[bytes]:
    return [line async for line in lines]


async def test_no_more_is_read_than_is_taken_and_all_of_it_arrives() -> None:
    pipe, count = Pipe(), 60 * READ_BYTES // 8
    stdin = Input(pipe.reads, Opening())
    filling = pipe.fill(b"".join(b"%07d\n" % number for number in range(count)))
    with anyio.fail_after(60):
        while pipe.written < CHUNKS_AHEAD_MAX * READ_BYTES:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # more would have come by now
    assert pipe.written <= (CHUNKS_AHEAD_MAX + 4) * READ_BYTES
    with anyio.fail_after(60):
        assert await all_of(stdin.lines()) == [b"%07d" % number for number in range(count)]
    await filling
    assert stdin.has_ended()


async def test_a_file_is_read_as_a_pipe_is(tmp_path: Path) -> None:
    lines = [b"%07d" % number for number in range(200_000)]
    (tmp_path / "asked").write_bytes(b"\n".join(lines))
    with (tmp_path / "asked").open("rb") as file, anyio.fail_after(60):
        assert await all_of(Input(file.fileno(), Opening()).lines()) == lines


async def test_lines_come_whole_however_they_were_cut() -> None:
    pipe = Pipe()
    stdin = Input(pipe.reads, Opening())
    found = asyncio.create_task(all_of(stdin.lines()))
    for part in (b"on", b"e\n\n  \ntwo\nth", b"r", b"ee"):
        os.write(pipe.writes, part)
        await asyncio.sleep(0.01)
    os.close(pipe.writes)
    with anyio.fail_after(60):
        assert await found == [b"one", b"two", b"three"]


async def test_a_line_whose_writer_was_cancelled_goes_out_whole_before_the_next() -> None:
    reads, writes = os.pipe()
    output = Output(writes)
    cancelled = asyncio.create_task(output.write(LARGE))
    while not output.is_stuck:
        await asyncio.sleep(0)
    cancelled.cancel()
    next_one = asyncio.create_task(output.write(b"next\n"))
    await asyncio.sleep(0.05)
    assert cancelled.cancelled() and not next_one.done() and output.written == 0
    got = b""
    with anyio.fail_after(60):
        while not got.endswith(b"next\n"):
            got += await asyncio.get_running_loop().run_in_executor(None, os.read, reads, 1 << 20)
        await next_one
    assert got == LARGE + b"next\n"
    assert output.written == 2 and not output.is_stuck
