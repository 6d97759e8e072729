"""Sealed states: what a client brings back with its user's answer, so that an answer is one to what this server asked.

A seal is bound to the principal, to the question as it was shown, to the channel, and to a time. All processes on one
database share the key, so that any of them can open what another sealed.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.approvals.question import question_text
from mcp_server.domain.approvals.transactions import signing_key, spend_seal
from mcp_server.kernel.call import SYSTEM_CALL, Call
from mcp_server.kernel.clocks import JUMP_MIN
from mcp_server.kernel.json_text import dump_json, sha256_text
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import SECOND, Micros

LASTS: Micros = 3600 * SECOND
KEY = "approval links"
"""The name of the key that signs all links and seals."""


class Signing:
    """Signs with a key of the database, which no export holds."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._secret: str | None = None

    async def sign(self, *bound: str | int) -> str:
        """An HMAC-SHA256 over what is bound, shortened to 192 bits."""
        if self._secret is None:
            fresh, origin = secrets.token_hex(32), self._context.origin(SYSTEM_CALL)
            self._secret = await self._context.database.write(signing_key, origin, KEY, fresh)
        digest = hmac.new(self._secret.encode(), dump_json(bound).encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:24]).decode()


class Seals:
    """Makes seals and opens them."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._signing = services.get(Signing)

    def of(self, call: Call, approval: Approval) -> "QuestionSeal":
        """The seal of one question, put to the user who calls."""
        shown = sha256_text(question_text(approval))
        bound = (call.actor.label, approval.id, approval.opened_at, approval.action_hash, shown)
        return QuestionSeal(self, call, bound)

    async def make(self, bound: tuple[str | int, ...], expires_at: Micros, nonce: str) -> str:
        """A seal that is good until then."""
        signed = await self._signing.sign("seal", *bound, expires_at, nonce)
        return f"{expires_at}.{nonce}.{signed}"

    async def holds(self, bound: tuple[str | int, ...], text: str) -> Micros | None:
        """Until when a seal is good; None where it is not one of this question's, or its time is over."""
        parts = text.split(".")
        if len(parts) != 3 or not (parts[0].isascii() and parts[0].isdigit() and len(parts[0]) <= 18):
            return None
        expires_at = int(parts[0])
        made = await self.make(bound, expires_at, parts[1])
        is_made_here = hmac.compare_digest(made.encode(), text.encode("utf-8", "surrogatepass"))
        left = expires_at - self._context.clock()
        # One that would be good for longer than any was made by a clock that was ahead.
        return expires_at if is_made_here and 0 < left <= 2 * LASTS + JUMP_MIN else None

    async def spend(self, call: Call, bound: tuple[str | int, ...], text: str) -> bool:
        """Whether a seal is good and comes back for the first time. Then it is good no more."""
        expires_at = await self.holds(bound, text)
        return expires_at is not None and await self._context.write(call, spend_seal, sha256_text(text), expires_at)

    def now(self) -> Micros:
        """The current time."""
        return self._context.clock()


@dataclass(frozen=True, slots=True)
class QuestionSeal:
    """The seal of one question, put to one user; `kernel.call.Seal`. The channel is bound as well."""

    seals: Seals
    call: Call
    bound: tuple[str | int, ...]

    async def make(self, channel: str) -> str:
        """A new one, which counts once."""
        return await self.seals.make((channel, *self.bound), self.seals.now() + LASTS, secrets.token_urlsafe(12))

    async def spend(self, channel: str, text: str) -> bool:
        """Whether it is good and comes back for the first time."""
        return await self.seals.spend(self.call, (channel, *self.bound), text)

    async def key(self, channel: str) -> str:
        """One that stays the same for a while, for who is told of the question again and again. It need not be spent,
        since a person answers a question once."""
        until = (self.seals.now() // LASTS + 2) * LASTS
        return await self.seals.make((channel, *self.bound), until, "key")

    async def opens(self, channel: str, text: str) -> bool:
        """Whether it is good."""
        return await self.seals.holds((channel, *self.bound), text) is not None
