"""What a model or an IDE can read: the catalogue of resources, as data. One scheme, `ops://`.

An area that can be read has a module of its name here; the health of the house comes last.
"""

import json
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from mcp_server.domain.areas import NAMES
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.remembering import Data, data_of, remembered
from resources.spec import Resource

FILE = Path(__file__).with_name("known.jsonl")
"""The data of each resource. What reads one is loaded when it is first read. Made by `python scripts/known.py`."""


def known() -> str:
    """What the file is to hold."""
    modules = [*(name for name in NAMES if find_spec(f"resources.{name}") is not None), "health", "skills"]
    return "".join(
        json.dumps([module, number, data_of(resource)]) + "\n"
        for module in modules
        for number, resource in enumerate(_of(module))
    )


def _of(module: str) -> tuple[Resource, ...]:
    return import_module(f"resources.{module}").RESOURCES


def _remembered(module: str, number: int, data: Data) -> Resource:
    data["permission"] = Permission(data["permission"])
    return remembered(Resource, data, partial(_real, module, number))


def _real(module: str, number: int) -> Resource:
    return _of(module)[number]


RESOURCES = tuple(_remembered(*json.loads(line)) for line in FILE.read_text("utf-8").splitlines())
