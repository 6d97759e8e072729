"""What a server does not need is not loaded, and is there when it is asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integrations.smtp_servers import certificate
from tools import Catalogue

# What measures coverage loads what is not to be loaded.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
LIGHT = "from mcp_server.runtime.light import begin_light, load_anyio; begin_light(); load_anyio(); "
STRUCTLOG = """
import sys
from mcp_server.observability.plain import load_structlog
load_structlog()
import structlog
assert not {"rich", "greenlet", "_pickle"} & {name.partition(".")[0] for name in sys.modules}
print(structlog.dev.ConsoleRenderer(colors=False)(None, "", {"event": "said"}))
import importlib.util
assert importlib.util.find_spec("rich") is None or __import__("rich")
import pickle
assert pickle.loads(pickle.dumps([1])) == [1] and issubclass(pickle.PicklingError, pickle.PickleError)
"""
SERVER = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from mcp_server.__main__ import main
main()
"""
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
USED = ("tasks", "state")
"""The areas whose records a write of a document asks: its own, and that which knows whether a lease is still held."""
UNUSED = ("approvals", "calls", "commit", "deployments", "email", "locks", "messages", "scaling", "processes")
SET_BY_THE_OPERATOR = {
    "mcp_server.domain.approvals.principals",
    "mcp_server.domain.calls.media",
    "mcp_server.domain.calls.policy",
    "mcp_server.domain.email.policy",
}
"""What the settings are made into at the start."""
SAID_TO_RULES = {"mcp_server.domain.approvals.rules", "mcp_server.domain.approvals.people"}
"""How the tools of documents say what a call could have been."""
TOOLS_OF_AREAS = {f"tools.{name}" for name in Catalogue.modules()}
SECURELY = """
import asyncio, ssl, sys
assert "_ssl" not in sys.modules
import anyio, anyio.streams.tls

async def main():
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain("cert.pem", "key.pem")
    client_side = ssl.create_default_context(cafile="cert.pem")

    async def greet(reader, writer):
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("localhost", port, ssl=client_side)
    heard = [await reader.read()]
    writer.close()
    await writer.wait_closed()
    async with await anyio.connect_tcp("localhost", port, ssl_context=client_side) as stream:
        heard.append(await stream.receive())
        assert isinstance(stream, anyio.streams.tls.TLSStream)
    print(heard)
    server.close()

asyncio.run(main())
"""


def run(code: str, folder: Path | None = None) -> str:
    """What a fresh Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=folder, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_structlog_comes_without_rich_greenlet_and_pickle_and_they_can_be_loaded_later() -> None:
    assert "said" in run(STRUCTLOG)


def test_a_server_on_stdio_that_has_answered_a_call_has_loaded_nothing_that_it_did_not_use(tmp_path: Path) -> None:
    """Neither the other SQLite nor OpenSSL, nor what reads packages, archives and mails, nor what another era, spans,
    schedules and system tasks take; and of the areas and tools those alone that the call is about."""
    call = {"name": "state_set", "arguments": {"namespace": "n", "key": "k", "value": {"n": 1}}}
    asked = [
        {"id": 1, "method": "initialize", "params": INITIALIZE},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": call},
    ]
    done = subprocess.run(
        [sys.executable, "-c", SERVER, "--database", f"sqlite:///{tmp_path}/desk.db"],
        input="".join(json.dumps({"jsonrpc": "2.0"} | one) + "\n" for one in asked),
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
    )
    assert json.loads(done.stdout.splitlines()[-1])["result"]["isError"] is False, done.stdout
    loaded = set(done.stderr.splitlines()[-1].split())
    assert {"mcp.server.lowlevel.server", "hashlib"} <= loaded and {"pysqlite3.dbapi2", "apsw"} & loaded
    assert not loaded & {
        "_ssl",
        "_hashlib",
        "_pickle",
        "csv",
        "zipfile",
        "email.message",
        "importlib.resources",
        "difflib",
        "mcp_types._v2026_07_28",
        "opentelemetry.trace",
        "cronsim",
        "mcp_server.protocol.other_names",
        "mcp_server.protocol.composing",
        "mcp_server.integrations.calls.door",
        "mcp_server.deploying",
    }
    of_areas = {name for name in loaded if name.startswith("mcp_server.domain.") and name.count(".") == 3}
    assert "mcp_server.domain.state.service" in of_areas
    assert {name for name in of_areas if name.split(".")[2] in UNUSED} == SET_BY_THE_OPERATOR | SAID_TO_RULES
    assert {name for name in of_areas if name.endswith(".area")} == {f"mcp_server.domain.{one}.area" for one in USED}
    assert {name for name in loaded if name.startswith("tools.")} & TOOLS_OF_AREAS == {"tools.state"}
    assert "mcp_server.hooks.channel" not in loaded
    assert not loaded & {"_sqlite3", "greenlet", "rich", "jinja2", "yaml", "psycopg", "cloudflare"}


def test_connections_are_secure_when_they_are_asked_to_be(tmp_path: Path) -> None:
    """With asyncio and with anyio, both of which were loaded without."""
    certificate(tmp_path)
    assert run(LIGHT + SECURELY, tmp_path) == "[b'hello', b'hello']"


def test_versions_of_packages_are_found_and_plugins_are_not_looked_for() -> None:
    code = LIGHT + "import sys, pydantic.networks as n; class_ = type('M', (__import__('pydantic').BaseModel,), {}); "
    code += "class_(); assert 'email.message' not in sys.modules; print(n.version('pydantic')); "
    code += "import importlib.metadata as m; print(m.version('pydantic'), m.PackageNotFoundError.__name__)"
    version = __import__("pydantic").VERSION
    assert run(code).split() == [version, version, "PackageNotFoundError"]


def test_digests_are_the_same_by_either_library() -> None:
    code = LIGHT + "from mcp_server.runtime.light import hash_fast; import hashlib, hmac, sys; "
    code += "told = lambda: (hashlib.sha256(b'x').hexdigest(), hmac.new(b'k', b'x', hashlib.sha256).hexdigest()); "
    code += "before = told(); assert '_hashlib' not in sys.modules; hash_fast(); "
    code += "assert hashlib.sha256.__module__ == '_hashlib'; print(before == told())"
    assert run(code) == "True"


@pytest.mark.slow
def test_every_type_of_both_eras_whose_validator_waits_can_become_one() -> None:
    code = LIGHT + "from mcp_server.protocol.sdk import load_for_stdio; load_for_stdio(); "
    code += "import sys, mcp_types, pydantic; from mcp_types import methods; "
    code += "eras = ['mcp_types._v2025_11_25', 'mcp_types._v2026_07_28']; assert not set(eras) & set(sys.modules); "
    code += (
        "tables = [t for n, t in vars(methods).items() if n.endswith(('_REQUESTS', '_NOTIFICATIONS', '_RESULTS'))]; "
    )
    code += "first = [row for table in tables for row in table.values()]; "
    code += "[getattr(row, '__origin__', None) for row in first]; old, new = [sys.modules[era] for era in eras]; "
    code += "kinds = [k for m in (mcp_types, old, new) for k in vars(m).values() if isinstance(k, type)]; "
    code += "models = {k for k in kinds if issubclass(k, pydantic.BaseModel)}; "
    code += "waiting = [k for k in models if not k.__pydantic_complete__]; [k.model_rebuild() for k in models]; "
    code += "class_ = type('M', (pydantic.BaseModel,), {}); assert class_.__pydantic_complete__; "
    code += "adapters = [a for a in vars(mcp_types).values() if isinstance(a, pydantic.TypeAdapter)]; "
    code += "[pydantic.TypeAdapter(row) for row in first]; "
    code += "[a.rebuild() for a in adapters]; print(len(waiting) > 300, len(adapters) > 5, "
    code += "all(k.__pydantic_complete__ for k in models))"
    assert run(code) == "True True True"
