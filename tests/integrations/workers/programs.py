"""npm's programs for tests, in a folder that `scripts/check` prepares: workerd, esbuild and, for slow tests, wrangler.
Without it the tests that need them are skipped with the reason."""

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
WRANGLER = PROJECT / "node_modules" / ".bin" / "wrangler"
needs_workerd = pytest.mark.skipif(WORKERD is None, reason="npm's workerd is not installed: run scripts/check")
needs_esbuild = pytest.mark.skipif(ESBUILD is None, reason="npm's esbuild is not installed: run scripts/check")
needs_wrangler = pytest.mark.skipif(not WRANGLER.exists(), reason="npm's wrangler is missing: run scripts/check --slow")
