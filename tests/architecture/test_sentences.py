"""How values stand in what callers read: in JSON's quotes, as they are typed in the next call, and never as Python has
them."""

import ast
from pathlib import Path

import pytest

import mcp_server
import tools

HOUSE = Path(mcp_server.__file__).parent
ROOMS = [
    *(
        HOUSE / "domain" / area
        for area in ("messages", "email", "approvals", "calls", "deployments", "events", "commit")
    ),
    Path(tools.__file__).parent,
]
KERNEL = [HOUSE / "kernel" / f"{name}.py" for name in ("addresses", "authority", "keys", "paging", "positions")]


def as_python_has_them(path: Path) -> list[int]:
    """The lines in which a value is put into a text by `!r`, or by `repr`."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    by_sign = [node.lineno for node in nodes if isinstance(node, ast.FormattedValue) and node.conversion == ord("r")]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return by_sign + [node.lineno for node in calls if getattr(node.func, "id", "") == "repr"]


@pytest.mark.parametrize("path", [*(one for room in ROOMS for one in sorted(room.glob("*.py"))), *KERNEL], ids=str)
def test_no_sentence_shows_a_value_as_python_has_it(path: Path):
    assert as_python_has_them(path) == [], path


def test_a_value_that_python_would_show_is_noticed(tmp_path: Path):
    file = tmp_path / "x.py"
    file.write_text('def f(a):\n    return f"{a!r}"\n\n\ndef g(a):\n    return repr(a)\n', "utf-8")
    assert as_python_has_them(file) == [2, 6]
