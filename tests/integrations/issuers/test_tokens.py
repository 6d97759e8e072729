"""One token: what is believed, and what is not."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.integrations.issuers.issuers import Issuers
from mcp_server.integrations.issuers.keys import Keys
from mcp_server.integrations.issuers.model import Issuer, Verified
from mcp_server.integrations.issuers.tokens import TOKEN_CHARACTERS_MAX
from mcp_server.kernel.errors import PermissionDenied
from tests.integrations.issuers.stand_in import (
    AUDIENCE,
    EC,
    ED,
    EVERYBODY,
    KEY_SET,
    OTHER_RSA,
    RSA,
    URL,
    Times,
    Told,
    claims,
    issuer,
    jwk,
    token,
)

pytestmark = pytest.mark.anyio
ALL_KEYS = {"keys": [jwk(RSA, "RS256"), jwk(EC, "ES256", "e1"), jwk(ED, "EdDSA", "d1"), jwk(RSA, "PS256", "p1")]}


def issuers(*known: Issuer, told: Told | None = None, clock: Any = time.time, steady: Any = None) -> Issuers:
    """Issuers that give the test's keys without being asked over a network."""
    found = Issuers(known or (issuer(),), clock, steady or Times())
    for url, one in list(found._known.items()):
        keys = Keys(one.issuer, told or Told(ALL_KEYS), steady or Times(), found._cached.clear)
        found._known[url] = type(one)(one.issuer, keys)
    return found


async def verified(text: str, *known: Issuer) -> Verified | str:
    return await issuers(*known).verify(text)


@pytest.mark.parametrize(
    ("private", "algorithm", "kid"),
    [(RSA, "RS256", "k1"), (RSA, "PS256", "p1"), (EC, "ES256", "e1"), (ED, "EdDSA", "d1")],
)
async def test_a_token_by_each_algorithm_counts(private: Any, algorithm: str, kid: str):
    found = await verified(token(private, algorithm, {"kid": kid, "typ": "at+jwt"}))
    assert isinstance(found, Verified) and found.actor.label == "user:corp/ann"
    assert found.expires_at > time.time() + 500


NOW, A_DAY = int(time.time()), 86_400
"""Named while tests are collected, which may be long before they run."""
STRANGE: list[tuple[dict[str, Any], str]] = [
    ({"exp": NOW - 60}, "expired"),
    ({"exp": None}, "malformed"),
    ({"exp": "soon"}, "malformed"),
    ({"exp": 1e400}, "malformed"),
    ({"exp": True}, "expired"),
    ({"nbf": NOW + A_DAY}, "not yet valid"),
    ({"iat": NOW + A_DAY}, "not yet valid"),
    ({"iat": {}}, "malformed"),
    ({"aud": None}, "malformed"),
    ({"aud": "https://other.example.org/mcp"}, "another audience"),
    ({"aud": AUDIENCE + "x"}, "another audience"),
    ({"aud": []}, "malformed"),
    ({"aud": {"a": AUDIENCE}}, "another audience"),
    ({"aud": [1, AUDIENCE]}, "another audience"),
    ({"iss": None}, "malformed"),
    ({"iss": URL + "/"}, "unknown issuer"),
    ({"iss": URL.upper()}, "unknown issuer"),
    ({"iss": [URL]}, "malformed"),
    ({"sub": 5}, "malformed"),
    ({"sub": ""}, "no name"),
    ({"at_hash": "x"}, "another kind of token"),
    ({"nonce": "x"}, "another kind of token"),
    ({"typ": "ID"}, "another kind of token"),
    ({"typ": "Refresh"}, "another kind of token"),
    ({"cnf": {"jkt": "x"}}, "bound to a key"),
    ({"sub": "a" * 100}, "a name too long"),
]


@pytest.mark.parametrize(("more", "reason"), STRANGE)
async def test_a_token_that_is_not_for_here_and_now_lets_nobody_in(more: dict[str, Any], reason: str):
    told = claims(**{name: value for name, value in more.items() if value != 1e400})
    text = json.dumps(told)
    if more.get("exp") == 1e400:
        text = text.replace(str(told["exp"]), "1e400")
    signed = jwt.api_jws.encode(text.encode(), RSA, "RS256", {"kid": "k1"})
    assert await verified(signed) == reason


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"crit": ["exp"]}, "critical header"),
        ({"crit": []}, "critical header"),
        ({"typ": "logout+jwt"}, "another kind of token"),
        ({"typ": "dpop+jwt"}, "another kind of token"),
        ({"kid": "other"}, "unknown key"),
        ({"kid": "p1"}, "unknown key"),
        ({"jku": "https://evil.example.org/keys", "kid": "other"}, "unknown key"),
        ({"jwk": jwk(OTHER_RSA, "RS256", "other"), "kid": "other"}, "unknown key"),
    ],
)
async def test_what_a_header_asks_for_beside_what_is_known_is_refused(headers: dict[str, Any], reason: str):
    assert await verified(token(headers=headers)) == reason


async def test_types_that_access_tokens_have_are_taken_whatever_their_case():
    for kind in ("JWT", "at+JWT", "application/at+jwt"):
        assert isinstance(await verified(token(headers={"typ": kind})), Verified)


async def test_a_token_without_a_key_id_counts_where_there_is_one_key_for_its_algorithm():
    told = jwt.encode(claims(), EC, "ES256")
    assert isinstance(await verified(told), Verified)
    two = issuers(told=Told({"keys": [jwk(RSA, "RS256"), jwk(OTHER_RSA, "RS256", "k2")]}))
    assert await two.verify(jwt.encode(claims(), RSA, "RS256")) == "unknown key"


async def test_a_token_by_another_key_of_the_same_name_is_refused():
    assert await verified(token(OTHER_RSA)) == "bad signature"


async def test_an_algorithm_that_the_operator_left_out_is_refused_although_the_key_is_known():
    assert await verified(token(EC, "ES256", {"kid": "e1"}), issuer(algorithms=("RS256",))) == "algorithm"


def forged(header: dict[str, Any], body: dict[str, Any], sign: Any = lambda signed: b"x") -> str:
    """A token as only somebody who means harm writes it."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, body)]
    return (b".".join([*parts, base64.urlsafe_b64encode(sign(b".".join(parts))).rstrip(b"=")])).decode()


async def test_no_algorithm_and_a_public_key_used_as_a_secret_are_refused():
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), json.dumps(KEY_SET["keys"][0]).encode()):

        def by(signed: bytes, secret: bytes = secret) -> bytes:
            return hmac.new(secret, signed, hashlib.sha256).digest()

        assert await verified(forged({"alg": "HS256", "kid": "k1"}, claims(), by)) == "algorithm"
    for none in ("none", "None", "NONE", "nOnE", ""):
        assert await verified(forged({"alg": none, "kid": "k1"}, claims())) == "algorithm"
    assert await verified(forged({"kid": "k1"}, claims())) == "malformed"
    assert not issuers().takes(jwt.encode(claims(), None, "none"))


async def test_a_key_counts_only_for_the_algorithm_that_it_was_told_for():
    assert await verified(token(RSA, "PS256", {"kid": "k1"})) == "unknown key"


async def test_what_is_too_long_or_has_another_form_is_not_looked_at():
    known = issuers()
    long = token(filler="x" * TOKEN_CHARACTERS_MAX)
    assert not any(map(known.takes, (long, "", "a.b", "a.b.c.d", "a.b.c=", "ä.b.c", "a.b.c\n", "a .b.c", "..")))
    assert await known.verify("\ud800.b.c") == "malformed"


async def test_deep_nesting_is_refused_and_no_error():
    deep = base64.urlsafe_b64encode(b'{"iss":' + b"[" * 5000).rstrip(b"=").decode()
    assert await verified(f"{deep}.{deep}.x") == "malformed"


parts = st.sampled_from([0, 1, 2])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_HEADER = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "x5c", "zip"]), _JSON, max_size=5)
_CLAIMS = st.dictionaries(
    st.sampled_from(
        ["iss", "aud", "sub", "exp", "nbf", "iat", "scope", "scp", "groups", "cnf", "client_id", "azp", "jti"]
    ),
    _JSON,
)


@settings(max_examples=60)
@given(where=parts, at=st.integers(0, 10_000), byte=st.sampled_from("AZaz09-_"), cut=st.booleans())
async def test_a_token_altered_anywhere_lets_nobody_in(where: int, at: int, byte: str, cut: bool):
    text = TOKEN.split(".")
    part = text[where]
    at %= len(part)
    text[where] = part[:at] if cut else part[:at] + byte + part[at + 1 :]
    altered = ".".join(text)
    if altered != TOKEN:
        assert isinstance(await KNOWN.verify(altered), str)


async def nobody_in(header: dict[str, Any], body: dict[str, Any], signature: bytes) -> None:
    made = forged({"alg": "RS256", "kid": "k1"} | header, {"iss": URL} | body, lambda _: signature)
    assert isinstance(await KNOWN.verify(made), str)


_GARBAGE = given(header=_HEADER, body=_CLAIMS, signature=st.binary(max_size=70))


@settings(max_examples=20)
@_GARBAGE
async def test_garbage_in_the_form_of_a_token_lets_nobody_in(header: Any, body: Any, signature: bytes):
    await nobody_in(header, body, signature)


@pytest.mark.slow
@settings(max_examples=1000)
@_GARBAGE
async def test_much_garbage_in_the_form_of_tokens_lets_nobody_in(header: Any, body: Any, signature: bytes):
    await nobody_in(header, body, signature)


async def taken_or_refused(body: dict[str, Any]) -> None:
    try:
        signed = jwt.api_jws.encode(json.dumps(claims() | body).encode(), RSA, "RS256", {"kid": "k1"})
        found = await KNOWN.verify(signed)
    except PermissionDenied:
        return
    assert isinstance(found, str) or found.actor.label.startswith("user:corp/")


@settings(max_examples=20)
@given(body=_CLAIMS)
async def test_whatever_an_issuer_itself_signs_is_taken_or_refused_and_no_error(body: dict[str, Any]):
    await taken_or_refused(body)


@pytest.mark.slow
@settings(max_examples=1000)
@given(body=_CLAIMS)
async def test_much_that_an_issuer_itself_signs_is_taken_or_refused_and_no_error(body: dict[str, Any]):
    await taken_or_refused(body)


async def test_a_weak_key_of_an_issuer_is_not_used():
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    told = Told({"keys": [jwk(weak, "RS256", "w1"), jwk(RSA, "RS256")]})
    assert await issuers(told=told).verify(token(headers={"kid": "w1"})) == "unknown key"


async def test_a_known_token_is_verified_once_and_again_once_it_has_ended(monkeypatch: pytest.MonkeyPatch):
    clock = Times()
    clock.now = time.time()
    known = issuers(clock=clock)
    text, counted = token(), []
    from mcp_server.integrations.issuers import issuers as module

    really = module.verified
    monkeypatch.setattr(module, "verified", lambda *told: (counted.append(1), really(*told))[1])
    assert await known.verify(text) is await known.verify(text)
    assert len(counted) == 1
    clock.now += 700
    await known.verify(text)
    assert len(counted) == 2


async def test_known_tokens_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch):
    from mcp_server.integrations.issuers import issuers as module

    monkeypatch.setattr(module, "CACHED_MAX", 3)
    known = issuers()
    for number in range(5):
        await known.verify(token(ED, "EdDSA", {"kid": "d1"}, sub=f"u{number}"))
    assert len(known._cached) == 3


async def test_a_token_that_is_known_ends_with_the_key_that_signed_it():
    told, steady = Told(KEY_SET), Times()
    known = issuers(told=told, steady=steady)
    text = token()
    assert isinstance(await known.verify(text), Verified)
    told.key_set = {"keys": [jwk(OTHER_RSA, "RS256", "k2")]}
    steady.now += 301
    await known.verify(text)  # asks beside it
    await known._known[URL].keys.renew()
    assert await known.verify(text) == "unknown key"


TOKEN = token()
KNOWN = issuers(issuer(EVERYBODY))
