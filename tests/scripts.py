"""The programs in `scripts/`, as modules."""

import importlib.util
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent.parent / "scripts"


@cache
def script(name: str) -> ModuleType:
    """One of them, by its name without `.py`, which some have not."""
    path = FOLDER / name if (FOLDER / name).is_file() else FOLDER / f"{name}.py"
    loader = SourceFileLoader(f"script_{name}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
