"""Bringing settings in: flags, then environment (`DATAMCP_*`), then a TOML file (`DATAMCP_CONFIG`); read once at start.

Each source yields flat words with what they were called there; the words are merged one by one, and the model checks
what came out. Nothing is guessed: what no setting is called is refused, with the setting that was probably meant.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ValidationError

from mcp_server.config.model import PREFIX, Settings
from mcp_server.config.words import Things, Word, near_miss, nested, sections, words
from mcp_server.kernel.complaints import complaint
from mcp_server.kernel.errors import ValidationFailed

_TOLD = frozenset({f"{PREFIX}TASK_ID", f"{PREFIX}ATTEMPT", f"{PREFIX}LEASE_TOKEN", f"{PREFIX}INSTANCE"})
NOT_SETTINGS = _TOLD | {f"{PREFIX}SQLITE"}
"""What the house itself tells its workers and their commands, since such a command may well call the house again; and
which SQLite library is to be used, which has to be known before there are settings."""

HELP = "See `data-mcp-server-agent serve --help` for what can be set."
M = TypeVar("M", bound=BaseModel)


class Given(NamedTuple):
    """A value, and what it was called where it was given."""

    value: Any
    called: str


def load_settings(**flags: Any) -> Settings:
    """Settings from flags (None: not given), environment and TOML file.

    Raises:
        ValidationFailed: a word that is no setting, a value that makes no sense, or a file that cannot be read.
    """
    return read_settings(Settings, flags, os.environ)


def read_settings(model: type[M], flags: Mapping[str, Any], environment: Mapping[str, str]) -> M:
    """The same for any model of settings.

    Raises:
        ValidationFailed: a word that is no setting, a value that makes no sense, or a file that cannot be read.
    """
    given = _from_environment(model, environment) | _from_flags(model, flags)
    config = given.get("config")
    if config is not None:
        given = _from_file(model, Path(config.value)) | given
    try:
        return model.model_validate(_whole(model, given))
    except ValidationError as error:
        problems = [_problem(item["loc"], complaint(item), given) for item in error.errors(include_url=False)]
        raise ValidationFailed(f"These settings make no sense: {'; '.join(problems)}.", next=HELP) from None


def _from_flags(model: type[BaseModel], flags: Mapping[str, Any]) -> dict[str, Given]:
    known = words(model)
    _refuse([_unknown(name, known) for name in flags if name not in known])
    return {name: Given(value, known[name].flag) for name, value in flags.items() if value is not None}


def _from_environment(model: type[BaseModel], environment: Mapping[str, str]) -> dict[str, Given]:
    """An empty variable counts as not given: many tools cannot take one away. Case is nothing, as on Windows."""
    known = {name.upper(): name for name, word in words(model).items() if not word.from_file_only}
    ours = _ours(environment)
    _refuse([_unknown(name, known, PREFIX) for name in ours if name not in known])
    return {known[name]: Given(value, f"{PREFIX}{name}") for name, value in ours.items()}


def _ours(environment: Mapping[str, str]) -> dict[str, str]:
    """What begins with our prefix, without it."""
    given = {name.upper(): value for name, value in environment.items() if value}
    ours = {name: value for name, value in given.items() if name.startswith(PREFIX) and name not in NOT_SETTINGS}
    return {name.removeprefix(PREFIX): value for name, value in ours.items()}


def _from_file(model: type[BaseModel], path: Path) -> dict[str, Given]:
    table = _Table(path.name, [])
    table.read(model, _toml(path))
    if "config" in table.found:
        table.problems.append(f"{table.found['config'].called} cannot be set in the file that it names.")
    _refuse(table.problems)
    return table.found


class _Table:
    """Reads the settings of one model from a table, and collects what is wrong with them."""

    def __init__(self, file: str, problems: list[str]) -> None:
        self.found: dict[str, Given] = {}
        self.problems = problems
        self._file = file

    def read(
        self, model: type[BaseModel], table: Mapping[str, Any], above: tuple[str, ...] = (), prefix: str = ""
    ) -> None:
        """Take in a table; `above` is what it is called, `prefix` what the flat names of its settings begin with."""
        for key, value in table.items():
            called, name = (*above, key), key.replace("-", "_")
            word, section = words(model).get(name), sections(model).get(name)
            if word is not None:
                self._add(prefix + name, self._value(word, value, called), called)
            elif section is None:
                known = [*words(model), *sections(model)]
                self.problems.append(_unknown(key, known, "".join(f"{part}." for part in above), f" in {self._file}"))
            elif isinstance(value, dict):
                self.read(section, cast("dict[str, Any]", value), called, f"{prefix}{name}_")
            else:
                self.problems.append(f"{'.'.join(called)} in {self._file} must be a table.")

    def _add(self, name: str, value: Any, called: tuple[str, ...]) -> None:
        given = Given(value, f"{'.'.join(called)} in {self._file}")
        if name in self.found:
            self.problems.append(f"{name} is given twice: as {self.found[name].called} and as {given.called}.")
        self.found[name] = given

    def _value(self, word: Word, value: Any, called: tuple[str, ...]) -> Any:
        """The value, in which the tables of named or listed things are read like the file itself."""
        named, listed = word.named_things, word.listed_things
        if named is not None and isinstance(value, dict):
            things = cast("dict[str, Any]", value)
            return {name: self._thing(named, thing, (*called, name)) for name, thing in things.items()}
        if listed is not None and isinstance(value, list):
            items = enumerate(cast("list[Any]", value))
            return [self._thing(listed, thing, (*called, str(number))) for number, thing in items]
        return value

    def _thing(self, things: Things, thing: Any, called: tuple[str, ...]) -> Any:
        if not isinstance(thing, dict):
            return thing
        table = cast("dict[str, Any]", thing)
        model, inner = things.model_of(table), _Table(self._file, self.problems)
        inner.read(model, table, called)
        kind = {"kind": model.model_fields["kind"].default} if len(things) > 1 else {}
        return kind | _whole(model, inner.found)


def _whole(model: type[BaseModel], given: Mapping[str, Given]) -> dict[str, Any]:
    return nested(model, {name: item.value for name, item in given.items()})


def _problem(loc: Sequence[int | str], message: str, given: Mapping[str, Given]) -> str:
    """What the model complains about, under the name that the person used."""
    parts = [str(part) for part in loc]
    for length in range(len(parts), 0, -1):
        item = given.get("_".join(parts[:length]))
        if item is not None:
            rest = ".".join(_said(parts[length:], item.value))
            return f"{item.called}{f', {rest}' if rest else ''}: {message}"
    return f"{'_'.join(parts)}: {message}"


def _said(parts: Iterable[str], value: Any) -> list[str]:
    """Where a problem lies, without the kind of a thing, which pydantic names beside."""
    said: list[str] = []
    for part in parts:
        table = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if part != table.get("kind"):
            said.append(part)
            value = table.get(part)
    return said


def _unknown(name: str, known: Iterable[str], before: str = "", where: str = "") -> str:
    """`before` is what the word shares with all that are known there: it must not make strangers look alike."""
    meant = near_miss(name.replace("-", "_"), known)
    return f"There is no setting {before}{name}{where}{f'; did you mean {before}{meant}?' if meant else '.'}"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ValidationFailed(" ".join(problems), next=HELP)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ValidationFailed(
            f"The configuration file {path} cannot be read: {error.strerror}.",
            next="Correct --config or DATAMCP_CONFIG.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValidationFailed(
            f"The configuration file {path} is not valid TOML: {error}.", next="Correct the file."
        ) from None
