"""The chain of those who can tell whom a bearer token stands for."""

import pytest

from mcp_server.kernel.authority import Actor, Role, Scope
from mcp_server.protocol.bearers import BEARER_CHARACTERS_MAX, Bearer, Refused, Verifiers, bearer

pytestmark = pytest.mark.anyio

ANN = Actor(
    kind="user",
    id="ann",
    permissions=Role.VIEWER.permissions,
    scope=Scope(toolsets=frozenset({"state"}), namespace="team"),
    key_id="key_1",
)


class Knows:
    """Takes tokens that begin so, and knows one of them."""

    def __init__(self, prefix: str, known: str = "", reason: str = "unknown") -> None:
        self.prefix, self.known, self.reason = prefix, known, reason
        self.asked: list[str] = []

    def takes(self, token: str) -> bool:
        return token.startswith(self.prefix)

    def known(self, token: str) -> Bearer | None:
        return None

    async def verify(self, token: str) -> Bearer | Refused:
        self.asked.append(token)
        return bearer(token, ANN) if token == self.known else Refused(self.reason)


async def test_a_token_is_shown_only_to_those_whose_it_may_be():
    keys, others = Knows("key_", "key_right"), Knows("jwt.", "jwt.right")
    chain = Verifiers(keys, others)
    found = await chain.verify_token("jwt.right")
    assert found is not None and found.actor == ANN and keys.asked == []
    assert (found.toolsets, found.key_id, found.subject) == (frozenset({"state"}), "key_1", "user:ann")
    assert found.client_id == "key_1"
    assert set(found.scopes) == {permission.value for permission in Role.VIEWER.permissions}


async def test_what_one_cannot_tell_the_next_is_asked():
    first, second = Knows(""), Knows("", "old")
    assert await Verifiers(first, second).verify_token("old") is not None
    assert first.asked == ["old"]


async def test_whoever_is_not_let_in_is_counted_once_with_the_first_reason_there_is():
    reasons: list[str] = []
    chain = Verifiers(Knows("", reason="unknown"), Knows("", reason="expired"), refused=reasons.append)
    assert await chain.verify_token("wrong") is None
    assert await chain.verify_token("x" * (BEARER_CHARACTERS_MAX + 1)) is None
    assert reasons == ["expired", "unknown"]
