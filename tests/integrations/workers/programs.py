"""npm's programs for tests: a folder with workerd and esbuild, which `scripts/check` prepares. Without it the tests
that need them are skipped with the reason."""

from pathlib import Path

import pytest

from mcp_server.integrations.workers.binaries import find_esbuild, find_workerd
from mcp_server.kernel.errors import OpsError

ROOT = Path(__file__).parent.parent.parent.parent
PROJECT = ROOT / ".check" / "npm"


def _found(find: object) -> Path | None:
    try:
        return find(None, [PROJECT])  # type: ignore[operator]
    except OpsError:
        return None


WORKERD = _found(find_workerd)
ESBUILD = _found(find_esbuild)
needs_workerd = pytest.mark.skipif(WORKERD is None, reason="npm's workerd is not installed: run scripts/check")
needs_esbuild = pytest.mark.skipif(ESBUILD is None, reason="npm's esbuild is not installed: run scripts/check")
