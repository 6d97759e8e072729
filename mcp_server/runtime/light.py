"""What every process of ours leaves to be loaded when it is used, although others import it at once.

On stdio there is one server for each client, so what each weighs counts: together a fifth of the bare SDK's memory.
"""

import importlib
import sys
from types import ModuleType

from mcp_server.kernel.loading import absent, leave_unopened


def begin_light() -> None:
    """Before anything else is loaded."""
    with absent("_hashlib"):  # OpenSSL, 4 MB; Python has the same digests itself
        importlib.import_module("hmac")
    with absent("bz2", "lzma"):  # for archives, which nobody here makes, 1 MB
        importlib.import_module("shutil")
    for seldom_used in ("ssl", "tomllib"):
        leave_unopened(seldom_used)
    # Packages, mails and archives, 2 MB: pydantic asks it for the version of a package, if mail addresses are checked.
    leave_unopened("importlib.metadata", "entry_points", "version")
    _leave_plugins()


def load_anyio() -> None:
    """Load what serves everything, before what uses it."""
    leave_unopened("asyncio.sslproto")
    ssl = leave_unopened("ssl")
    if "SSLContext" not in vars(ssl):
        vars(ssl)["SSLContext"] = object  # imported by name, for annotations alone
        importlib.import_module("anyio.streams.tls")
        del vars(ssl)["SSLContext"]


def hash_fast() -> None:
    """Take OpenSSL's digests, five times as fast: where many callers share a process, its size matters less."""
    importlib.reload(importlib.import_module("hashlib"))


def _leave_plugins() -> None:
    """Pydantic would look through all installed packages for plugins, of which this program has none."""
    finds_none = ModuleType("pydantic.plugin._loader")
    vars(finds_none)["get_plugins"] = tuple[()]
    sys.modules.setdefault(finds_none.__name__, finds_none)
