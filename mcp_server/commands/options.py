"""Options of the command line from the model of settings: nothing about a setting is said here.

A command names the groups of settings that it is for; it gets a flag for each that may have one, and a line of help for
each, under the group's heading. A secret has a line and no flag: whoever may list processes sees their flags.
"""

from collections import defaultdict
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel

from mcp_server.config import Group, Settings
from mcp_server.config.words import Word, words

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


class SettingOption(click.Option):
    """The flag of one setting; not given, it is None, and the other sources are asked."""

    def __init__(self, word: Word) -> None:
        self.word = word
        super().__init__([word.flag, word.name], help=help_of(word), default=None, **_parsing(word))


class SettingsCommand(click.Command):
    """A command with the settings of some groups, which its callback gets as keyword arguments."""

    def __init__(
        self, *args: Any, groups: Sequence[Group], model: type[BaseModel] = Settings, **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self._words = words_of(groups, model)
        self.params = [*self.params, *(SettingOption(word) for word in self._words if word.has_flag)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options, then the settings, group by group."""
        params = self.get_params(ctx)
        own = [param.get_help_record(ctx) for param in params if not isinstance(param, SettingOption)]
        with formatter.section("Options"):
            formatter.write_dl(list(filter(None, own)))  # an argument has no record
        self._format_settings(ctx, formatter)

    def _format_settings(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        settings = [param for param in self.get_params(ctx) if isinstance(param, SettingOption)]
        flags = {param.word.name: param.get_help_record(ctx) for param in settings}
        lines = defaultdict[Group | None, list[tuple[str, str]]](list)
        for word in self._words:
            lines[word.group].append(flags.get(word.name) or (_title(word), help_of(word)))
        for group in filter(lines.__contains__, Group):
            with formatter.section(group.value):
                formatter.write_dl(lines[group])


def words_of(groups: Sequence[Group], model: type[BaseModel] = Settings) -> list[Word]:
    """The settings of some groups."""
    return [word for word in words(model).values() if word.group in groups]


def setting_options() -> list[click.Parameter]:
    """The flags of all settings."""
    return [SettingOption(word) for word in words(Settings).values() if word.has_flag]


def help_of(word: Word) -> str:
    """What a person has to know about a setting."""
    if word.from_file_only:
        how = "from the TOML file only"
    elif word.secret:
        how = f"never a flag: set this variable, or {word.variable}_FILE"
    else:
        how = word.variable
    default = default_of(word)
    return f"{word.field.description}. [{how}{f'; default: {default}' if default else ''}]"


def _title(word: Word) -> str:
    if word.listed_things is not None:
        return f"[[{word.name}]]"
    return f"[{word.name}.NAME]" if word.from_file_only else word.variable


def default_of(word: Word) -> str:
    """What holds where it is not set, in words; empty where nothing does."""
    value = (
        None if word.from_file_only or word.field.is_required() else word.field.get_default(call_default_factory=False)
    )
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value or "")


def _parsing(word: Word) -> dict[str, Any]:
    """How click reads the flag. What it would not find wrong, the model still does."""
    kind = word.kind
    if kind is bool:
        return {"is_flag": True}
    if get_origin(kind) is tuple:
        return {"type": str, "metavar": "NAME,..."}
    return {"type": _choices(kind) or _number(word) or (click.Path(path_type=Path) if kind is Path else str)}


def _choices(kind: Any) -> click.Choice[str] | None:
    if get_origin(kind) is Literal:
        return click.Choice([str(value) for value in get_args(kind)])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return click.Choice([str(member.value) for member in kind])
    return None


def _number(word: Word) -> click.ParamType[Any] | None:
    ranges: dict[Any, type[click.IntRange | click.FloatRange]] = {int: click.IntRange, float: click.FloatRange}
    if word.kind not in ranges:
        return None
    limits: dict[str, Any] = {}
    for part in word.limits:
        for name, (limit, is_open) in _LIMITS.items():
            if (value := getattr(part, name, None)) is not None:
                limits |= {limit: value, f"{limit}_open": is_open}
    return ranges[word.kind](**limits)


_LIMITS = {"ge": ("min", False), "gt": ("min", True), "le": ("max", False), "lt": ("max", True)}
