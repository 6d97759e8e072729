"""A desk in which all that some callers may not see holds a canary, and clients of callers that look for them."""

import itertools
import json
import logging
import os
import re
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.client import Client
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

import mcp_server
from mcp_server.app import App, open_app, open_desk
from mcp_server.config import Settings, load_settings
from mcp_server.domain.approvals.seals import KEY
from mcp_server.domain.approvals.transactions import signing_key
from mcp_server.domain.people.commands import AddUser, CreateKey
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.people.secrets import sha256_of
from mcp_server.domain.people.service import Standing
from mcp_server.domain.speaking import Voices
from mcp_server.kernel.authority import Actor, Role
from mcp_server.kernel.ids import new_id
from mcp_server.protocol.offer import Offer
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.server import make_server
from tests.protocol.tasks_client import TasksClient
from tests.world import caller as local

VARIABLE = "FUZZ_CANARY"
"""A variable of the environment that holds a canary."""
CALLERS = {
    "root": CreateKey(kind="user", holder="root"),
    "scribe": CreateKey(kind="agent", holder="scribe", role=Role.AGENT, namespace="bots"),
    "val": CreateKey(kind="user", holder="val", namespace="team"),
}
_SQL = re.compile(r"\b(SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b|psycopg|sqlite3|aiosqlite|Traceback \(")
_OF_THIS_MACHINE = ("site-packages", sys.prefix, str(Path(mcp_server.__file__).parent))


def canary(what: str) -> str:
    """A text that stands nowhere else."""
    return f"canary-{what}-{secrets.token_hex(6)}"


@dataclass
class Nest:
    """All canaries: those that nobody may see, and those that some caller may not, by its name."""

    folder: Path
    nobodys: set[str] = field(default_factory=set)
    hidden: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in CALLERS})

    def secret(self, what: str) -> str:
        """One that nobody may see."""
        made = canary(what)
        self.nobodys.add(made)
        return made

    def hide(self, what: str, *names: str) -> str:
        """One that these callers may not see."""
        made = canary(what)
        for name in names:
            self.hidden[name].add(made)
        return made

    def require_none(self, text: str, name: str | None = None) -> None:
        """What is told a caller, or nobody in particular, holds no canary that it may not see, and nothing of how this
        server is made."""
        unseen = self.nobodys | (set().union(*self.hidden.values()) if name is None else self.hidden[name])
        found = [one for one in unseen if one in text]
        assert not found, f"{name} was told {found}: {text[:3000]}"
        assert not _SQL.search(text), text[:3000]
        assert not any(one in text for one in (str(self.folder), *_OF_THIS_MACHINE)), text[:3000]


class Log(logging.Handler):
    """What the standard library's loggers are told; beside it, what structlog's are."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.ours: list[Any] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(self.format(record))

    def taken(self) -> list[str]:
        """The lines since the last time."""
        lines = self.lines + [json.dumps(one, default=str) for one in self.ours]
        self.lines.clear()
        self.ours.clear()
        return lines


@dataclass
class House:
    """A desk with canaries, its callers' clients, and the texts of their keys."""

    app: App
    nest: Nest
    log: Log
    clients: dict[str, Client]
    keys: dict[str, str]
    known: list[str]

    def look_at_the_log(self) -> None:
        """No failure of the server's stands in it, and nothing that is nobody's business."""
        for line in self.log.taken():
            assert not re.search(r'^(ERROR|CRITICAL)|"log_level": "(error|critical)"|Traceback', line), line
            self.nest.require_none(line)


def secretive(nest: Nest, url: str, **more: Any) -> Settings:
    """Settings that hold a secret of each kind."""
    more = {"transport": "http"} | more
    return load_settings(
        database=url,
        user="owner",
        email_outbox=str(nest.folder / "outbox"),
        deployments_folder=str(nest.folder / "deployments"),
        supervisor_folder=str(nest.folder / "logs"),
        email_allow="*@inside.example",
        email_approvers="boss@inside.example",
        public_url="https://desk.example",
        smtp_password=nest.secret("smtp"),
        sendgrid_api_key=nest.secret("sendgrid"),
        cloudflare_api_token=nest.secret("cloudflare"),
        cloudflare_account_id="a1",
        **more,
    )


@asynccontextmanager
async def haunted(url: str, folder: Path, **more: Any) -> AsyncGenerator[House]:
    """Open it, with more settings."""
    nest, log = Nest(folder), Log()
    settings = secretive(nest, url, **more)
    async with AsyncExitStack() as stack:
        log.ours = stack.enter_context(capture_logs([format_exc_info]))
        logging.getLogger().addHandler(log)
        stack.callback(logging.getLogger().removeHandler, log)
        os.environ[VARIABLE] = nest.secret("environment")
        stack.callback(os.environ.pop, VARIABLE)
        async with open_desk(settings) as desk:
            origin = desk.context.origin(local())
            await desk.database.write(signing_key, origin, KEY, nest.secret("signing"))
            keys = {name: await _key(desk.get(PeopleService), nest, one) for name, one in CALLERS.items()}
        app = await stack.enter_async_context(open_app(settings))
        owner = await stack.enter_async_context(Client(app.server))
        known = await _plant(owner, nest)
        clients: dict[str, Client] = {}
        for name, text in keys.items():
            actor = await app.desk.get(Standing).proved(sha256_of(text))
            assert isinstance(actor, Actor), actor
            asked = _yes if name == "root" else None
            clients[name] = await stack.enter_async_context(_client(app, actor, asked))
        for row in await app.desk.database.fetch_all("keys"):
            nest.nobodys |= {row["sha256"]}
        yield House(app, nest, log, clients, keys, known)


async def _key(people: PeopleService, nest: Nest, command: CreateKey) -> str:
    if command.kind == "user":
        role = Role.ADMIN if command.holder == "root" else Role.VIEWER
        await people.add_user(local(), AddUser(name=command.holder, role=role))
    text = nest.secret(f"key-{command.holder}")
    await people.create_key(local(), command, sha256_of(text))
    return text


async def _yes(context: Any, params: Any) -> types.ElicitResult:
    """A person who agrees."""
    return types.ElicitResult(action="accept", content={"approve": True})


def _client(app: App, actor: Actor, asked: Any) -> Client:
    seam = Seam(lambda ctx: actor, app.desk.get(Voices), new_id, app.metrics, None)
    heard = TasksClient()
    server = make_server(app.desk, seam, Offer())
    return Client(server, extensions=[heard], message_handler=heard.hear, elicitation_callback=asked)


async def _plant(owner: Client, nest: Nest) -> list[str]:
    """Put canaries wherever not everybody may look; the ids of what holds them."""

    async def step(tool: str, **arguments: Any) -> dict[str, Any]:
        result = await owner.call_tool(tool, arguments)
        assert not result.is_error, result.content
        return result.structured_content or {}

    for name in ("scribe", "other"):
        await step("agents_register", name=name)
    numbers = itertools.count()
    for namespace, blind in (("team", ["scribe"]), ("bots", ["val"]), ("vault", ["scribe", "val"])):
        for key in ("open", nest.hide("key", *blind)):
            value = {"text": nest.hide(f"state{next(numbers)}", *blind)}
            await step("state_set", namespace=namespace, key=key, value=value, note=nest.hide("note", *blind))
    private = ["scribe", "val"]
    message = await step("messages_send", to=["other"], subject=nest.hide("s", *private), body=nest.hide("b", *private))
    mails = [
        (await step("email_send", to=to, subject=nest.hide("subject", *private), text=nest.hide("text", *private)))[
            "email"
        ]
        for to in (f"{nest.hide('to', *private)}@inside.example", f"{nest.hide('out', *private)}@outside.example")
    ]
    made = await step("tasks_create", tasks=[{"title": "held", "agent": "other"}, {"title": "free"}])
    (claim,) = (await step("tasks_claim", agent_id="other"))["claims"]
    nest.nobodys.add(claim["lease_token"])
    ids = re.findall(r"\b[a-z]+_[0-9a-z]{12}\b", json.dumps([message, mails, made]))
    return sorted(set(ids))
