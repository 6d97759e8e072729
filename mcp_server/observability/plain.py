"""Loading structlog without rich.

Where rich is installed, structlog brings it for tracebacks in colour: 5 MB and a tenth of a server's start. A server's
log is read by machines, or by people without colours.
"""

import importlib
import sys
from types import ModuleType
from typing import cast


def load_structlog() -> None:
    """Load structlog as it would be where rich is not installed, unless either is loaded already."""
    if "rich" in sys.modules:
        return
    absent = cast("dict[str, ModuleType | None]", sys.modules)
    absent["rich"] = None  # what Python itself understands as: there is none
    try:
        importlib.import_module("structlog")
    finally:
        del absent["rich"]
