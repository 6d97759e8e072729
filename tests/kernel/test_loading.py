"""Modules that are left unopened are the same as any other to whoever uses them."""

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from mcp_server.kernel.loading import absent, late, leave_unopened, placeholders


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where modules of this test are; none is loaded afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_modules_code_runs_when_a_name_is_first_asked_for_and_once(folder: Path) -> None:
    (folder / "counted_m.py").write_text("import sys\nsys.counted_m = getattr(sys, 'counted_m', 0) + 1\nvalue = 7\n")
    module = leave_unopened("counted_m")
    import counted_m

    assert counted_m is module
    assert not hasattr(module, "__all__")
    assert not hasattr(sys, "counted_m")
    assert [counted_m.value, counted_m.value, sys.counted_m] == [7, 7, 1]
    assert leave_unopened("counted_m") is module
    with pytest.raises(AttributeError, match="module 'counted_m' has no attribute 'nothing'"):
        _ = counted_m.nothing


def test_two_threads_that_ask_at_once_both_get_the_name(folder: Path) -> None:
    (folder / "slow_m.py").write_text("import threading\nthreading.Event().wait(0.05)\nvalue = 7\n")
    module = leave_unopened("slow_m")
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(module.value)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [7, 7, 7, 7]


def test_functions_may_be_imported_by_name_and_open_the_module_when_they_are_called(folder: Path) -> None:
    (folder / "named_m.py").write_text("opened = True\ndef double(number, *, plus=0): return 2 * number + plus\n")
    module = leave_unopened("named_m", "double")
    from named_m import double

    assert "opened" not in vars(module)
    assert double(2, plus=1) == 5
    assert vars(module)["opened"]
    assert [double(3), module.double(3)] == [6, 6]


def test_what_is_imported_late_is_itself_as_soon_as_it_is_asked_for_anything(folder: Path) -> None:
    """It is called, has its attributes, and checks as the type that it is, without anybody having loaded it before."""
    (folder / "late_m.py").write_text(
        "from typing import ClassVar\nfrom pydantic import BaseModel\n"
        "def double(number): return 2 * number\n"
        "class Named(BaseModel):\n    KIND: ClassVar[int] = 7\n    name: str\n"
    )
    (folder / "naming_m.py").write_text("import late_m\nfrom late_m import Named, double\nsame = late_m.Named\n")
    entered: list[str] = []

    @contextmanager
    def loading() -> Generator[None]:
        entered.append("loading")
        yield

    with late("late_m", loading=loading):
        import naming_m
    assert "late_m" not in sys.modules and not entered
    assert naming_m.same is naming_m.Named
    assert [naming_m.double(2), naming_m.Named.KIND, entered] == [4, 7, ["loading", "loading"]]
    assert TypeAdapter(naming_m.Named).validate_python({"name": "n"}) == sys.modules["late_m"].Named(name="n")
    with pytest.raises(ValidationError, match="name"):
        naming_m.Named.model_validate({"name": 1})
    with pytest.raises(AttributeError):
        _ = naming_m.Named.nothing


def test_a_module_that_is_loaded_is_imported_from_as_ever(folder: Path) -> None:
    (folder / "loaded_m.py").write_text("value = 7\n")
    module = import_module("loaded_m")
    with late("loaded_m"):
        from loaded_m import value
    assert value == 7 and sys.modules["loaded_m"] is module


def test_a_module_in_a_package_is_an_attribute_of_it_and_knows_its_place(folder: Path) -> None:
    (folder / "package_m").mkdir()
    (folder / "package_m" / "__init__.py").write_text("from . import inner\n")
    (folder / "package_m" / "inner.py").write_text("from . import other\nvalue = other.value\n")
    (folder / "package_m" / "other.py").write_text("value = 7\n")
    inner = leave_unopened("package_m.inner")
    package = import_module("package_m")
    assert package.inner is inner
    assert "package_m.other" not in sys.modules
    assert package.inner.value == 7


def test_an_unopened_package_has_modules_below_it_and_names_made_when_asked(folder: Path) -> None:
    (folder / "outer_m").mkdir()
    (folder / "outer_m" / "__init__.py").write_text("raised = 1\ndef __getattr__(name): return name.upper()\n")
    (folder / "outer_m" / "below.py").write_text("value = 7\n")
    outer = leave_unopened("outer_m")
    assert import_module("outer_m.below").value == 7
    assert "raised" not in vars(outer)
    assert outer.anything == "ANYTHING"


def test_a_module_that_is_loaded_or_cannot_be_found_is_imported_as_ever() -> None:
    assert leave_unopened("json") is sys.modules["json"]
    with pytest.raises(ModuleNotFoundError):
        leave_unopened("no_such_module_m")


def test_what_stands_in_for_a_module_is_gone_afterwards(folder: Path) -> None:
    (folder / "real_m.py").write_text("class Real: pass\n")
    with placeholders("real_m", "json"), absent("other_m", "re"):
        from real_m import Real

        assert Real is object
        assert import_module("json").loads("1") == 1
        with pytest.raises(ImportError):
            import_module("other_m")
        assert import_module("re").compile
    assert import_module("real_m").Real is not object
    assert "other_m" not in sys.modules
