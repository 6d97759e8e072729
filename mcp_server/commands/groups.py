"""Commands that have commands below them: options in front of a command's name are the command's."""

from collections.abc import Callable
from importlib import import_module
from itertools import chain
from typing import Any

import click


class HandingOn(click.Group):
    """A group without settings of its own: `--database X approvals list` is `approvals list --database X`."""

    default: str | None = None
    """The command that is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put what stands before the command's name behind it."""
        return super().parse_args(ctx, self._handed_on(ctx, args))

    def _handed_on(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing or (args and not args[0].startswith("-")):  # a shell wants completions, or all is well
            return args
        own = set(chain.from_iterable(param.opts for param in self.get_params(ctx)))
        if own.intersection(args[:1]):
            return args[:1]
        rest = _after_options(ctx, args) if args else []
        front = args[: len(args) - len(rest)]
        if rest:
            return [rest[0], *front, *rest[1:]]
        return list(filter(own.__contains__, front)) if self.default is None else [self.default, *front]


class LazyGroup(HandingOn):
    """A group that knows its commands by name and line, and imports the one that runs."""

    before_default: Callable[[], None] | None = None
    """Called before the default command is loaded."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], default: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.default = default
        self._places = {name: place for name, (place, _) in lazy.items()}
        self.commands = {name: click.Command(name, help=line) for name, (_, line) in lazy.items()}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command itself, in the place of what stands for it in the list."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            if name == self.default and self.before_default is not None:
                self.before_default()
            module, _, attribute = self._places[name].partition(":")
            command = getattr(import_module(module), attribute)
        return name, command, rest


def _after_options(ctx: click.Context, args: list[str]) -> list[str]:
    """What is left of the arguments behind the settings in front."""
    from mcp_server.commands.options import setting_options

    front = click.Command(ctx.info_name, params=setting_options())
    names = ctx.help_option_names
    with click.Context(
        front, info_name=ctx.command_path, help_option_names=names, allow_interspersed_args=False
    ) as inner:
        _, rest, _ = front.make_parser(inner).parse_args(list(args))
    return rest
