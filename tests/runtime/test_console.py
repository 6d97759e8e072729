"""The page for approvals beside stdio: who has its port, and what is said where it cannot be had."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from mcp_server.app import open_desk
from mcp_server.commands.doctor import run_doctor
from mcp_server.config import load_settings
from mcp_server.kernel.limits import Limits
from mcp_server.runtime import console as module
from mcp_server.runtime.console import console, console_problem
from tests.ports import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Any]:
    async with open_desk(load_settings(database=f"sqlite:///{tmp_path}/desk.db")) as desk:
        yield desk


@contextlib.asynccontextmanager
async def stranger(answer: bytes) -> AsyncGenerator[int]:
    """Another program that has the port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def until(true: Any) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_port_that_another_program_has_is_told_until_it_can_be_had(
    desk: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(module, "BIND_AGAIN_SECONDS", 0.02)
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(stranger(b"HTTP/1.1 200 OK\r\n\r\nhello"))
        problem = await console_problem(port)
        assert problem is not None and f"port {port}" in problem.message and "--console-port" in problem.message
        async with console(desk, port, Limits()):
            await until(desk.loops.failing)
            (told,) = desk.loops.report()
            assert (told["name"], told["state"]) == ("console", "restarting") and f"port {port}" in told["last_error"]
            assert [record.levelname for record in caplog.records if "console" in record.message] == ["WARNING"]
            await stack.aclose()
            await until(lambda: not desk.loops.report())
            assert await console_problem(port) is None  # it is served now
        assert await console_problem(port) is None  # it is free


async def test_one_server_has_the_page_and_the_next_waits_for_its_turn_without_a_word(
    desk: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "BIND_AGAIN_SECONDS", 0.02)
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(console(desk, port, Limits()))
        asked = list[int]()
        is_ours = module.is_ours

        async def counting(port: int) -> bool:
            asked.append(port)
            return await is_ours(port)

        monkeypatch.setattr(module, "is_ours", counting)
        await until(lambda: _is_taken(port))
        async with console(desk, port, Limits()):
            await until(lambda: len(asked) > 2)
            assert desk.loops.report() == []


def _is_taken(port: int) -> bool:
    with contextlib.suppress(OSError), contextlib.closing(socket.create_server(("127.0.0.1", port))):
        return False
    return True


@pytest.mark.parametrize("answer", [b"", b"\xff" * 100_000])
async def test_what_answers_nonsense_or_nothing_is_a_stranger(answer: bytes):
    async with stranger(answer) as port:
        assert await console_problem(port) is not None


async def test_who_answers_nothing_at_all_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mcp_server.runtime.neighbours.ANSWER_SECONDS_MAX", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert await console_problem(silent.getsockname()[1]) is not None


@pytest.mark.slow
def test_doctor_tells_of_a_port_that_another_program_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(0)
        port = taken.getsockname()[1]
        flags = {"database": f"sqlite:///{tmp_path}/desk.db", "console_port": port}
        assert run_doctor(flags, as_json=False) == 1
    assert f"FAIL console: The pages of approvals and calls cannot be served on port {port}" in capsys.readouterr().out
    assert run_doctor(flags, as_json=False) == 0
    assert "ok   console" in capsys.readouterr().out
