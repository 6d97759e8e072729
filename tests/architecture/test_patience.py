"""That a machine is busy decides no test: what only keeps a test from hanging leaves it its time. How soon something
must be done is measured by `tests.patience`, which leaves out what the machine was too busy for."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SECONDS_MIN = 40
"""Shorter than the longest wait of a call, so that who is to be woken and is not is noticed."""
GIVE_UP = {"timeout", "fail_after", "wait_for"}
"""What has its limit as an argument of its own; whoever else has one calls it `timeout`."""
LOOK = {"wait", "acquire", "connect", "task"}
"""Those that go on where nothing came in time, and those to which the word says something else."""


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_to_end(node: ast.AST) -> bool:
    """Whether it is the end of the time that is looked for."""
    return isinstance(node, ast.With) and any(
        ast.unparse(item.context_expr) == "pytest.raises(TimeoutError)" for item in node.items
    )


def limits(node: ast.AST) -> Iterator[tuple[int, float]]:
    """Where something is given up after how many seconds."""
    if is_to_end(node):
        return
    if isinstance(node, ast.Call):
        given = node.args if name_of(node) in GIVE_UP else []
        named = [one.value for one in node.keywords if one.arg == "timeout" and name_of(node) not in LOOK]
        for one in (*given, *named):
            if isinstance(one, ast.Constant) and isinstance(one.value, int | float):
                yield node.lineno, one.value
    for child in ast.iter_child_nodes(node):
        yield from limits(child)


def hasty(source: str) -> list[int]:
    """The lines at which a busy machine would be given up."""
    return [line for line, seconds in limits(ast.parse(source)) if 0 < seconds < SECONDS_MIN]


def test_no_test_gives_up_a_machine_that_is_busy():
    files = sorted((ROOT / "tests").rglob("*.py"))
    assert {str(path.relative_to(ROOT)): lines for path in files if (lines := hasty(path.read_text()))} == {}


def test_a_hasty_limit_is_found_but_where_its_end_is_looked_for():
    assert hasty("async with asyncio.timeout(5):\n    pass") == [1]
    assert hasty("await asyncio.wait_for(one, 10)\nwith AsyncClient(timeout=20) as http:\n    pass") == [1, 2]
    assert hasty("with pytest.raises(TimeoutError):\n    with fail_after(1):\n        pass") == []
    assert hasty("news.notifies(timeout=0)") == []
    assert hasty("async with asyncio.timeout(60), held(5):\n    await asyncio.wait([one], timeout=0.2)") == []
