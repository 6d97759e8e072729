"""The house's own rules: small files, small functions, every module in a layer, names that are ours alone."""

import ast
import re
import tomllib
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("mcp_server", "tools", "resources")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOUSE = PYPROJECT["tool"]["importlinter"]["contracts"][0]
LAYERS = [name for line in HOUSE["layers"] for name in re.findall(r"[\w.]+", line)]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def parsed(path: Path) -> tuple[str, ast.Module]:
    source = path.read_text()
    return source, ast.parse(source)


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a module: it is read once for all tests that look at it."""
    return tuple(ast.walk(parsed(path)[1]))


def is_long(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 60


def test_files_and_functions_stay_small():
    assert [name_of(path) for path in MODULES if len(parsed(path)[0].splitlines()) > 400] == []
    long = [(name_of(path), node.name) for path in MODULES for node in nodes_of(path) if is_long(node)]
    assert long == []


def test_every_module_says_what_lives_in_it():
    assert [name_of(path) for path in MODULES if parsed(path)[0] and not ast.get_docstring(parsed(path)[1])] == []


def is_only_a_holder_of_layers(path: Path) -> bool:
    """Such a package is no layer itself, so it may know nobody."""
    return (
        path.stem == "__init__"
        and any(layer.startswith(f"{name_of(path)}.") for layer in LAYERS)
        and not any(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes_of(path))
    )


def test_every_module_sits_in_one_layer_of_the_house():
    homes = {
        name_of(path): [layer for layer in LAYERS if f"{name_of(path)}.".startswith(f"{layer}.")]
        for path in MODULES
        if not is_only_a_holder_of_layers(path)
    }
    assert {name: layers for name, layers in homes.items() if len(layers) != 1} == {}


def test_no_dependency_ships_our_import_names():
    ours = {"data-mcp-server-agent"}
    for distribution in distributions():
        if distribution.metadata["Name"] in ours:
            continue
        tops = {file.parts[0] for file in distribution.files or () if len(file.parts) > 1}
        assert not tops & set(PACKAGES), distribution.metadata["Name"]


def test_heavy_and_optional_parts_are_not_imported_by_a_start():
    import subprocess
    import sys

    probe = (
        "import sys, mcp_server.app, mcp_server.observability.logs\n"
        "heavy = ('psycopg', 'prometheus_client', 'aiortc', 'cloudflare', 'aiosmtplib', 'jinja2')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_manifest_agrees_with_the_package():
    import json

    from mcp_server import __version__

    manifest = json.loads((ROOT / "server.json").read_text())
    assert manifest["version"] == __version__ == manifest["packages"][0]["version"]
    assert manifest["packages"][0]["identifier"] == "data-mcp-server-agent"
    assert PYPROJECT["project"]["version"] == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
