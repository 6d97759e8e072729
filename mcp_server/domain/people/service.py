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


class _Known(NamedTuple):
    """Whom a text proves, as long as its key and its user have these versions.

    Attributes:
        until: when all of it is looked at anew: the text proves nobody any more, or its use is to be written down.
        mark: the database's, when the versions were seen.
    """

    key_id: str
    version: int
    user_version: int | None
    actor: Actor
    until: Micros
    mark: bytes | None

    def holds(self, seen: Row, now: Micros) -> bool:
        """Whether nothing has changed since."""
        same = seen["version"] == self.version and seen["user_version"] == self.user_version
        return same and now < self.until and seen["user_status"] != "disabled"


class Standing:
    """Whom keys prove now. Nothing of it outlives a change: each question looks at least at the database's mark, or at
    the versions of the key and of its user, which move with all that is made of them."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._known: dict[str, _Known] = {}
        """By the SHA-256 of the text."""
        self._enabled: dict[str, bytes] = {}
        """Users who are not disabled, with the mark at which that was seen."""

    def known(self, sha256: str) -> Actor | None:
        """Whom a key proves, where that was found out before and nobody was given or denied anything since; None where
        `proved` has to be asked."""
        known = self._known.get(sha256)
        if known is None or not _same(known.mark, self._database.mark()):
            return None
        return known.actor if self._context.clock() < known.until else None

    def is_known_enabled(self, actor: Actor) -> bool:
        """Whether it is sure without asking the database that a caller is not disabled."""
        return actor.kind != "user" or _same(self._enabled.get(actor.id), self._database.mark())

    async def proved(self, sha256: str) -> Actor | str:
        """Whom the key with a text of that SHA-256 proves; or, where it proves nobody, why, in a word."""
        known, mark = self._known.get(sha256), self._database.mark()
        if known is not None:
            seen = await self._database.fetch_one("key_as_known", id=known.key_id, sha256=sha256)
            if seen is not None and known.holds(seen, self._context.clock()):
                self._known[sha256] = known._replace(mark=mark)
                return known.actor
        row = await self._database.fetch_one("key_by_sha256", sha256=sha256)
        if row is None:
            return "unknown"
        now, key = self._context.clock(), Key.adopt(dict(row))
        reason = _refusal(key, row["user_status"], now, sha256)
        return self._remembered(key, row, now, sha256, mark) if reason is None else reason

    async def still(self, actor: Actor) -> Actor | None:
        """The same caller with what its key lets it do now; None where that lets it do nothing any more. Who came
        without a key stays as it is, unless it is a user that is disabled."""
        if actor.key_id is None:
            return None if await self.is_disabled(actor) else actor
        row = await self._database.fetch_one("key_standing", id=actor.key_id)
        if row is None:
            return None
        key = Key.adopt(dict(row))
        reason = _refusal(key, row["user_status"], self._context.clock(), actor.proof)
        return key.actor(row["user_role"], actor.proof) if reason is None else None

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
        if actor.kind != "user" or actor.is_local:
            return False
        mark = self._database.mark()
        is_out = await self.is_out(actor.id)
        if mark is not None and not is_out:
            if len(self._enabled) >= _KNOWN_MAX:
                self._enabled.clear()
            self._enabled[actor.id] = mark
        return is_out

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

    def _remembered(self, key: Key, row: Row, now: Micros, proof: str, mark: bytes | None) -> Actor:
        """Whom a key that is let in proves, made once of each version; and that it is used is written down now and
        then, in whichever process. Nobody waits for that."""
        known = self._known.get(proof)
        versions = key.id, key.version, row["user_version"]
        actor = known.actor if known is not None and known[:3] == versions else key.actor(row["user_role"], proof)
        last: Micros = row["used_at"] or 0
        if now - last >= USED_EVERY:
            last = now
            if not self._database.is_read_only:
                self._database.post(transactions.used, key.id, now)
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[proof] = _Known(*versions, actor, min((last + USED_EVERY, *key.ends_of(proof))), mark)
        return actor


def _same(seen: bytes | None, now: bytes | None) -> bool:
    return seen is not None and seen == now


def _refusal(key: Key, user_status: str | None, now: Micros, proof: str | None) -> str | None:
    """Why a key lets nobody in now, in a word; None where it does. `proof` is the SHA-256 of the text that is shown, if
    one is."""
    state = key.state(now, user_status)
    if state != "live":
        return state
    return None if proof is None or key.counts_by(proof, now) else "rotated"
