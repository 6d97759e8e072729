"""`user`: who may use this server, as what."""

from typing import Any

import click

from mcp_server.commands.groups import HandingOn
from mcp_server.commands.options import AS_JSON, SettingsCommand
from mcp_server.commands.people import GROUPS, aside, people, said, show
from mcp_server.commands.people_lines import user_line
from mcp_server.domain.people.commands import AddUser, ChangeUser
from mcp_server.domain.people.managing import PeopleService
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call

_ROLES = click.Choice([role.value for role in Role])


@click.group("user", cls=HandingOn)
def user() -> None:
    """Manage users: who may use this server over HTTP, and where mail reaches them."""


@user.command("add", cls=SettingsCommand, groups=GROUPS)
@click.argument("name")
@click.option("--role", type=_ROLES, help="What the user may do. [default: operator]")
@click.option("--display-name", help="How people call the user.")
@click.option("--address", help="Where mail reaches the user, such as questions to approve.")
@AS_JSON
def add_command(as_json: bool, name: str, **given: Any) -> None:
    """Let NAME use this server. Nothing is proved by a name: make a key with `key create --user NAME`."""
    own, flags = _apart(given)

    async def add(service: PeopleService, call: Call) -> None:
        done = await service.add_user(call, said(AddUser, name=name, **own))
        show(done, as_json=as_json, name="user", line=user_line)

    people(flags, add)


@user.command("list", cls=SettingsCommand, groups=GROUPS)
@AS_JSON
def list_command(as_json: bool, **flags: Any) -> None:
    """List all users."""

    async def list_(service: PeopleService, call: Call) -> None:
        users = await service.users(call)
        show(users, as_json=as_json, name="users", line=user_line)
        if not users:
            aside("There are no users. The local user of this machine needs none.")

    people(flags, list_, changes=False)


@user.command("show", cls=SettingsCommand, groups=GROUPS)
@click.argument("name")
@AS_JSON
def show_command(name: str, as_json: bool, **flags: Any) -> None:
    """Show one user."""

    async def show_(service: PeopleService, call: Call) -> None:
        show(await service.user(call, name), as_json=as_json, name="user", line=user_line)

    people(flags, show_, changes=False)


@user.command("set", cls=SettingsCommand, groups=GROUPS)
@click.argument("name")
@click.option("--role", type=_ROLES, help="What the user may do from now on.")
@click.option("--display-name", help='How people call the user; "" takes it away.')
@click.option("--address", help='Where mail reaches the user; "" takes it away.')
@AS_JSON
def set_command(as_json: bool, name: str, **given: Any) -> None:
    """Change the role or the profile of NAME. Its keys are no wider than its role, at once."""
    own, flags = _apart(given)

    async def set_(service: PeopleService, call: Call) -> None:
        done = await service.change_user(call, said(ChangeUser, name=name, **own))
        show(done, as_json=as_json, name="user", line=user_line)

    people(flags, set_)


@user.command("disable", cls=SettingsCommand, groups=GROUPS)
@click.argument("name")
@AS_JSON
def disable_command(name: str, as_json: bool, **flags: Any) -> None:
    """Let NAME in no more, whatever key it has, from now on in every process."""

    async def disable(service: PeopleService, call: Call) -> None:
        show(await service.turn_user(call, name, "disabled"), as_json=as_json, name="user", line=user_line)

    people(flags, disable)


@user.command("enable", cls=SettingsCommand, groups=GROUPS)
@click.argument("name")
@AS_JSON
def enable_command(name: str, as_json: bool, **flags: Any) -> None:
    """Let NAME in again."""

    async def enable(service: PeopleService, call: Call) -> None:
        show(await service.turn_user(call, name, "enabled"), as_json=as_json, name="user", line=user_line)

    people(flags, enable)


def _apart(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The command's own options, and the settings."""
    own = {name: given.pop(name) for name in ("role", "display_name", "address")}
    return own, given
