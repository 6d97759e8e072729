"""The keys of an issuer: when it is asked, and what becomes of what it does not tell."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.integrations.issuers.keys import Keys, usable
from mcp_server.integrations.issuers.model import ALGORITHMS, IssuerProblem, TokenRefused
from mcp_server.kernel.errors import Unavailable
from tests.integrations.issuers.stand_in import EC, ED, KEY_SET, OTHER_RSA, RSA, Times, Told, issuer, jwk

pytestmark = pytest.mark.anyio
ROTATED = {"keys": [jwk(RSA, "RS256"), jwk(OTHER_RSA, "RS256", "k2")]}
DOWN = IssuerProblem("it does not answer")


class Asked(Told):
    """Keys with an issuer that the test plays."""

    def __init__(self, key_set: Any = KEY_SET) -> None:
        super().__init__(key_set)
        self.clock = Times()
        self.gone = 0
        self.keys = Keys(issuer(), self, self.clock, self._went)

    def _went(self) -> None:
        self.gone += 1


async def test_keys_are_fetched_once_for_as_long_as_they_are_fresh():
    asked = Asked()
    for _ in range(5):
        assert (await asked.keys.find("k1", "RS256")).kid == "k1"
        asked.clock.now += 59
    assert asked.asked == 1


async def test_many_at_once_wait_for_one_answer():
    asked = Asked()
    asked.gate = asyncio.Event()
    waiting = [asyncio.create_task(asked.keys.find("k1", "RS256")) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # a client that goes away takes the answer from nobody
    asked.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert asked.asked == 1 and isinstance(found[0], asyncio.CancelledError)
    assert len({key.text for key in found[1:] if not isinstance(key, BaseException)}) == 1


async def test_a_key_that_was_rotated_in_is_found_once_the_cooldown_is_over():
    asked = Asked()
    await asked.keys.find("k1", "RS256")
    asked.key_set = ROTATED
    with pytest.raises(TokenRefused, match="unknown key"):
        await asked.keys.find("k2", "RS256")
    asked.clock.now += 31
    assert (await asked.keys.find("k2", "RS256")).kid == "k2"
    assert asked.asked == 2 and asked.gone == 0


async def test_made_up_key_ids_cost_one_question_each_cooldown():
    asked = Asked()
    for number in range(300):
        with pytest.raises(TokenRefused):
            await asked.keys.find(f"made-up-{number}", "RS256")
        asked.clock.now += 0.5
    assert asked.asked <= 6


async def test_a_key_that_is_taken_back_counts_no_more_once_keys_are_old():
    asked = Asked(ROTATED)
    await asked.keys.find("k2", "RS256")
    asked.key_set = KEY_SET
    asked.clock.now += 301
    await asked.keys.find("k2", "RS256")  # asks, and does not wait
    await asyncio.sleep(0)
    with pytest.raises(TokenRefused):
        await asked.keys.find("k2", "RS256")
    assert asked.gone == 1


async def test_known_keys_go_on_for_four_hours_while_the_issuer_is_down_and_then_no_longer():
    asked = Asked()
    await asked.keys.find("k1", "RS256")
    asked.key_set = DOWN
    asked.clock.now += 4 * 3600 - 1
    assert (await asked.keys.find("k1", "RS256")).kid == "k1"
    await asyncio.sleep(0)
    assert asked.keys.problem == "it does not answer"
    asked.clock.now += 2
    with pytest.raises(Unavailable, match="corp cannot be checked now"):
        await asked.keys.find("k1", "RS256")
    asked.key_set = KEY_SET
    asked.clock.now += 31
    assert (await asked.keys.find("k1", "RS256")).kid == "k1" and asked.keys.problem is None


async def test_an_issuer_that_was_never_reached_is_asked_once_each_cooldown():
    asked = Asked(DOWN)
    for _ in range(10):
        with pytest.raises(Unavailable):
            await asked.keys.find("k1", "RS256")
        asked.clock.now += 6
    assert asked.asked == 2


async def test_who_looks_now_does_not_wait_for_the_cooldown():
    asked = Asked(DOWN)
    await asked.keys.renew()
    asked.key_set = KEY_SET
    await asked.keys.renew()
    assert asked.asked == 2 and [key.kid for key in asked.keys.known] == ["k1"]


def kids(*told: Any) -> list[str | None]:
    return [key.kid for key in usable({"keys": [jwk(RSA, "RS256", "good"), *told]}, ALGORITHMS)]


def test_only_public_keys_for_signatures_are_used():
    private = jwk(RSA, "RS256", "a", d="AQAB")
    other_use, other_ops = jwk(RSA, "RS256", "b", use="enc"), jwk(RSA, "RS256", "c", key_ops=["encrypt"])
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "d", "alg": "HS256"}
    wrong = [{**jwk(EC, "ES256", "e"), "x": "AAAA"}, {**jwk(ED, "EdDSA", "f"), "x": 5}, {"kty": "RSA"}, 5, None]
    assert kids(private, other_use, other_ops, secret, *wrong) == ["good"]
    assert kids(jwk(EC, "ES256", "e"), jwk(ED, "EdDSA", "f"), jwk(ED, "EdDSA", "g", alg="Ed25519")) == [
        "good", "e", "f", "g"
    ]  # fmt: skip


@pytest.mark.parametrize("told", [{}, {"keys": 5}, {"keys": []}, {"keys": [{}] * 51}])
def test_a_key_set_that_holds_nothing_of_use_is_a_problem(told: Any):
    with pytest.raises(IssuerProblem):
        usable(told, ALGORITHMS)


_VALUE = st.none() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2)
_JWK = st.dictionaries(
    st.sampled_from(["kty", "alg", "use", "kid", "n", "e", "crv", "x", "y", "key_ops", "d", "x5c"]), _VALUE
)


@settings(max_examples=50)
@given(kind=st.sampled_from(["RSA", "EC", "OKP"]), told=_JWK)
def test_no_key_that_an_issuer_tells_is_an_error(kind: str, told: dict[str, Any]):
    usable({"keys": [jwk(RSA, "RS256"), {"kty": kind} | told]}, ALGORITHMS)
