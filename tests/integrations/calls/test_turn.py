"""Calls through a TURN server alone: the media process in a network of its own, from which nothing else is reached.

Needs root, for the network namespace, and Debian's coturn and iptables; skipped elsewhere."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from array import array
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from mcp_server.domain.calls import orders
from mcp_server.domain.calls.media import IceServer, MediaSettings
from mcp_server.integrations.calls.door import CallMedia
from tests.integrations.calls.peers import Listener, clearest, joined, tone, wav

PROGRAMS = ("turnserver", "iptables", "ip")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)),
        reason=f"needs root and {', '.join(PROGRAMS)}",
    ),
]
NET = os.getpid() % 250  # tests run side by side
HERE, THERE, NAME = f"10.213.{NET}.1", f"10.213.{NET}.2", f"calls{os.getpid()}"
CABLE = (f"here{os.getpid()}", f"there{os.getpid()}")


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def inside(*command: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", NAME, *command)


@pytest.fixture
def network() -> Generator[None]:
    """A namespace beside this one, joined by a cable."""
    try:
        run("ip", "netns", "add", NAME)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr!r}")
    try:
        run("ip", "link", "add", CABLE[0], "type", "veth", "peer", "name", CABLE[1], "netns", NAME)
        run("ip", "addr", "add", f"{HERE}/30", "dev", CABLE[0])
        run(*inside("ip", "link", "set", CABLE[1], "addrgenmode", "none"))  # no way round by IPv6
        run("ip", "link", "set", CABLE[0], "up")
        run(*inside("ip", "addr", "add", f"{THERE}/30", "dev", CABLE[1]))
        run(*inside("ip", "link", "set", CABLE[1], "up"))
        run(*inside("ip", "link", "set", "lo", "up"))
        yield
    finally:
        subprocess.run(("ip", "link", "del", CABLE[0]), capture_output=True)
        subprocess.run(("ip", "netns", "del", NAME), capture_output=True)


async def listens() -> bool:
    try:
        _, writer = await asyncio.open_connection(HERE, 3478)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@contextlib.asynccontextmanager
async def turn_server(folder: Path) -> AsyncGenerator[None]:
    process = await asyncio.create_subprocess_exec(
        *("turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--lt-cred-mech", "--fingerprint"),
        *(f"--listening-ip={HERE}", f"--relay-ip={HERE}", "--realm=test", "--user=desk:secret", "--log-file=stdout"),
        *(f"--pidfile={folder / 'pid'}", f"--userdb={folder / 'db'}", "--min-port=49160", "--max-port=49260"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while not await listens():
                await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        await process.wait()
        process._transport.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_goes_through_turn_where_nothing_else_does(network: None, tmp_path: Path, transport: str):
    run(*inside("iptables", "-P", "OUTPUT", "DROP"))
    run(*inside("iptables", "-P", "INPUT", "DROP"))
    run(*inside("iptables", "-A", "OUTPUT", "-d", HERE, "-p", transport, "--dport", "3478", "-j", "ACCEPT"))
    run(*inside("iptables", "-A", "INPUT", "-s", HERE, "-p", transport, "--sport", "3478", "-j", "ACCEPT"))
    url = f"turn:{HERE}:3478?transport={transport}"
    settings = MediaSettings(ice_servers=(IceServer((url,), "desk", "secret"),))
    command = inside(sys.executable, "-P", "-m", "mcp_server.integrations.calls.child")
    door = CallMedia(settings, lambda: command)
    try:
        async with turn_server(tmp_path):
            heard = Listener(await door.open("call_1", audio=True, record=True))
            async with joined(heard, hertz=1000.0) as person:
                answer = (await heard.until(orders.Answered)).answer
                assert "typ relay" in answer
                await heard.call.tell(orders.Play("a", wav(tone(440, 2))))
                person.say(type="text", text="through the relay")
                assert (await heard.until(orders.Messaged)).message["text"] == "through the relay"
                await heard.until(orders.Spoken)
                told = await heard.until(orders.Recorded)
                assert clearest(array("h", told.pcm), 1000) > 0.25, "beside ours"
                await asyncio.sleep(0.5)
                assert clearest(person.sound(), 440) > 0.9
            await heard.close()
            await door.close()
    finally:
        await door.close()


async def test_without_turn_the_same_network_connects_nobody(network: None):
    run(*inside("iptables", "-P", "OUTPUT", "DROP"))
    command = inside(sys.executable, "-P", "-m", "mcp_server.integrations.calls.child")
    door = CallMedia(MediaSettings(), lambda: command)
    heard = Listener(await door.open("call_1", audio=False, record=False))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5), joined(heard):
            pass
    await heard.close()
    await door.close()
