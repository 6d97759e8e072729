"""What the packages import is declared, and what is declared is imported: nothing comes along by luck of another."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("mcp_server", "tools", "resources")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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


def imported(source: str) -> Iterator[str]:
    """The top-level modules that a module imports anywhere: at its head, in a function, for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def foreign() -> dict[str, str]:
    """Each third-party module that is imported, and where."""
    found = dict[str, str]()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for module in imported(path.read_text()):
                if module not in sys.stdlib_module_names and module not in PACKAGES:
                    found.setdefault(module, str(path.relative_to(ROOT)))
    return found


DISTRIBUTIONS = packages_distributions()
FOREIGN = foreign()


def test_an_import_is_found_wherever_it_stands():
    source = "import a.b\nif TYPE_CHECKING:\n    from c import d\ndef f():\n    import e\n    from . import g\n"
    assert set(imported(source)) == {"a", "c", "e"}


@pytest.mark.parametrize("module", FOREIGN)
def test_what_is_imported_is_declared(module: str):
    providers = {normalized(name) for name in DISTRIBUTIONS.get(module, [module])}
    assert providers & declared().keys(), f"{module}, imported by {FOREIGN[module]}, is not declared"


@pytest.mark.parametrize("name", sorted(declared()))
def test_what_is_declared_is_imported(name: str):
    used = {normalized(provider) for module in FOREIGN for provider in DISTRIBUTIONS.get(module, [module])}
    assert (name in used) != (name in WITHOUT_AN_IMPORT), f"{name} is declared; imported: {name in used}"


@pytest.mark.parametrize("name", sorted(declared()))
def test_every_dependency_has_a_lower_bound_and_a_reason(name: str):
    assert ">=" in declared()[name]
    table = (ROOT / "docs" / "architecture.md").read_text().partition("## Runtime dependencies")[2]
    assert name in re.findall(r"[\w-]+", table), f"docs/architecture.md does not say why {name}"


def test_all_is_every_extra():
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    assert everything == f"{PROJECT['name']}[{','.join(name for name in extras if name != 'all')}]"
