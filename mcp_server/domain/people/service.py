"""Use cases of users and keys: what admins do, and whom a key proves."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog

from mcp_server.domain.people import transactions
from mcp_server.domain.people.model import AddUser, ChangeUser, CreateKey, Key, KeyHash, User, UserStatus
from mcp_server.domain.people.refusals import no_key, no_longer, no_user
from mcp_server.domain.people.transactions import Taken
from mcp_server.domain.people.views import KeyView, UserView, key_view, user_view
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.call import SYSTEM_CALL, Call
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import SECOND, Micros

USED_EVERY: Micros = 60 * SECOND
"""How often at most it is written down that a key was used."""

_KNOWN_MAX = 1024
log = structlog.stdlib.get_logger("datamcp.people")


class Profile(NamedTuple):
    """How a user is called, and where mail reaches it."""

    name: str
    display_name: str | None
    address: str | None


class PeopleService:
    """Users and keys, as admins see and change them. Each change is an event and a line in the log."""

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


class Standing:
    """Whom keys prove now. Nothing of it outlives a change: each question reads the key's row and its user's."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._actors: dict[tuple[str, int, int | None, str | None], Actor] = {}
        self._used: dict[str, Micros] = {}

    async def proved(self, sha256: str) -> Actor | str:
        """Whom the key with a text of that SHA-256 proves; or, where it proves nobody, why, in a word."""
        row = await self._database.fetch_one("key_by_sha256", sha256=sha256)
        if row is None:
            return "unknown"
        now = self._context.clock()
        found = self._actor(row, now, sha256)
        if isinstance(found, Actor):
            self._use(row, now)
        return found

    async def still(self, actor: Actor) -> Actor | None:
        """The same caller with what its key lets it do now; None where that lets it do nothing any more. Who came
        without a key stays as it is, unless it is a user that is disabled."""
        if actor.key_id is None:
            return None if await self.is_disabled(actor) else actor
        row = await self._database.fetch_one("key_standing", id=actor.key_id)
        found = "unknown" if row is None else self._actor(row, self._context.clock(), actor.proof)
        return found if isinstance(found, Actor) else None

    async def require(self, call: Call) -> None:
        """Refuse a caller that is not let in any more, or whose rights are fewer than when its call began.

        Raises:
            PermissionDenied: saying so.
        """
        actor = call.actor
        if actor.is_local or actor.kind in ("system", "deployment"):
            return
        now = await self.still(actor)
        if now is None or not actor.permissions <= now.permissions:
            raise no_longer(actor.label)

    async def is_disabled(self, actor: Actor) -> bool:
        """Whether it is a user of this server that is not let in any more. The local user needs no leave."""
        return actor.kind == "user" and not actor.is_local and await self.is_out(actor.id)

    async def is_out(self, name: str) -> bool:
        """Whether there is a user of that name who is not let in."""
        row = await self._database.fetch_one("user_profile", id=name)
        return row is not None and row["status"] == "disabled"

    async def any_key(self) -> bool:
        """Whether a key was ever made here, so that keys are asked for."""
        return await self._database.fetch_one("any_key") is not None

    async def profile(self, name: str) -> Profile | None:
        """How a user is called and where mail reaches it; None of one that is not let in, or is no user here."""
        row = await self._database.fetch_one("user_profile", id=name)
        if row is None or row["status"] != "enabled":
            return None
        return Profile(row["id"], row["display_name"], row["address"])

    def _actor(self, row: Row, now: Micros, proof: str | None) -> Actor | str:
        known = row["id"], row["version"], row["user_version"], proof
        key = Key.adopt(dict(row))
        state = key.state(now, row["user_status"])
        if state != "live" or not (proof is None or key.counts_by(proof, now)):
            return "rotated" if state == "live" else state
        actor = self._actors.get(known)
        if actor is None:
            if len(self._actors) >= _KNOWN_MAX:
                self._actors.clear()
            actor = self._actors[known] = key.actor(row["user_role"], proof)
        return actor

    def _use(self, row: Row, now: Micros) -> None:
        """Write down now and then that a key is used; nobody waits for it."""
        last = max(self._used.get(row["id"], 0), row["used_at"] or 0)
        if now - last < USED_EVERY or self._database.is_read_only:
            return
        if len(self._used) >= _KNOWN_MAX:
            self._used.clear()
        self._used[row["id"]] = now
        self._database.post(transactions.used, row["id"], now)


def _told(call: Call, what: str, **facts: Any) -> None:
    """One line for who reads the log: such changes are rare, and matter."""
    log.info("elevated", what=what, by=call.label, correlation_id=call.correlation_id, **facts)
