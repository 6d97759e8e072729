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


def test_what_only_http_needs_is_not_loaded_for_stdio() -> None:
    """Nor is it by anything that a server on stdio is built from."""
    loaded = run(
        "import mcp_server.protocol.stdio, mcp_server.app; "
        "print(*{name.partition('.')[0] for name in sys.modules} | {n for n in sys.modules if n.startswith('mcp.')})"
    ).split()
    assert "mcp.server.lowlevel.server" in loaded
    for heavy in ("starlette", "uvicorn", "httpx2", "cryptography", "sse_starlette", "mcp.client", "mcp.server.auth"):
        assert heavy not in loaded


def test_the_rest_of_the_sdk_is_there_when_it_is_asked_for() -> None:
    """Its packages open when a name of theirs is used, and web modules are the real ones afterwards. A name that they
    do not have is missing as ever."""
    code = "import mcp.server; mcp.server.MCPServer; from mcp import types; from mcp.client import Client; "
    code += "import starlette.routing; assert starlette.routing.Route is not object; "
    code += "print(Client.__name__, hasattr(mcp, 'no_such_name'), hasattr(mcp, 'no_such_name'))"
    assert run(code) == "Client False False"


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
