#!/usr/bin/env python3
"""Figures of the code's quality, held against the bounds of quality.toml. Part of the gate: `scripts/check`.

    scripts/quality.py            print the figures; fail where one is worse than its bound
    scripts/quality.py --bounds   take better figures as the new bounds; change nothing where one is worse;
                                  a bound that is missing from the file is set

Duplication is what pylint's symilar finds: six lines or more, without comments, docstrings, imports and signatures.
Complexity and the maintainability index are radon's.
"""

import contextlib
import functools
import io
import math
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import astroid
from astroid.builder import AstroidBuilder
from pylint.checkers import symilar
from radon.complexity import cc_visit
from radon.metrics import mi_visit

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = Path(__file__).with_suffix(".toml")
PACKAGES = ("mcp_server", "tools", "resources")
COMPLEXITY_MAX = 10


class Kind(NamedTuple):
    """What a figure is, which way is better, and how finely its bound is kept: one function must not move a mean."""

    title: str
    less_is_better: bool
    step: float


KINDS = {
    "duplicated_lines": Kind("duplicated lines", True, 1),
    "complexity_mean": Kind("mean cyclomatic complexity of functions", True, 0.1),
    "functions_over_10": Kind("functions of a complexity over 10", True, 1),
    "maintainability_mean": Kind("mean maintainability index of files", False, 1),
    "maintainability_lowest": Kind("lowest maintainability index of a file", False, 1),
}


class Measured(NamedTuple):
    """The figures, and what stands behind them: where to look when one is worse."""

    figures: dict[str, float]
    notes: list[str]


def measure(paths: list[Path]) -> Measured:
    """The figures of these files. Empty ones do not count: they would lift every mean."""
    sources = {path: text for path in paths if (text := path.read_text("utf-8")).strip()}
    duplicated, blocks = duplication(sources)
    functions = complexities(sources)
    indices = {path: mi_visit(text, multi=True) for path, text in sources.items()}
    over = sorted((found for found in functions if found[0] > COMPLEXITY_MAX), reverse=True)
    lowest = min(indices, key=lambda path: indices[path])
    figures = {
        "duplicated_lines": duplicated,
        "complexity_mean": sum(complexity for complexity, _ in functions) / len(functions),
        "functions_over_10": len(over),
        "maintainability_mean": sum(indices.values()) / len(indices),
        "maintainability_lowest": indices[lowest],
    }
    complex_ones = [f"complexity {complexity}: {where}" for complexity, where in over]
    return Measured(figures, [*blocks, *complex_ones, f"lowest index: {lowest}"])


def complexities(sources: Mapping[Path, str]) -> list[tuple[int, str]]:
    """The complexity of every function and method, and where it stands."""
    return [
        (block.complexity, f"{path}:{block.lineno} {block.name}")
        for path, text in sources.items()
        for block in cc_visit(text)
        if block.letter in "FM"
    ]


def duplication(sources: Mapping[Path, str]) -> tuple[int, list[str]]:
    """How many lines stand twice, and the blocks they stand in."""
    found = symilar.Symilar(
        min_lines=6, ignore_comments=True, ignore_docstrings=True, ignore_imports=True, ignore_signatures=True
    )
    told = io.StringIO()
    # Syntax is enough here: to look up what every name stands for, and whose attributes are set, would take most of
    # the time.
    syntax_only = functools.partial(astroid.parse, apply_transforms=False)
    names_only = mock.patch.object(AstroidBuilder, "delayed_assattr", return_value=None)
    with mock.patch.object(astroid, "parse", syntax_only), names_only, contextlib.redirect_stdout(told):
        for path, text in sources.items():
            found.append_stream(str(path), io.StringIO(text))
        found.run()
    total = re.search(r"^TOTAL lines=\d+ duplicates=(\d+)", told.getvalue(), re.MULTILINE)
    if total is None:
        raise SystemExit(f"symilar told no total: {told.getvalue()[-500:]}")
    return int(total[1]), re.findall(r"^==\S+", told.getvalue(), re.MULTILINE)


def worse(figures: Mapping[str, float], bounds: Mapping[str, float]) -> list[str]:
    """The names of the figures that are worse than their bounds. One without a bound is not."""
    return [
        name
        for name, bound in bounds.items()
        if (figures[name] > bound if KINDS[name].less_is_better else figures[name] < bound)
    ]


def renewed(figures: Mapping[str, float], bounds: Mapping[str, float]) -> dict[str, float]:
    """Bounds as near to the figures as their steps allow; none is looser than it was."""
    result = dict[str, float]()
    for name, kind in KINDS.items():
        # Rounded before it is cut to steps: 2.7 / 0.1 is a little more than 27.
        steps = round(figures[name] / kind.step, 6)
        near = (math.ceil(steps) if kind.less_is_better else math.floor(steps)) * kind.step
        tighter = min if kind.less_is_better else max
        result[name] = round(tighter(near, bounds.get(name, near)), 6)
    return result


def write(path: Path, bounds: Mapping[str, float]) -> None:
    """Write the bounds, under the comment that the file already has."""
    head = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")] if path.exists() else []
    path.write_text("\n".join([*head, *(f"{name} = {bound:g}" for name, bound in bounds.items())]) + "\n", "utf-8")


def show(figures: Mapping[str, float], bounds: Mapping[str, float], failed: list[str]) -> None:
    """Print each figure with its bound."""
    for name, kind in KINDS.items():
        limit = f"{'at most' if kind.less_is_better else 'at least'} {bounds[name]:g}" if name in bounds else "no bound"
        print(f"{'WORSE' if name in failed else 'ok   '} {kind.title}: {figures[name]:.4g} ({limit})")


def main() -> int:
    """Measure and compare; the exit code."""
    renew = "--bounds" in sys.argv
    bounds = tomllib.loads(BOUNDS.read_text("utf-8")) if BOUNDS.exists() else {}
    os.chdir(ROOT)
    figures, notes = measure([path for package in PACKAGES for path in sorted(Path(package).rglob("*.py"))])
    failed = worse(figures, bounds) + ([] if renew else sorted(KINDS.keys() - bounds.keys()))
    show(figures, bounds, failed)
    if failed:
        print(*notes, sep="\n")
        return 1
    if renew:
        write(BOUNDS, renewed(figures, bounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
