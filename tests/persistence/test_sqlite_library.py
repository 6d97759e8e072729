"""One SQLite library serves a process: the best that is there, or the one that is named; an unsafe one is refused in a
line that says what can be done on this very machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_server.persistence.sqlite.library import CHOICE, remedy

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
RUN = "from mcp_server.__main__ import main; sys.argv[0] = 'data-mcp-server-agent'; main()"


def python(
    code: str, *arguments: str, hidden: set[str] = frozenset(), choice: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh Python in which some packages are not installed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, "-c", HIDDEN.format(hidden=set(hidden)) + code, *arguments],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        env=clean | {CHOICE: choice},
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


@pytest.mark.parametrize("choice", ["apsw", "nonsense"])
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
