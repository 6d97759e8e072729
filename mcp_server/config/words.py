"""The words for settings: from a model to the name that each of its leaves has in flags, environment and TOML."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from mcp_server.config.model import PREFIX, Group


@dataclass(frozen=True, slots=True)
class Word:
    """One setting.

    Attributes:
        path: where it stands in the model, under the names that the model takes.
        field: what the model says about it.
        group: which commands it is for; None in models of named things.
    """

    path: tuple[str, ...]
    field: FieldInfo
    group: Group | None

    @property
    def name(self) -> str:
        """The flat word, such as `smtp_host`."""
        return "_".join(self.path)

    @property
    def flag(self) -> str:
        """Such as `--smtp-host`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """Such as `DATAMCP_SMTP_HOST`."""
        return f"{PREFIX}{self.name.upper()}"

    @property
    def kind(self) -> Any:
        """The type of its value, without None and without what checks it."""
        return plain(self.field.annotation)

    @property
    def limits(self) -> list[Any]:
        """What its type or its field says beside the type, such as the least value."""
        parts = [*self.field.metadata, *_beside(self.field.annotation)]
        return [inner for part in parts for inner in (part.metadata if isinstance(part, FieldInfo) else (part,))]

    @property
    def secret(self) -> bool:
        """Whether nobody may see it, as everybody sees the flags of a process."""
        return self.kind is SecretStr

    @property
    def named_things(self) -> "Things | None":
        """The things, where it maps names to them."""
        return _things_among(get_args(self.kind)[1:]) if get_origin(self.kind) in (dict, Mapping) else None

    @property
    def listed_things(self) -> "Things | None":
        """The things, where it is a list of them."""
        return _things_among(get_args(self.kind)[:1]) if get_origin(self.kind) is tuple else None

    @property
    def from_file_only(self) -> bool:
        """Whether neither a flag nor a variable can hold it."""
        return get_origin(self.kind) in (dict, Mapping) or self.listed_things is not None

    @property
    def has_flag(self) -> bool:
        """Whether it may stand on a command line."""
        return not self.secret and not self.from_file_only


class Things(tuple[type[BaseModel], ...]):
    """What things may be: of one model, or of several that differ in `kind`."""

    __slots__ = ()

    def model_of(self, thing: Mapping[str, Any]) -> type[BaseModel]:
        """The model of a thing; the first where it does not say of what kind it is."""
        said = thing.get("kind")
        kinds = ((get_args(model.model_fields["kind"].annotation), model) for model in self[1:])
        return next((model for known, model in kinds if said in known), self[0])


@cache
def words(model: type[BaseModel]) -> Mapping[str, Word]:
    """Every setting below a model, by its flat name, in the model's order."""
    return {word.name: word for word in _below(model, (), None)}


@cache
def sections(model: type[BaseModel]) -> Mapping[str, type[BaseModel]]:
    """The sections that stand directly in a model, by name."""
    kinds = {_name(name, field): plain(field.annotation) for name, field in model.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if _is_model(kind)}


def nested(model: type[BaseModel], flat: Mapping[str, Any]) -> dict[str, Any]:
    """Values by their flat names, put where the model wants them."""
    whole: dict[str, Any] = {}
    for name, value in flat.items():
        *above, last = words(model)[name].path
        place = whole
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return whole


def plain(annotation: Any) -> Any:
    """A type without Annotated around it and None beside it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return plain(get_args(annotation)[0])
    if _is_union(annotation):
        rest = [part for part in get_args(annotation) if part is not NoneType]
        return plain(rest[0]) if len(rest) == 1 else annotation
    return annotation


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The word that was probably meant."""
    from difflib import get_close_matches  # a module that only mistakes need

    return next(iter(get_close_matches(name, known, n=1)), None)


def _beside(annotation: Any) -> Iterator[Any]:
    """What stands in Annotated anywhere in a type of one kind."""
    if get_origin(annotation) is Annotated:
        kind, *parts = get_args(annotation)
        yield from parts
        yield from _beside(kind)
    elif _is_union(annotation):
        for part in get_args(annotation):
            yield from _beside(part)


def _below(model: type[BaseModel], above: tuple[str, ...], group: Group | None) -> Iterator[Word]:
    for name, field in model.model_fields.items():
        path = (*above, _name(name, field))
        mine = next((part for part in field.metadata if isinstance(part, Group)), group)
        kind = plain(field.annotation)
        if _is_model(kind):
            yield from _below(cast("type[BaseModel]", kind), path, mine)
        else:
            yield Word(path, field, mine)


def _name(name: str, field: FieldInfo) -> str:
    """The alias where there is one: a word may be one of Python's own, such as `from`."""
    return field.alias or name


def _things_among(kinds: Iterable[Any]) -> Things | None:
    single = (one for kind in map(plain, kinds) for one in (get_args(kind) if _is_union(kind) else (kind,)))
    return Things(one for one in map(plain, single) if _is_model(one)) or None


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
