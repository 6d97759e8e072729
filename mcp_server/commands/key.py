"""`key`: by what users and agents prove who they are over HTTP. A key's text is printed once, when it is made."""

import json
from typing import Any

import click

from mcp_server.commands.groups import HandingOn
from mcp_server.commands.options import AS_JSON, SettingsCommand
from mcp_server.commands.people import GROUPS, aside, listed, people, said, seconds, show
from mcp_server.commands.people_lines import key_line, listed_key_line
from mcp_server.domain.people.commands import CreateKey
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.people.views import KeyView
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.views import dumped

_OWN = ("name", "role", "agent", "namespace")


@click.group("key", cls=HandingOn)
def key() -> None:
    """Manage keys: by what users and agents prove who they are over HTTP."""


@key.command("create", cls=SettingsCommand, groups=GROUPS)
@click.option("--user", "of_user", metavar="NAME", help="The user whose key it is.")
@click.option("--agent", "of_agent", metavar="NAME", help="The agent whose key it is, by name or id.")
@click.option("--name", help="What it is for; people tell keys apart by it.")
@click.option("--role", type=click.Choice([role.value for role in Role]), help="A lesser role; an agent's is agent.")
@click.option("--permissions", metavar="AREA:VERB,...", help="Only these of the role's.")
@click.option("--toolsets", metavar="NAME,...", help="Only these toolsets.")
@click.option("--as-agent", "agent", metavar="NAME", help="The only agent that a user's key speaks as.")
@click.option("--namespace", metavar="PREFIX", help="Only documents in the namespace PREFIX, PREFIX.x, PREFIX-x, ...")
@click.option("--expires-in", metavar="DURATION", help="How long it counts: 30d, 12h. [default: until it is revoked]")
@AS_JSON
def create_command(of_user: str | None, of_agent: str | None, as_json: bool, **given: Any) -> None:
    """Make a key for a user or an agent, and print it. It is not shown again."""
    if (of_user is None) == (of_agent is None):
        raise click.UsageError("Say whose key it is: --user NAME or --agent NAME.")
    own = {name: given.pop(name) for name in _OWN}
    many = {name: listed(given.pop(name)) for name in ("permissions", "toolsets")}
    expires = given.pop("expires_in")

    async def create(service: PeopleService, call: Call) -> None:
        whose = {"kind": "agent" if of_user is None else "user", "holder": of_agent if of_user is None else of_user}
        command = said(CreateKey, **whose, **own, **many, expires_in_seconds=seconds(expires))
        text, sha256 = _new()
        _give(await service.create_key(call, command, sha256), text, as_json=as_json)
        if len(await service.keys(call)) == 1:
            aside("It is the first key here: restart servers that run over HTTP, which ask for keys from then on.")

    people(given, create)


@key.command("list", cls=SettingsCommand, groups=GROUPS)
@click.argument("holder", required=False)
@AS_JSON
def list_command(holder: str | None, as_json: bool, **flags: Any) -> None:
    """List all keys, or those of HOLDER: ann, user:ann, agent:scribe."""

    async def list_(service: PeopleService, call: Call) -> None:
        keys = await service.keys(call, holder)
        show(keys, as_json=as_json, name="keys", line=listed_key_line)
        if not keys:
            aside("There are no keys.")

    people(flags, list_, changes=False)


@key.command("revoke", cls=SettingsCommand, groups=GROUPS)
@click.argument("key_id")
@AS_JSON
def revoke_command(key_id: str, as_json: bool, **flags: Any) -> None:
    """Let nobody in by KEY_ID any more, from now on in every process."""

    async def revoke(service: PeopleService, call: Call) -> None:
        show(await service.revoke_key(call, key_id), as_json=as_json, name="key", line=key_line)

    people(flags, revoke)


@key.command("rotate", cls=SettingsCommand, groups=GROUPS)
@click.argument("key_id")
@click.option("--grace", metavar="DURATION", help="How long the old text counts yet: 1h. [default: not at all]")
@AS_JSON
def rotate_command(key_id: str, grace: str | None, as_json: bool, **flags: Any) -> None:
    """Give KEY_ID another text, and print that. All else of it stays."""

    async def rotate(service: PeopleService, call: Call) -> None:
        text, sha256 = _new()
        _give(await service.rotate_key(call, key_id, sha256, seconds(grace) or 0), text, as_json=as_json)

    people(flags, rotate)


def _new() -> tuple[str, str]:
    from mcp_server.domain.people.secrets import new_text, sha256_of

    text = new_text()
    return text, sha256_of(text)


def _give(view: KeyView, text: str, *, as_json: bool) -> None:
    """The text alone on stdout, for whoever puts it where it belongs."""
    if as_json:
        click.echo(json.dumps({"key": dumped(view), "text": text}))
        return
    aside(f"{key_line(view)}\nThis is the key. It is not shown again:")
    click.echo(text)
