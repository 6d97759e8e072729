"""Loading the MCP SDK without what stdio never uses.

`import mcp` brings its client, its HTTP servers, their web framework and cryptography: a third of its time, and of its
memory. Here the packages stay unopened until somebody asks for one of their names, and the server's module is loaded
with placeholders for what only its HTTP side names.
"""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Generator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import cast

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


class _Unopened(ModuleType):
    """A package whose own code runs when a name of it is first asked for; its modules can be imported before."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__loader__, self.__file__ = spec, spec.loader, spec.origin
        self.__package__, self.__path__ = spec.name, spec.submodule_search_locations or []
        self._closed = [spec.loader]

    def __getattr__(self, name: str) -> object:
        loader = None if name.startswith("_") or not self._closed else self._closed.pop()
        if loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        loader.exec_module(self)
        return getattr(self, name)


class _Placeholder(ModuleType):
    """A module whose every name is a class that nobody makes one of."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def load_for_stdio() -> None:
    """Load what serving over stdio needs of the SDK, unless all of it is loaded already.

    Should a release of the SDK not be made so any more, the rest of the program loads all of it.
    """
    if _PACKAGE in sys.modules:
        return
    try:
        for name in (_PACKAGE, _SERVERS):
            sys.modules[name] = _Unopened(cast("ModuleSpec", importlib.util.find_spec(name)))
        # As if it had been imported: its module is an attribute of its package.
        sys.modules[_PACKAGE].__dict__["server"] = sys.modules[_SERVERS]
        with _placeholders():
            importlib.import_module(_SERVER)
    except Exception:
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]


@contextlib.contextmanager
def _placeholders() -> Generator[None]:
    absent = [name for name in _OF_HTTP if name not in sys.modules]
    sys.modules.update({name: _Placeholder(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
