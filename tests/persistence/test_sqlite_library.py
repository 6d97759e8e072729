"""One SQLite library serves a process: the best that is there, or the one that is named; an unsafe one is refused in a
line that says what can be done on this very machine."""

import json
import os
import subprocess
import sys
from collections.abc import Set
from pathlib import Path

import pytest

from mcp_server.persistence.sqlite.library import CHOICE, is_safe, remedy

ROOT = Path(__file__).parent.parent.parent

HIDDEN = """
import sys
class Hides:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hides())
"""
ASK = """
from mcp_server.persistence.sqlite.library import load_library
print(load_library().__name__)
import sqlite3, aiosqlite
print(sqlite3.connect.__module__ or sqlite3.__name__, "_sqlite3" in sys.modules)
"""
OWN = subprocess.run(
    [sys.executable, "-c", "import sqlite3; print(*sqlite3.sqlite_version_info)"], capture_output=True, text=True
).stdout.split()
needs_an_unsafe_one = pytest.mark.skipif(
    is_safe((int(OWN[0]), int(OWN[1]), int(OWN[2]))), reason="this Python's own SQLite is safe"
)
RUN = "from mcp_server.__main__ import main; sys.argv[0] = 'data-mcp-server-agent'; main()"


def python(
    code: str,
    *arguments: str,
    hidden: Set[str] = frozenset(),
    choice: str = "",
    said: str = "",
    encoding: str = "utf-8",
) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh Python in which some packages are not installed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, "-c", HIDDEN.format(hidden=set(hidden)) + code, *arguments],
        input=said,
        capture_output=True,
        encoding=encoding,
        timeout=60,
        env=clean | {CHOICE: choice, "PYTHONIOENCODING": encoding},
    )


@pytest.mark.parametrize(
    ("hidden", "choice", "expected"),
    [
        (set[str](), "", "pysqlite3.dbapi2"),
        ({"pysqlite3"}, "", "mcp_server.persistence.sqlite.door"),
        (set[str](), "apsw", "mcp_server.persistence.sqlite.door"),
        ({"pysqlite3", "apsw"}, "", "sqlite3"),
        (set[str](), "sqlite3", "sqlite3"),
    ],
)
def test_the_best_library_that_is_there_serves_or_the_one_that_is_named(
    hidden: set[str], choice: str, expected: str
) -> None:
    name, standard = python(ASK, hidden=hidden, choice=choice).stdout.splitlines()
    assert name == expected
    assert standard.endswith(str(expected == "sqlite3"))  # of others, the standard library's own is never loaded


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["apsw", pytest.param("nonsense", marks=pytest.mark.slow)])
def test_a_library_that_is_named_and_not_there_is_told(choice: str, tmp_path: Path) -> None:
    done = python(RUN, "approvals", "list", "--database", f"sqlite:///{tmp_path}/x.db", hidden={"apsw"}, choice=choice)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{choice!r}, is not installed" in done.stderr


@pytest.mark.parametrize(
    ("system", "machine", "package"),
    [
        ("linux", "x86_64", "pysqlite3"),
        ("linux", "aarch64", "apsw"),
        ("darwin", "arm64", "pysqlite3"),
        ("darwin", "x86_64", "apsw"),
        ("win32", "AMD64", "pysqlite3"),
        ("win32", "ARM64", "apsw"),
        ("win32", "x86", "pysqlite3"),
    ],
)
def test_the_remedy_is_what_has_a_wheel_there(system: str, machine: str, package: str) -> None:
    assert f"(pip install {package})" in remedy(system, machine)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that was made with a safe library."""
    url = f"sqlite:///{tmp_path_factory.mktemp('made')}/desk.db"
    assert python(RUN, "approvals", "list", "--database", url).returncode == 0
    return url


@pytest.mark.slow
@needs_an_unsafe_one
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(arguments, id=arguments[0])
        for arguments in [
            ("inbox",),
            ("serve",),
            ("approvals", "approve", "x", "--yes"),
            ("import", "-"),
            ("worker", "a", "--", "true"),
        ]
    ],
)
def test_every_command_says_in_one_line_that_no_safe_library_is_there(arguments: tuple[str, ...], database: str):
    name, *rest = arguments
    done = python(RUN, name, "--database", database, *rest, hidden={"pysqlite3", "apsw"})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "can corrupt a database" in done.stderr and remedy() in done.stderr


@pytest.mark.slow
@needs_an_unsafe_one
def test_doctor_names_the_remedy_where_no_safe_library_is_there(database: str):
    done = python(RUN, "doctor", "--database", database, hidden={"pysqlite3", "apsw"})
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "FAIL sqlite_library" in done.stdout and f"-> {remedy()}." in done.stdout


@pytest.mark.slow
@needs_an_unsafe_one
def test_a_client_that_has_shaken_hands_is_answered_why_there_is_no_server(database: str):
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    asked = [{"id": 1, "method": "initialize", "params": about}, {"id": 2, "method": "tools/list"}]
    lines = "".join(json.dumps({"jsonrpc": "2.0"} | one) + "\n" for one in asked)
    done = python(RUN, "serve", "--database", database, hidden={"pysqlite3", "apsw"}, said=lines)
    shaken, refused = map(json.loads, done.stdout.splitlines())
    assert (shaken["id"], refused["id"], done.returncode) == (1, 2, 1)
    assert "can corrupt a database" in refused["error"]["message"]


@pytest.mark.slow
@needs_an_unsafe_one
@pytest.mark.parametrize("arguments", [("demo",), ("call", "tasks_find")], ids=lambda arguments: arguments[0])
def test_what_starts_a_server_says_in_one_line_that_no_safe_library_is_there(
    arguments: tuple[str, ...], tmp_path: Path
):
    hidden = {"pysqlite3", "apsw"}
    (tmp_path / "server.py").write_text(
        HIDDEN.format(hidden=hidden) + f"sys.argv[1:3] = []; sys.path[0] = {str(ROOT)!r}; " + RUN
    )
    other = tmp_path / "python"  # the server is a process of its own, with little of this environment
    other.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/server.py "$@"\n')
    other.chmod(0o755)
    done = python(f"sys.executable = {str(other)!r}; " + RUN, *arguments, hidden=hidden)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "can corrupt a database" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["backup", "export"])
def test_no_command_loads_a_second_library(name: str, database: str, tmp_path: Path):
    telling = "import atexit; atexit.register(lambda: print('_sqlite3' in sys.modules, file=sys.stderr)); "
    done = python(telling + RUN, name, str(tmp_path / "copy"), "--database", database)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "False"), done.stderr


@pytest.mark.slow
def test_what_a_pipe_cannot_take_is_written_as_escapes(database: str):
    """A pipe on Windows has the code page of the machine."""
    done = python(RUN, "inbox", "--database", database, "--send", "user:ヤマダ", "hello", encoding="cp1252")
    assert done.returncode == 0 and "\\u30e4\\u30de\\u30c0" in done.stdout, done.stderr
