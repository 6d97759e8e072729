"""What a server on stdio loads of the SDK."""

import subprocess
import sys

import pytest

PROLOGUE = "import sys; from mcp_server.protocol.sdk import load_for_stdio; load_for_stdio(); "


def run(code: str) -> str:
    """What a fresh Python says that loads the SDK as a server on stdio does."""
    done = subprocess.run([sys.executable, "-c", PROLOGUE + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_what_only_http_needs_is_not_loaded_for_stdio() -> None:
    """Nor is it by anything that a server on stdio is built from."""
    loaded = run(
        "import mcp_server.protocol.stdio, mcp_server.app; "
        "print(*{name.partition('.')[0] for name in sys.modules} | {n for n in sys.modules if n.startswith('mcp.')})"
    ).split()
    assert "mcp.server.lowlevel.server" in loaded
    for heavy in ("starlette", "uvicorn", "httpx2", "cryptography", "sse_starlette", "mcp.client", "mcp.server.auth"):
        assert heavy not in loaded


@pytest.mark.slow
def test_the_rest_of_the_sdk_is_there_when_it_is_asked_for() -> None:
    """Its packages open when a name of theirs is used, and web modules are the real ones afterwards. A name that they
    do not have is missing as ever."""
    code = "import mcp.server; mcp.server.MCPServer; from mcp import types; from mcp.client import Client; "
    code += "import starlette.routing; assert starlette.routing.Route is not object; "
    code += "print(Client.__name__, hasattr(mcp, 'no_such_name'), hasattr(mcp, 'no_such_name'))"
    assert run(code) == "Client False False"


TABLES = """
from mcp_types import methods
names = sorted(name for name in vars(methods) if name.endswith(("_REQUESTS", "_NOTIFICATIONS", "_RESULTS")))
real = lambda row: vars(row)["_real"]() if type(row).__name__ == "_Late" else row
print(*(f"{name} {key} {real(row)}" for name in names for key, row in getattr(methods, name).items()), sep="\\n")
"""


@pytest.mark.slow
def test_each_message_of_each_era_is_checked_by_the_type_that_the_sdk_names_for_it() -> None:
    code = f"exec({TABLES!r})"
    whole = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    late = run(code)
    assert late.splitlines() == whole.stdout.strip().splitlines()
    assert "tools/call" in late and "_v2025_11_25" in late and "_v2026_07_28" in late


@pytest.mark.slow
def test_an_era_is_loaded_when_a_message_of_it_is_checked() -> None:
    """A right one passes, a wrong one does not, and the other era stays where it is."""
    code = "from mcp_types import methods; check = methods.validate_client_request; "
    code += "check('tools/call', '2025-11-25', {'name': 'n'}); import pydantic; wrong = 0\n"
    code += (
        "try:\n    check('tools/call', '2025-11-25', {'name': 1})\nexcept pydantic.ValidationError:\n    wrong = 1\n"
    )
    code += "done = methods.serialize_server_result('tools/list', '2025-11-25', {'tools': []})\n"
    code += "print(wrong, done, *(name for name in sys.modules if name.startswith('mcp_types._v')))"
    assert run(code) == "1 {'tools': []} mcp_types._v2025_11_25"


def test_what_a_server_asks_its_client_makes_a_span_as_soon_as_it_is_asked() -> None:
    code = "import mcp.shared.jsonrpc_dispatcher as d; before = 'opentelemetry' in sys.modules; told = {}\n"
    code += "with d.otel_span(name='n', kind=d.SpanKind.CLIENT) as span:\n    d.inject_trace_context(told)\n"
    code += "import opentelemetry.trace as real; print(before, isinstance(span, real.Span), d.SpanKind.CLIENT.name)"
    assert run(code) == "False True CLIENT"


def test_where_somebody_takes_spans_the_sdk_makes_one_for_every_message() -> None:
    taken = "import sys, types; sys.modules['opentelemetry.sdk'] = types.ModuleType('opentelemetry.sdk'); "
    code = taken + "from mcp_server.protocol.sdk import load_for_stdio; load_for_stdio(); "
    code += "import mcp.server.lowlevel.server as s; print(s.OpenTelemetryMiddleware.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "mcp.server._otel", done.stderr


@pytest.mark.slow
def test_an_sdk_that_is_loaded_is_left_as_it_is() -> None:
    """In a process that uses the client too."""
    code = "import sys, mcp; before = dict(sys.modules); "
    code += "from mcp_server.protocol.sdk import load_for_stdio; load_for_stdio(); "
    code += "print(all(sys.modules[name] is module for name, module in before.items()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.slow
def test_an_sdk_that_is_made_otherwise_is_loaded_whole() -> None:
    """A part that cannot do without what is held back is loaded with it."""
    broken = "import mcp_server.protocol.sdk as sdk; sdk._SERVER = 'mcp.no_such_module'; "
    code = broken + "sdk.load_for_stdio(); print('mcp' in __import__('sys').modules); "
    code += "from mcp.server.lowlevel import Server; print(Server.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "Server"], done.stderr
