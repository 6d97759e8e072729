"""The gate's figures: they may only improve."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import script

FIGURES = {
    "duplicated_lines": 9,
    "complexity_mean": 2.71,
    "functions_over_10": 4,
    "maintainability_mean": 60.4,
    "maintainability_lowest": 25.7,
}
BOUNDS = FIGURES | {"complexity_mean": 2.8, "maintainability_mean": 60, "maintainability_lowest": 25}
TWICE = "\n".join(f"    x{number} = a * {number}" for number in range(8))


@pytest.fixture(scope="module")
def quality() -> ModuleType:
    return script("quality")


def test_bounds_are_the_figures_cut_to_steps(quality: ModuleType):
    assert quality.renewed(FIGURES, {}) == BOUNDS
    assert quality.worse(FIGURES, BOUNDS) == []


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_beyond_its_bound_is_worse_and_one_within_it_tightens_it(quality: ModuleType, name: str):
    less = 1 if name in ("duplicated_lines", "complexity_mean", "functions_over_10") else -1
    assert quality.worse(FIGURES | {name: FIGURES[name] + 2 * less}, BOUNDS) == [name]
    better = quality.renewed(FIGURES | {name: FIGURES[name] - 2 * less}, BOUNDS)
    assert (better[name] - BOUNDS[name]) * less < 0


def test_bounds_never_loosen(quality: ModuleType):
    tight = {name: value - 1 if "maintain" not in name else value + 1 for name, value in BOUNDS.items()}
    assert quality.renewed(FIGURES, tight) == pytest.approx(tight)


def test_new_bounds_stand_under_the_files_own_comment(quality: ModuleType, tmp_path: Path):
    path = tmp_path / "quality.toml"
    path.write_text("# why\nduplicated_lines = 12\n")
    quality.write(path, {"duplicated_lines": 9, "complexity_mean": 2.8})
    assert path.read_text() == "# why\nduplicated_lines = 9\ncomplexity_mean = 2.8\n"


@pytest.mark.slow
def test_what_stands_twice_and_what_is_tangled_is_found(quality: ModuleType, tmp_path: Path):
    paths = [tmp_path / f"{name}.py" for name in ("one", "two", "empty")]
    for path in paths[:2]:
        path.write_text(f"def {path.stem}(a):\n{TWICE}\n    return {' or '.join('abcdefghijklm')}\n")
    paths[2].write_text("")
    figures, notes = quality.measure(paths)
    assert (figures["duplicated_lines"] >= 8, figures["functions_over_10"]) == (True, 2)
    assert figures["complexity_mean"] > 10 and any("one.py" in note for note in notes)
