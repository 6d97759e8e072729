"""Use cases of users and keys: what admins do. Each change is an event and a line in the log."""

from collections.abc import Sequence
from typing import Any

import structlog

from mcp_server.domain.people import transactions
from mcp_server.domain.people.commands import AddUser, ChangeUser, CreateKey, KeyHash, UserStatus
from mcp_server.domain.people.model import Key
from mcp_server.domain.people.refusals import no_key, no_user
from mcp_server.domain.people.transactions import Taken
from mcp_server.domain.people.users import User
from mcp_server.domain.people.views import KeyView, UserView, key_view, user_view
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import SYSTEM_CALL, Call
from mcp_server.kernel.services import Services

log = structlog.stdlib.get_logger("datamcp.people")


class PeopleService:
    """Users and keys, as admins see and change them."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database

    async def users(self, call: Call) -> list[UserView]:
        """Every user."""
        call.actor.require(Permission.PEOPLE_READ)
        return [user_view(row) for row in await self._database.fetch_all("users")]

    async def user(self, call: Call, name: str) -> UserView:
        """One user.

        Raises:
            NotFound: there is no such user.
        """
        call.actor.require(Permission.PEOPLE_READ)
        row = await self._database.fetch_one("user_by_id", id=name)
        if row is None:
            raise no_user(name, [one["id"] for one in await self._database.fetch_all("user_names")])
        return user_view(row)

    async def keys(self, call: Call, holder: str | None = None) -> list[KeyView]:
        """Every key, or those of one holder: `user:ann`, `agent:scribe`, or the name alone."""
        call.actor.require(Permission.PEOPLE_READ)
        now = self._context.clock()
        views = [key_view(row, now) for row in await self._database.fetch_all("keys")]
        return [view for view in views if holder in (None, view.holder, view.holder.partition(":")[2])]

    async def add_user(self, call: Call, command: AddUser) -> UserView:
        """Let somebody use this server.

        Raises:
            Conflict: there is a user of that name, or of one that looks the same.
        """
        user: User = await self._changed(call, transactions.add_user, command)
        _told(call, "user.added", user=user.id, role=user.role)
        return user_view(user.fields())

    async def change_user(self, call: Call, command: ChangeUser) -> UserView:
        """Change a role or a profile.

        Raises:
            NotFound: there is no such user.
        """
        user: User = await self._changed(call, transactions.change_user, command)
        _told(call, "user.changed", user=user.id, role=user.role)
        return user_view(user.fields())

    async def turn_user(self, call: Call, name: str, status: UserStatus) -> UserView:
        """Let a user in no more, or again.

        Raises:
            NotFound: there is no such user.
            InvalidTransition: it is so already.
        """
        user: User = await self._changed(call, transactions.turn_user, name, status)
        _told(call, f"user.{status}", user=user.id)
        return user_view(user.fields())

    async def create_key(self, call: Call, command: CreateKey, sha256: str) -> KeyView:
        """Make a key, of whose text the SHA-256 is given.

        Raises:
            NotFound: there is no such user.
            ValidationFailed: it would be wider than its holder.
        """
        key: Key = await self._changed(call, transactions.create_key, command, KeyHash(sha256))
        _told(call, "key.created", key=key.id, holder=f"{key.holder_kind}:{key.holder_id}")
        return key_view(key.fields(), self._context.clock())

    async def rotate_key(self, call: Call, key_id: str, sha256: str, grace_seconds: float = 0) -> KeyView:
        """Give a key another text; the one before counts for some seconds yet.

        Raises:
            NotFound: there is no such key.
            InvalidTransition: it counts no more.
            Conflict: it was changed meanwhile.
        """
        call.actor.require(Permission.PEOPLE_CONTROL)
        row = await self._database.fetch_one("key_by_id", id=key_id)
        if row is None:
            raise no_key(key_id)
        wanted = key_id, sha256, grace_seconds, row["version"]
        key: Key = await self._changed(call, transactions.rotate_key, *wanted)
        _told(call, "key.rotated", key=key.id)
        return key_view(key.fields(), self._context.clock())

    async def revoke_key(self, call: Call, key_id: str) -> KeyView:
        """Let nobody in by a key any more.

        Raises:
            NotFound: there is no such key.
            InvalidTransition: it is revoked already.
        """
        key: Key = await self._changed(call, transactions.revoke_key, key_id)
        _told(call, "key.revoked", key=key.id)
        return key_view(key.fields(), self._context.clock())

    async def take_tokens(self, tokens: Sequence[tuple[CreateKey, KeyHash]]) -> Taken:
        """Have the keys that came from a token file be those whose tokens are in it."""
        taken: Taken = await self._changed(SYSTEM_CALL, transactions.take_tokens, tokens)
        for what, keys in (("key.created", taken.created), ("key.revoked", taken.revoked)):
            for key in keys:
                _told(SYSTEM_CALL, what, key=key.id, holder=f"{key.holder_kind}:{key.holder_id}", source="tokens file")
        return taken

    async def _changed(self, call: Call, function: Any, *args: Any) -> Any:
        call.actor.require(Permission.PEOPLE_CONTROL)
        return await self._context.write(call, function, *args)


def _told(call: Call, what: str, **facts: Any) -> None:
    """One line for who reads the log: such changes are rare, and matter."""
    log.info("elevated", what=what, by=call.label, correlation_id=call.correlation_id, **facts)
