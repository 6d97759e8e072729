"""Mails through one SMTP server, messages between agents, and how soon an approval lets a task go in another process.

    python -m benchmarks.communication [--mails 1000] [--messages 4000] [--samples 100]

The SMTP server is aiosmtpd in a process of its own; synchronous=FULL.
"""

import argparse
import asyncio
import multiprocessing
import resource
import socket
import statistics
import tempfile
import time
from typing import Any

from benchmarks.cycles import CALL, no_ops
from benchmarks.wakeup import child
from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.email.model import EmailPolicy
from mcp_server.domain.email.transport import MailProvider
from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.integrations.smtp import SmtpMailer, SmtpOptions
from mcp_server.kernel.authority import Actor, Role
from mcp_server.kernel.call import Call
from mcp_server.persistence.database import Database
from mcp_server.runtime.system_worker import SystemWorker

PERSON = Call(Actor(kind="user", id="ann", permissions=Role.ADMIN.permissions), "benchmark")
MAILS_AIM, MESSAGES_AIM, APPROVAL_AIM = 100, 2000, 0.150


class Counter:
    """Takes every mail and counts."""

    def __init__(self, heard: Any) -> None:
        self._heard = heard
        self.connections = 0

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, responses: Any) -> Any:
        session.host_name = hostname
        self.connections += 1
        return responses

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self._heard.put(self.connections)
        return "250 OK"


def serve_smtp(port: int, heard: Any) -> None:
    """An SMTP server until killed."""
    from aiosmtpd.controller import Controller

    controller = Controller(Counter(heard), hostname="127.0.0.1", port=port)
    controller.start()
    heard.put("ready")
    time.sleep(3600)


async def mails(folder: str, count: int) -> None:
    """Queue mails, then let one worker send them all."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    heard = context.Queue()
    server = context.Process(target=serve_smtp, args=(port, heard), daemon=True)
    server.start()
    await asyncio.to_thread(heard.get, True, 30)
    database = await Database.open(f"sqlite:///{folder}/mails.db", AREAS)
    mailer = SmtpMailer(SmtpOptions("127.0.0.1", port, "none"))
    policy = EmailPolicy(provider="smtp", sender="desk@example.org")
    desk = desk_on(database, policy, MailProvider(lambda: mailer))
    for number in range(0, count, 50):
        commands = [SendEmail(to=(f"a{number + n}@example.org",), subject="s", text="t" * 2000) for n in range(50)]
        await asyncio.gather(*(desk.emails.send(CALL, command) for command in commands))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = SystemWorker(desk, AREAS.kinds)
    started = time.perf_counter()
    running = asyncio.create_task(worker.run())
    connections = 0
    for _ in range(count):
        connections = await asyncio.to_thread(heard.get, True, 60)
    seconds = time.perf_counter() - started
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    await mailer.close()
    await database.close()
    server.kill()
    print(
        f"{count} mails: {count / seconds:,.0f}/s (aim: >= {MAILS_AIM}), {connections} connections, "
        f"{grown:.1f} MiB more at the peak"
    )


async def messages(folder: str, count: int) -> None:
    """Send a message and read it, many callers at once."""
    database = await Database.open(f"sqlite:///{folder}/messages.db", AREAS)
    desk = desk_on(database)
    agents = [(await desk.agents.register(CALL, Register(name=f"a{n}"))).agent.id for n in range(64)]

    async def caller(agent_id: str) -> None:
        for _ in range(count // len(agents)):
            await desk.messages.send(CALL, SendMessage(to=(agent_id,), body="hello"))
            inbox = await desk.messages.read(CALL, ReadMessages(agent_id=agent_id, limit=5))
            assert len(inbox.messages) == 1

    started = time.perf_counter()
    await asyncio.gather(*(caller(agent_id) for agent_id in agents))
    rate = count // 64 * 64 / (time.perf_counter() - started)
    await database.close()
    print(f"send + read, 64 callers: {rate:,.0f} cycles/s (aim: >= {MESSAGES_AIM:,})")


async def approvals(folder: str, samples: int) -> None:
    """From the call that approves to another process's waiting claim of the task."""
    url = f"sqlite:///{folder}/approvals.db"
    context = multiprocessing.get_context("spawn")
    heard = context.Queue()
    process = context.Process(target=child, args=(url, samples, heard))
    process.start()
    database = await Database.open(url, AREAS)
    desk = desk_on(database)
    await asyncio.to_thread(heard.get, True, 60)
    seen: list[float] = []
    for _ in range(samples):
        (task,) = (await desk.tasks.create(PERSON, no_ops(1, requires_approval=True))).tasks
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await desk.approvals.answered(PERSON, task.id, "accept", {"approve": True})
        seen.append(await asyncio.to_thread(heard.get, True, 60) - began)
    process.join()
    await database.close()
    seen.sort()
    p99 = seen[min(int(len(seen) * 0.99), len(seen) - 1)]
    print(
        f"approved to claimed in another process: p50 {statistics.median(seen) * 1000:.0f} ms, "
        f"p99 {p99 * 1000:.0f} ms (aim: < {APPROVAL_AIM * 1000:.0f})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(mails(folder, options.mails))
        asyncio.run(messages(folder, options.messages))
        asyncio.run(approvals(folder, options.samples))


if __name__ == "__main__":
    main()
