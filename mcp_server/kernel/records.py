"""Records: plain frozen dataclasses for what is known to be right, such as a stored row or what a caller sees.

What comes from outside is checked by pydantic once, in commands and specs. A record checks nothing again: it adopts a
dict, which costs half of what writing into a pydantic model would.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, NoReturn, Self, dataclass_transform

_set = object.__setattr__


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record:
    """The base of every aggregate and every view. Its fields are its instance's dict, in the order of declaration."""

    def __init_subclass__(cls) -> None:
        dataclass(init=False, repr=False, eq=False, match_args=False)(cls)

    def __init__(self, **fields: Any) -> None:
        """From some of the fields; the others have their defaults."""
        blank = blank_of(type(self))
        whole = blank | fields
        if len(whole) != len(blank):
            raise _unknown(self, fields)
        _set(self, "__dict__", whole)

    @classmethod
    def adopt(cls, fields: dict[str, Any]) -> Self:
        """From a dict that names every field and becomes the record's own."""
        new = cls.__new__(cls)
        _set(new, "__dict__", fields)
        return new

    def evolved(self, changes: Mapping[str, Any]) -> Self:
        """The same with some fields changed.

        Raises:
            TypeError: there is no such field.
        """
        return self.adopt(self.changed(changes))

    def changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the same with some of them changed.

        Raises:
            TypeError: there is no such field.
        """
        fields = {**self.__dict__, **changes}
        if len(fields) != len(self.__dict__):
            raise _unknown(self, changes)
        return fields

    def fields(self) -> dict[str, Any]:
        """The fields as they are."""
        return dict(self.__dict__)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # pyright: ignore[reportAssignmentType] - fields may be lists

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen; make another with evolved().")


@cache
def blank_of(record: type[Record]) -> dict[str, Any]:
    """Every field in the order of declaration: with its default, or None where one has to be given."""
    fields: dict[str, Any] = record.__dict__["__dataclass_fields__"]
    return {name: None if field.default is MISSING else field.default for name, field in fields.items()}


def _unknown(record: Record, given: Mapping[str, Any]) -> TypeError:
    names = ", ".join(sorted(given.keys() - blank_of(type(record)).keys()))
    return TypeError(f"{type(record).__name__} has no field {names}")
