#!/usr/bin/env python3
"""The files `known.jsonl`, made of the records of areas, tools and resources: what is known before one is loaded.

python scripts/known.py    write them anew; a test sees whether that is due
"""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
FILES = tuple(ROOT / package / "known.jsonl" for package in ("mcp_server/domain", "tools", "resources"))
if __name__ == "__main__":
    for file in FILES:  # what makes them reads them and needs nothing of them: an older one might not be understood
        file.write_text("")

from mcp_server.domain.areas import NAMES, load  # noqa: E402
from mcp_server.kernel.areas import Known  # noqa: E402
from resources import known as resources  # noqa: E402
from tools import TOOLS  # noqa: E402
from tools.known import line, tools_of  # noqa: E402


def areas() -> str:
    """What is known of areas."""
    return "".join(f"{Known.of(load(name)).line()}\n" for name in NAMES)


def tools() -> str:
    """What is known of tools."""
    return "".join(f"{line(name, tool)}\n" for name in TOOLS.modules() for tool in tools_of(name))


PAGES: dict[Path, Callable[[], str]] = dict(zip(FILES, (areas, tools, resources), strict=True))
"""What each of them is to hold."""

if __name__ == "__main__":
    for file, page in PAGES.items():
        file.write_text(page(), "utf-8")
