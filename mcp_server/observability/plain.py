"""Loading structlog without what it takes along where that is installed.

That is rich, for tracebacks in colour, and greenlet, for a way to bind values that is not used here: 6 MB and a tenth
of a server's start. A server's log is read by machines, or by people without colours.
"""

import importlib

from mcp_server.kernel.loading import absent


def load_structlog() -> None:
    """Load structlog as it would be where neither is installed, unless they are loaded already."""
    with absent("rich", "greenlet"):
        importlib.import_module("structlog")
