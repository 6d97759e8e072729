"""Records of which the data are kept in a file, so that the module in which they stand is loaded once a function of one
is called."""

from collections.abc import Callable, Collection
from dataclasses import fields
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

R = TypeVar("R")
Data = dict[str, Any]


def data_of(record: Any, by_name: Collection[str] = ()) -> Data:
    """The data of a record, a dataclass, as JSON values: all but its functions.

    Args:
        record: the record.
        by_name: functions that go along by their names, since they are to be called without the record.
    """
    held = {one.name: getattr(record, one.name) for one in fields(record)}
    return {
        name: f"{value.__module__}:{value.__qualname__}" if name in by_name and value is not None else value
        for name, value in held.items()
        if name in by_name or not callable(value)
    }


def remembered(kind: type[R], data: Data, real: Callable[[], R], by_name: Collection[str] = ()) -> R:
    """The record of which these are the data.

    Args:
        kind: its class.
        data: as `data_of` gives them.
        real: loads the record itself, whose functions are called.
        by_name: those that go by their names.
    """
    held: Data = {one.name: partial(_call, real, one.name) for one in fields(kind)} | data  # pyright: ignore[reportArgumentType] - a dataclass
    held |= {name: partial(_call_named, data[name]) for name in by_name if data.get(name) is not None}
    return kind(**held)


def _call(real: Callable[[], Any], name: str, /, *args: Any, **kwargs: Any) -> Any:
    return getattr(real(), name)(*args, **kwargs)


def _call_named(name: str, /, *args: Any) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)(*args)
