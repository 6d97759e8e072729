"""What a server does not need is not loaded, also where it is installed."""

import subprocess
import sys

LOOK = """
import sys
from mcp_server.observability.plain import load_structlog
load_structlog()
import structlog
assert not [name for name in sys.modules if name.partition(".")[0] == "rich"]
print(structlog.dev.ConsoleRenderer(colors=False)(None, "", {"event": "said"}))
import importlib.util
assert importlib.util.find_spec("rich") is None or __import__("rich")
"""


def test_structlog_comes_without_rich_and_rich_can_be_loaded_later():
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "said" in done.stdout
