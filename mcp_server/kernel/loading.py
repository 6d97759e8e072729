"""Loading other people's modules without what they bring along and this process may never use.

What Python 3.15 has as lazy imports (PEP 810), as far as it is needed here, for modules that others import.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any, cast

Loading = Callable[[], contextlib.AbstractContextManager[None]]
_OPENING = threading.RLock()


class Unopened(ModuleType):
    """A module whose own code runs when a name of it is first asked for; modules below it can be imported before."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__loader__, self.__file__ = spec, spec.loader, spec.origin
        self.__package__ = spec.parent
        if spec.submodule_search_locations is not None:
            self.__path__ = spec.submodule_search_locations
        self._closed = [spec.loader]

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        _open(self)
        return super().__getattribute__(name)


class _Placeholder(ModuleType):
    """A module whose every name is a class that nobody makes one of."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


class _Late:
    """A thing of a module that is loaded as soon as the thing is asked for anything."""

    def __init__(self, real: Callable[[], Any]) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __get_pydantic_core_schema__(self, _source: object, handler: Callable[[Any], Any]) -> Any:
        return handler(self._real())  # by which pydantic checks as the type itself would have it


class _Naming(ModuleType):
    """A module that is not loaded, to who imports things from it by name."""

    def __init__(self, name: str, loading: Loading) -> None:
        super().__init__(name)
        self._loading = loading

    def __getattr__(self, name: str) -> _Late:
        if name.startswith("__"):
            raise AttributeError(name)
        return vars(self).setdefault(name, _Late(partial(self._thing, name)))

    def _thing(self, name: str) -> Any:
        with self._loading():
            return getattr(import_module(self.__name__), name)


def leave_unopened(name: str, *functions: str) -> ModuleType:
    """Import a module without running its code, unless it is loaded already.

    Args:
        name: the module. One above it is imported.
        functions: those of it that others import by name: they open it when they are called.

    Returns:
        The module.
    """
    above, _, last = name.rpartition(".")
    spec = None if name in sys.modules else PathFinder.find_spec(name, _locations(above))
    if spec is None or spec.loader is None:
        return import_module(name)
    module = sys.modules[name] = Unopened(spec)
    vars(module).update({function: partial(_call, module, function) for function in functions})
    if above:  # as if it had been imported: it is an attribute of what is above it
        setattr(import_module(above), last, module)
    return module


def _locations(name: str) -> "list[str] | None":
    spec = find_spec(name) if name else None
    return None if spec is None else list(spec.submodule_search_locations or [])


def _open(module: Unopened) -> None:
    with _OPENING:
        closed = vars(module)["_closed"]
        if closed:
            closed.pop().exec_module(module)


def _call(module: Unopened, function: str, *args: Any, **kwargs: Any) -> Any:
    _open(module)
    return vars(module)[function](*args, **kwargs)


@contextlib.contextmanager
def placeholders(*names: str) -> Generator[None]:
    """Meanwhile, modules that are not loaded stand empty: what is imported from them is a class of no use."""
    with _in_the_place_of(names, _Placeholder):
        yield


@contextlib.contextmanager
def late(*names: str, loading: Loading = contextlib.nullcontext) -> Generator[None]:
    """Meanwhile, what is imported by name from modules that are not loaded waits to be loaded until it is asked for
    anything. For what is called, is asked for an attribute, or checks something for pydantic.

    Args:
        names: the modules.
        loading: entered while one is loaded.
    """
    with _in_the_place_of(names, partial(_Naming, loading=loading)):
        yield


@contextlib.contextmanager
def _in_the_place_of(names: Iterable[str], stand_in: Callable[[str], ModuleType]) -> Generator[None]:
    missing = [name for name in names if name not in sys.modules]
    sys.modules.update({name: stand_in(name) for name in missing})
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


@contextlib.contextmanager
def absent(*names: str) -> Generator[None]:
    """Meanwhile, modules that are not loaded are not installed."""
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    missing = [name for name in names if name not in modules]
    modules.update(dict.fromkeys(missing))  # None is what Python itself understands as: there is none
    try:
        yield
    finally:
        for name in missing:
            del modules[name]
