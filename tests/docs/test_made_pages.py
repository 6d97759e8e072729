"""Pages and pictures that are made of the code are those that the code of today makes."""

import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


def script(name: str) -> Any:
    """A script of ours as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_settings_says_what_can_be_set():
    settings = script("settings")
    assert settings.PAGE.read_text("utf-8") == settings.page(), "run: python scripts/settings.py"


def test_the_picture_is_the_one_that_is_drawn():
    picture = script("picture")
    assert picture.PICTURE.read_text("utf-8") == picture.picture(), "run: python scripts/picture.py"
