"""What the commands about users and keys have in common: who gives them, on which store, and how they print."""

import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from mcp_server.commands.running import run
from mcp_server.commands.services import services_on
from mcp_server.config import Group, Settings
from mcp_server.domain.people.managing import PeopleService
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.complaints import complaint
from mcp_server.kernel.durations import is_duration, seconds_of
from mcp_server.kernel.errors import PermissionDenied, ValidationFailed
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.quoting import named
from mcp_server.kernel.values import Frozen
from mcp_server.kernel.views import View, dumped

GROUPS = (Group.STORE,)
M = TypeVar("M", bound=Frozen)
Work = Callable[[PeopleService, Call], Coroutine[Any, Any, None]]


def people(flags: Mapping[str, Any], work: Work, *, changes: bool = True) -> None:
    """Open the store and do the work, as the local user whom the settings name."""

    async def main(settings: Settings) -> None:
        if changes and settings.read_only:
            raise PermissionDenied(
                "These settings allow reading only.", next="Unset DATAMCP_READ_ONLY to change users and keys."
            )
        actor = Actor(kind="user", id=settings.user, permissions=settings.role.permissions, is_local=True)
        actor.require(Permission.PEOPLE_CONTROL if changes else Permission.PEOPLE_READ)
        async with services_on(settings) as services:
            await work(services.get(PeopleService), Call(actor, new_id("call")))

    run(flags, main)


def said(model: type[M], **arguments: Any) -> M:
    """What was asked for, checked; what was not given is left out.

    Raises:
        ValidationFailed: saying which argument is wrong.
    """
    try:
        return model.model_validate({name: value for name, value in arguments.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        why = complaint(first).rstrip(".")
        raise ValidationFailed(f"{first['loc'][0]} {named(str(first['input']))}: {why}.") from None


def seconds(text: str | None) -> float | None:
    """How long something is to last.

    Raises:
        ValidationFailed: it is no duration.
    """
    if text is None:
        return None
    if not is_duration(text):
        raise ValidationFailed(f"{named(text)} is not how long something lasts.", next="Write 30d, 12h or 45m.")
    return seconds_of(text)


def listed(text: str | None) -> tuple[str, ...] | None:
    """Words with commas between them."""
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())


def show(views: View | list[Any], *, as_json: bool, name: str, line: Callable[[Any], str]) -> None:
    """Print one thing or a list of them: a line each, or one JSON object."""
    if as_json:
        told: Any = list(map(dumped, views)) if isinstance(views, list) else dumped(views)
        click.echo(json.dumps({name: told}))
        return
    for view in views if isinstance(views, list) else [views]:
        click.echo(line(view))


def aside(text: str) -> None:
    """A word to the person who looks on; programs read stdout."""
    click.echo(text, file=sys.stderr)
