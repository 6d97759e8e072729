"""Loading structlog without what it takes along where that is installed.

That is rich, for tracebacks in colour, and greenlet, for a way to bind values that is not used here: 6 MB and a tenth
of a server's start. A server's log is read by machines, or by people without colours.
"""

import importlib

from mcp_server.kernel.loading import absent, leave_unopened


def load_structlog() -> None:
    """Load structlog as it would be where neither is installed, unless they are loaded already. Nor is pickle opened,
    0.3 MB, of which it names an error by which it refuses to be pickled."""
    pickle = vars(leave_unopened("pickle"))
    pickle.setdefault("PicklingError", _RefusesToBePickled)
    with absent("rich", "greenlet"):
        importlib.import_module("structlog")
    if pickle["PicklingError"] is _RefusesToBePickled:  # it is still closed
        del pickle["PicklingError"]


class _RefusesToBePickled(Exception):
    """In the place of pickle's own error."""
