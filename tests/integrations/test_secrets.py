"""Secrets of deployments, target by target: each deploys with canaries that everything repeats as loudly as it can, and
then everything that was kept, told or logged is searched for them. A new target is one more `Case`.

No file that a target renders holds a value: what runs gets it by its environment, or from a file that was there before.
What a program that goes on running writes into its own log stays there, for this user alone, and is shown without them.
"""

import base64
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from starlette.responses import JSONResponse

from mcp_server.app import open_app
from mcp_server.config import Settings
from tests.integrations.workers.cloudflare_stand_in import ACCOUNT, TOKEN, cloudflare
from tests.integrations.workers.programs import WORKERD, needs_workerd

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")]

WEAK = "1234567"
"""Guessed in no time by whoever has a hash of it and of what stands beside it."""

CANARIES = {
    "APP_KEY": "canary-of-the-key-8c41",
    "APP_WEAK": WEAK,
    "APP_PEM": '-----BEGIN "canary"-----\nnämlich-5d20\n-----END-----',
    "TARGET_TOKEN": "canary-of-the-operators-77e0",
    "SERVERS_OWN": "canary-that-nobody-named-3b9a",
    "ACCOUNTS_TOKEN": TOKEN,
}
"""By variable of the server's. A deployment names the first two and a file of the third; the target of declared
commands names the fourth; nobody names the fifth; and Cloudflare's account has the last."""

NAMED = {"KEY": "env:APP_KEY", "WEAK": "env:APP_WEAK"}
LOUD = """
import json, os, sys
what, mine = sys.argv[1], os.environ
for stream in (sys.stdout, sys.stderr):
    print("I am", what, *mine.values(), sep="\\n", file=stream)
open(os.path.join({seen!r}, what + ".env"), "w").write(json.dumps(sorted(mine)))
assert {unnamed!r} not in mine.values(), "this was named by nobody"
if os.path.exists(os.path.join({seen!r}, "fail-" + what)):
    sys.exit("it is wrong: " + " ".join(mine.values()))
print(json.dumps(dict(mine) | {{"version_id": "v1"}}))
"""
SERVED = """
import http.server, os, sys
mine = os.environ
print("I am a replica", *mine.values(), flush=True)
assert {unnamed!r} not in mine.values(), "this was named by nobody"
class Loud(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, *mine.values(), flush=True)
        self.send_response(500 if self.path == "/bad" else 200)
        self.end_headers()
        self.wfile.write("; ".join(mine.values()).encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Loud).serve_forever()
"""
WORKER = """export default { async fetch(request, env) {
  console.log(JSON.stringify(env), env.KEY, env.PEM);
  const status = request.url.endsWith("/bad") ? 500 : 200;
  return new Response(env.KEY + env.WEAK + JSON.stringify(env) + env.PEM, {status});
} }"""


class House:
    """A server as its client sees it, and all that it said."""

    def __init__(self, client: Client, root: Path, case: "Case", beside: Any) -> None:
        self.client = client
        self.root = root
        self.case = case
        self.beside = beside
        self.told: list[str] = []

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers; also a refusal is an answer."""
        result = await self.client.call_tool(tool, arguments)
        self.told.append(repr(result))
        return result.structured_content or {}

    async def deploy(self, service: dict[str, Any], secrets: dict[str, str], **more: Any) -> dict[str, Any]:
        """Define, plan, apply and wait; the deployment then."""
        said = {"name": "site", "environment": "dev", "target": self.case.target, "services": [service]}
        await self.call("deployments_define", **said, secrets=secrets, **more)
        planned = await self.call("deployments_plan", deployment_id="site")
        if "plan" in planned:
            applied = await self.call("deployments_apply", deployment_id="site", plan_hash=planned["plan"]["hash"])
            await self.call("tasks_wait", task_id=applied["task"]["id"], wait_seconds=30)
            await self.call("tasks_find", task_id=applied["task"]["id"])
        return (await self.call("deployments_find", deployment_id="site", logs=True))["deployment"]

    async def hash(self) -> str:
        """Of what would happen now."""
        return (await self.call("deployments_plan", deployment_id="site"))["plan"]["hash"]

    async def read_everything(self, deployment_id: str) -> None:
        """Whatever else can be read."""
        await self.call("deployments_control", deployment_id="site", action="check_drift")
        await self.call("events_read", limit=100)
        await self.call("approvals_find")
        for uri in (f"ops://deployments/{deployment_id}", "ops://events", "ops://tasks", "ops://health"):
            with contextlib.suppress(Exception):
                self.told.append(repr(await self.client.read_resource(uri)))


@dataclass(frozen=True)
class Case:
    """A target: what its server is told, the service, what else is defined, and how to make it fail.

    Attributes:
        target: as definitions call it.
        settings: of the server, given the folder in which programs leave what they saw, and what was opened beside.
        service: what is deployed.
        secrets: which of the named secrets the target takes.
        live: what the deployment is when it has worked.
        breaks: has the next deployment fail, as loudly as it can, given the same; what the service is then.
        more: what else is defined.
        around: opens what the target needs beside.
        own_logs: what programs that go on running write themselves, as a pattern of files.
    """

    target: str
    settings: Callable[[Path, Any], dict[str, Any]]
    service: dict[str, Any]
    secrets: tuple[str, ...]
    live: str
    breaks: Callable[[Path, Any], dict[str, Any]] | None = None
    more: tuple[tuple[str, Any], ...] = ()
    around: Callable[[Path], Any] = contextlib.nullcontext
    own_logs: str | None = None


def loud(seen: Path) -> Path:
    """A program that says all that it knows."""
    path = seen / "loud.py"
    path.write_text(LOUD.format(seen=str(seen), unnamed=CANARIES["SERVERS_OWN"]))
    return path


def commands(seen: Path, beside: Any) -> dict[str, Any]:
    del beside
    script = loud(seen)
    names = ("build", "plan", "apply", "check", "promote", "rollback", "destroy", "status", "logs")
    argvs = {name: (sys.executable, str(script), name) for name in names}
    env = {"TOKEN": "env:TARGET_TOKEN", "PLAIN": "x"}
    return {"targets": {"loud": argvs | {"env": env, "secrets": ("KEY", "WEAK", "PEM")}}}


@asynccontextmanager
async def docker_on_path(seen: Path) -> AsyncGenerator[None]:
    """A stand-in of docker that is as loud."""
    program = seen / "docker"
    code = loud(seen).read_text().replace("what, mine = sys.argv[1]", "what, mine = sys.argv[-1].strip('-')")
    program.write_text(f"#!{sys.executable}\n{code}")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{seen}{os.pathsep}{os.environ['PATH']}")
        yield


def fails(seen: Path, what: str, service: dict[str, Any], **changes: Any) -> dict[str, Any]:
    (seen / f"fail-{what}").touch()
    return service | changes


def replicas(seen: Path, beside: Any) -> dict[str, Any]:
    del beside
    script = seen / "served.py"
    script.write_text(SERVED.format(unnamed=CANARIES["SERVERS_OWN"]))
    argv = (sys.executable, "-u", str(script), "{port}")
    said = {"kind": "process", "argv": argv, "secrets": ("KEY", "WEAK", "PEM"), "health": "/"}
    return {"targets": {"served": said | {"env": {"TOKEN": "env:TARGET_TOKEN"}, "drain_seconds": 1}}}


def account(seen: Path, beside: Any) -> dict[str, Any]:
    del seen
    _, api, site = beside
    return {"cloudflare": {"api_token": TOKEN, "account_id": ACCOUNT, "base_url": api, "dev_url": site}}


def refused_by_cloudflare(seen: Path, beside: Any) -> dict[str, Any]:
    """Cloudflare repeats in its refusal what it was sent."""
    del seen
    sent = ("APP_KEY", "APP_WEAK", "APP_PEM", "ACCOUNTS_TOKEN")
    said = {"success": False, "errors": [{"code": 10021, "message": " ".join(CANARIES[name] for name in sent)}]}
    beside[0].answers.append((f"POST accounts/{ACCOUNT}/workers/scripts", JSONResponse(said, 400)))
    return MODULE | {"compatibility_date": "2026-01-02"}


ARGV = {"name": "web", "secrets": ["KEY", "WEAK", "PEM"]}
IMAGE = {"name": "web", "image": "shop/web:1", "secrets": ["KEY", "WEAK", "PEM"]}
MODULE = {
    "name": "web",
    "modules": "code/site",
    "compatibility_date": "2026-01-01",
    "bindings": {name: {"secret": name} for name in ("KEY", "WEAK", "PEM")},
    "checks": [{"path": "/good", "attempts": 1}],
}
BAD = {"checks": [{"path": "/bad", "attempts": 1}]}
DATABASE = ("databases", [{"name": "db", "engine": "postgres", "password": "WEAK"}])
CASES = [
    pytest.param(
        Case(
            "loud",
            commands,
            ARGV,
            ("KEY", "WEAK", "PEM"),
            "live",
            lambda seen, _: fails(seen, "apply", ARGV, checks=[]),
        ),
        id="command",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Case(
            "compose",
            lambda seen, _: {},
            IMAGE,
            ("KEY", "WEAK", "PEM"),
            "live",
            lambda seen, _: fails(seen, "remove-orphans", IMAGE, image="shop/web:2"),
            (DATABASE,),
            docker_on_path,
        ),
        id="compose",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Case("kubernetes", lambda seen, _: {}, IMAGE, ("KEY", "WEAK", "PEM"), "rendered", None, (DATABASE,)),
        id="kubernetes",
    ),
    pytest.param(
        Case(
            "workerd",
            lambda seen, _: {"workers": {"workerd": WORKERD}},
            MODULE,
            ("KEY", "WEAK", "PEM"),
            "live",
            lambda seen, _: MODULE | BAD,
            own_logs="deployments/workerd/*/*/*/log",
        ),
        id="workerd",
        marks=(needs_workerd, pytest.mark.slow),
    ),
    pytest.param(
        Case(
            "served",
            replicas,
            ARGV | {"checks": [{"path": "/good", "attempts": 2}]},
            ("KEY", "WEAK", "PEM"),
            "live",
            lambda seen, _: ARGV | BAD,
            own_logs="**/*.log*",
        ),
        id="process",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Case(
            "cloudflare",
            account,
            MODULE,
            ("KEY", "WEAK", "PEM"),
            "live",
            refused_by_cloudflare,
            around=lambda seen: cloudflare(seen / "cloud"),
        ),
        id="cloudflare",
        marks=(needs_workerd, pytest.mark.slow),
    ),
]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The server's folder, which is searched; and the world outside, which may know."""
    root, outside = tmp_path / "house", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    (outside / "pem").write_text(CANARIES["APP_PEM"])
    return root, outside


@asynccontextmanager
async def house(root: Path, outside: Path, case: Case) -> AsyncGenerator[House]:
    said = {
        "database": f"sqlite:///{root / 'desk.db'}",
        "deployment_secrets": f"env:APP_*,file:{outside}/*",
        "deployments_folder": root / "deployments",
        "log": {"level": "debug"},
    }
    async with case.around(outside) as beside:
        settings = Settings.model_validate(said | case.settings(outside, beside))
        async with open_app(settings) as app, Client(app.server) as client:
            made = House(client, root, case, beside)
            await made.call("state_set", namespace="code", key="site", value=WORKER)
            made.told.clear()
            yield made
            removed = await made.call("deployments_plan", deployment_id="site", destroy=True)
            if "plan" in removed:
                which = {"deployment_id": "site", "action": "destroy", "plan_hash": removed["plan"]["hash"]}
                ended = await made.call("deployments_control", **which)
                await made.call("tasks_wait", task_id=ended["task"]["id"], wait_seconds=30)


def looks(value: str) -> Iterator[tuple[str, bytes]]:
    """How a secret might stand somewhere, in clear or so that a guess can be tried on it."""
    raw = value.encode()
    yield "as it is", raw
    yield "inside JSON", json.dumps(value)[1:-1].encode()
    yield "as a Python text", repr(value)[1:-1].encode()
    yield "as base64", base64.b64encode(raw).rstrip(b"=")[: len(raw)]
    for name in ("md5", "sha1", "sha256", "sha512"):
        yield f"its {name}", hashlib.new(name, raw).hexdigest()[:16].encode()


def found(where: dict[str, bytes]) -> list[str]:
    """What tells of a secret."""
    return [
        f"{place} holds {variable} {how}"
        for place, content in where.items()
        for variable, value in CANARIES.items()
        for how, look in looks(value)
        if look in content
    ]


def kept(root: Path, case: Case) -> dict[str, bytes]:
    """Every file of the server, the database's -wal included; of logs that programs write themselves, who may read
    them."""
    own = set(root.glob(case.own_logs)) if case.own_logs else set[Path]()
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in own)
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path not in own]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def secrets_of(case: Case, outside: Path) -> dict[str, str]:
    known = NAMED | {"PEM": f"file:{outside}/pem"}
    return {name: known[name] for name in case.secrets}


@pytest.mark.parametrize("case", CASES)
async def test_no_secret_is_kept_told_or_logged_by_any_target_however_loud_what_it_runs_is(
    case: Case, folders: tuple[Path, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    root, outside = folders
    async with house(root, outside, case) as made:
        secrets = secrets_of(case, outside)
        seen = await made.deploy(case.service, secrets, **dict(case.more))
        assert seen["status"] == case.live, seen
        before = await made.hash()
        with monkeypatch.context() as other:
            other.setenv("APP_WEAK", "7654321")
            assert await made.hash() == before, "whoever has a plan's hash can try no guess on it"
        if case.breaks is not None:
            broken = await made.deploy(case.breaks(outside, made.beside), secrets, **dict(case.more))
            assert broken["run"]["status"] in ("failed", "rolled_back"), broken
        await made.read_everything(seen["id"])
        assert found(kept(root, case)) == []
        assert "desk.db-wal" in kept(root, case), "what is not in the database yet was searched, too"
    said = capfd.readouterr()
    assert found({"the log": (said.out + said.err).encode()} | kept(root, case)) == []
    assert made.told and found({f"answer {n}": text.encode() for n, text in enumerate(made.told)}) == []
    for path in outside.glob("*.env"):
        assert "SERVERS_OWN" not in json.loads(path.read_text()), f"{path.stem} inherited what nobody named"
