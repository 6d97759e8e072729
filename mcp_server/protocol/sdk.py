"""Loading the MCP SDK without what stdio never uses.

`import mcp` brings its client, its HTTP servers, their web framework and cryptography: a third of its time, and of its
memory. Here the packages stay unopened until somebody asks for one of their names, and the server's module is loaded
with placeholders for what only its HTTP side names. The types of each era's messages, which the SDK's tables name and
of which one client speaks one, are loaded when a message is first checked by one, 1.6 MB for each era, and become
validators when they are first used. So is what makes spans, which nobody takes unless OpenTelemetry's SDK is there.
"""

import contextlib
import importlib
import sys
from collections.abc import Generator
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter

from mcp_server.kernel.loading import late, leave_unopened, placeholders

_PACKAGE = "mcp"
_SERVERS = "mcp.server"
_SERVER = "mcp.server.lowlevel.server"
_AUTH = "mcp.server.auth"
_OF_HTTP = (
    *("starlette.applications", "starlette.middleware", "starlette.middleware.authentication", "starlette.routing"),
    *(f"{_AUTH}.middleware.auth_context", f"{_AUTH}.middleware.bearer_auth", f"{_AUTH}.provider", f"{_AUTH}.routes"),
    *(f"{_AUTH}.settings", "mcp.server.streamable_http", "mcp.server.streamable_http_manager"),
    "mcp.server.transport_security",
)
_OF_SPANS = "mcp.server._otel"
_WHEN_USED = ("mcp_types._v2025_11_25", "mcp_types._v2026_07_28", "opentelemetry.trace", "mcp.shared._otel")


def load_for_stdio() -> None:
    """Load what serving over stdio needs of the SDK, unless all of it is loaded already.

    Should a release of the SDK not be made so any more, the rest of the program loads all of it.
    """
    if _PACKAGE in sys.modules:
        return
    try:
        for name in (_PACKAGE, _SERVERS):
            leave_unopened(name)
        spans = () if is_traced() else (_OF_SPANS,)
        with (
            placeholders(*_OF_HTTP, *spans),
            late(*_WHEN_USED, loading=_validators_when_used),
            _validators_when_used(),
        ):
            importlib.import_module(_SERVER)
    except Exception:
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]


def is_traced() -> bool:
    """Whether somebody takes the spans that the SDK would make for every message."""
    return "opentelemetry.sdk" in sys.modules


@contextlib.contextmanager
def _validators_when_used() -> Generator[None]:
    """Meanwhile, models and adapters are made as with pydantic's `defer_build`."""
    adapters: dict[str, Any] = cast(
        "Any", TypeAdapter
    ).__init__.__kwdefaults__  # there is no other way to tell them all
    BaseModel.model_config["defer_build"] = True
    adapters["config"] = {"defer_build": True}
    try:
        yield
    finally:
        del BaseModel.model_config["defer_build"]
        adapters["config"] = None
