"""One attempt of a task as an operating system process: task JSON on stdin, progress on stderr, result on stdout."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mcp_server.domain.tasks.commands import RESULT_BYTES_MAX
from mcp_server.domain.tasks.spec import FailureSpec, ProgressSpec
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.json_text import check_json, others_json
from mcp_server.runtime.groups import Ends, ends

OUTPUT_BYTES_MAX = 256 * 1024
GRACE_SECONDS = 5.0
"""How long a process group may take to end after SIGTERM before it is killed."""

_TAIL_LINES = 20
_LINE_BYTES_MAX = 64 * 1024


class CommandRun:
    """A running command and all that it started."""

    def __init__(self, process: asyncio.subprocess.Process, ends: Ends) -> None:
        self._process = process
        self._ends = ends
        self._tail: list[str] = []

    @staticmethod
    async def start(command: Sequence[str], env: Mapping[str, str]) -> "CommandRun":
        """Start the command in a process group of its own, so that all of it can be stopped; `env` is all that it finds
        in its environment.

        Raises:
            OSError: it cannot be started.
        """
        how = ends()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            limit=_LINE_BYTES_MAX,
            **how.begin(),
        )
        return CommandRun(process, how)

    async def finish(
        self, task_json: str, on_progress: Callable[[ProgressSpec], None]
    ) -> tuple[Any, FailureSpec | None]:
        """Feed the command, follow its progress, wait for its end: its result, or why it failed."""
        fed = asyncio.create_task(self._feed(task_json))
        followed = asyncio.create_task(self._follow(on_progress))
        try:
            output = await self._collect()
            await followed
            await fed
            code = await self._process.wait()
        finally:
            fed.cancel()
            followed.cancel()
        if code != 0:
            return None, self._failure(code)
        if output is None:
            too_much = f"The command wrote more than {OUTPUT_BYTES_MAX} bytes to stdout; nothing of it was kept."
            return None, FailureSpec(message=too_much, code="output_too_large", retryable=False)
        return kept(output)

    async def stop(self) -> None:
        """End the whole process group: politely first, then for certain."""
        await self._ends.ask(self._process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._process.wait()
        await self._ends.kill(self._process)
        await self._process.wait()

    async def _feed(self, text: str) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a command need not read its input
            stdin.write(text.encode() + b"\n")
            await stdin.drain()
            stdin.close()

    async def _collect(self) -> bytes | None:
        """All of stdout, or None when it is too much; what is too much is still read, so that nobody blocks."""
        stdout = self._process.stdout
        assert stdout is not None
        kept: list[bytes] = []
        size = 0
        while chunk := await stdout.read(65_536):
            size += len(chunk)
            if size <= OUTPUT_BYTES_MAX:
                kept.append(chunk)
        return b"".join(kept) if size <= OUTPUT_BYTES_MAX else None

    async def _follow(self, on_progress: Callable[[ProgressSpec], None]) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        while True:
            try:
                line = await stderr.readline()
            except ValueError:  # longer than the limit: the reader has dropped it
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").replace("\x00", "").rstrip()
            if text:
                self._tail = [*self._tail[1 - _TAIL_LINES :], text]
                on_progress(parse_progress(text))

    def _failure(self, code: int) -> FailureSpec:
        how = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
        tail = "\n".join(self._tail)
        word = f"exit_{code}" if code >= 0 else f"signal_{-code}"
        return FailureSpec(message=f"The command {how}.\n{tail}".strip()[:20_000], code=word)


def parse_progress(line: str) -> ProgressSpec:
    """A line of stderr as progress: a JSON object with percent, step or message, or the line itself as the message."""
    if line.startswith("{"):
        with contextlib.suppress(ValueError, ValidationError, RecursionError):
            return ProgressSpec.model_validate_json(line)
    return ProgressSpec(message=line[:2000])


def kept(output: bytes) -> tuple[Any, FailureSpec | None]:
    """Stdout as what the task ends with: its result, or why that cannot be kept. One task's words end no worker."""
    result = parse_output(output)
    try:
        check_json(result, "result", RESULT_BYTES_MAX)
    except OpsError as error:
        message = f"The command ended well, but what it said cannot be kept: {error.message}"
        return None, FailureSpec(message=message, code="result_refused", retryable=False)
    return result, None


def parse_output(output: bytes) -> Any:
    """Stdout as the task's result: its JSON; text that is not JSON as `{"output": text}`; nothing as None."""
    text = output.decode("utf-8", "replace").replace("\x00", "").strip()
    if not text:
        return None
    try:
        return others_json(text)
    except ValueError:
        return {"output": text}
