"""What the packages import is declared, and what is declared is imported: nothing comes along by luck of another."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from tests.architecture.test_house import MODULES, PACKAGES, PYPROJECT, ROOT, nodes_of

PROJECT = PYPROJECT["project"]
WITHOUT_AN_IMPORT = {
    "pysqlite3": "imported by name, where a wheel of it exists",
    "httptools": "uvicorn takes it where it exists",
    "uvloop": "anyio is told to take it where it exists",
    "tzdata": "zones that a host lacks; zoneinfo finds the package by itself",
}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, str]:
    """Each declared distribution and its requirement."""
    requirements = [*PROJECT["dependencies"]]
    for extra, asked in PROJECT["optional-dependencies"].items():
        requirements += asked if extra != "all" else []  # which is the others together
    names = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {normalized(name[0]): text for name, text in zip(names, requirements, strict=True) if name}


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The top-level modules that a module imports anywhere: at its head, in a function, for types only."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


@cache
def foreign() -> dict[str, str]:
    """Each third-party module that is imported, and where."""
    found = dict[str, str]()
    for path in MODULES:
        for module in imported(nodes_of(path)):
            if module not in sys.stdlib_module_names and module not in PACKAGES:
                found.setdefault(module, str(path.relative_to(ROOT)))
    return found


@cache
def distributions() -> Mapping[str, list[str]]:
    """Which distributions bring a module."""
    return packages_distributions()


def test_an_import_is_found_wherever_it_stands():
    source = "import a.b\nif TYPE_CHECKING:\n    from c import d\ndef f():\n    import e\n    from . import g\n"
    assert set(imported(ast.walk(ast.parse(source)))) == {"a", "c", "e"}


# One test for all modules: a test for each would have every worker read all sources while it collects.
def test_what_is_imported_is_declared():
    undeclared = {
        module: path
        for module, path in foreign().items()
        if not {normalized(name) for name in distributions().get(module, [module])} & declared().keys()
    }
    assert undeclared == {}
    assert {"mcp", "pydantic"} <= foreign().keys()


@pytest.mark.parametrize("name", sorted(declared()))
def test_what_is_declared_is_imported(name: str):
    used = {normalized(provider) for module in foreign() for provider in distributions().get(module, [module])}
    assert (name in used) != (name in WITHOUT_AN_IMPORT), f"{name} is declared; imported: {name in used}"


@pytest.mark.parametrize("name", sorted(declared()))
def test_every_dependency_has_a_lower_bound_and_a_reason(name: str):
    assert ">=" in declared()[name]
