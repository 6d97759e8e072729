"""Whom keys prove now, and who is let in."""

from typing import NamedTuple

from mcp_server.domain.people import transactions
from mcp_server.domain.people.model import Key
from mcp_server.domain.people.refusals import no_longer
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import SECOND, Micros

USED_EVERY: Micros = 60 * SECOND
"""How often at most it is written down that a key was used."""

_KNOWN_MAX = 1024


class Profile(NamedTuple):
    """How a user is called, and where mail reaches it."""

    name: str
    display_name: str | None
    address: str | None


class Standing:
    """Whom keys prove now. Nothing of it outlives a change: each question reads the key's row and its user's."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._known: dict[tuple[str, int, int | None, str | None], tuple[Key, Actor]] = {}
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
        """The caller that a row stands for now, or why none. The row's versions say all that it does but who is enabled
        and what time it is: so the rest of it is looked at once."""
        version = row["id"], row["version"], row["user_version"], proof
        known = self._known.get(version)
        if known is None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            key = Key.adopt(dict(row))
            known = self._known[version] = key, key.actor(row["user_role"], proof)
        key, actor = known
        state = key.state(now, row["user_status"])
        if state != "live" or not (proof is None or key.counts_by(proof, now)):
            return "rotated" if state == "live" else state
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
