"""Asking an issuer: where it is asked, and that nothing it answers takes long or much."""

import asyncio
from typing import Any

import pytest

from mcp_server.integrations.issuers.addresses import may_be_asked, metadata_urls
from mcp_server.integrations.issuers.fetching import BODY_BYTES_MAX, Fetcher
from mcp_server.integrations.issuers.issuers import Issuers
from mcp_server.integrations.issuers.model import IssuerProblem, Verified
from tests.integrations.issuers.stand_in import KEY_SET, answered, issuer, token, web_server

pytestmark = pytest.mark.anyio
OPENID, OAUTH = "/realms/corp/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/realms/corp"


class Site:
    """What an issuer's server answers, by path."""

    def __init__(self, **pages: Any) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []

    async def __call__(self, path: str) -> bytes:
        self.asked.append(path)
        return self.pages.get(path, answered({}, 404))


@pytest.mark.parametrize("where", [OPENID, OAUTH])
async def test_keys_are_found_by_the_metadata_of_openid_and_of_oauth(where: str):
    site = Site()
    async with web_server(site) as base:
        url = f"{base}/realms/corp"
        site.pages = {where: answered({"issuer": url, "jwks_uri": f"{base}/keys"}), "/keys": answered(KEY_SET)}
        fetcher = Fetcher(issuer(url=url))
        assert await fetcher.key_set() == KEY_SET
        assert await fetcher.key_set() == KEY_SET
    assert site.asked.count("/keys") == 2 and site.asked.count(where) == 1


async def test_keys_that_have_moved_are_looked_for_again():
    site = Site()
    async with web_server(site) as base:
        url = f"{base}/realms/corp"
        site.pages = {OPENID: answered({"issuer": url, "jwks_uri": f"{base}/keys"}), "/keys": answered(KEY_SET)}
        fetcher = Fetcher(issuer(url=url))
        await fetcher.key_set()
        site.pages = {OPENID: answered({"issuer": url, "jwks_uri": f"{base}/new"}), "/new": answered(KEY_SET)}
        with pytest.raises(IssuerProblem, match="status 404"):
            await fetcher.key_set()
        assert await fetcher.key_set() == KEY_SET


async def test_a_token_counts_by_keys_that_came_over_the_network():
    site = Site()
    async with web_server(site) as base:
        site.pages = {"/keys": answered(KEY_SET)}
        known = Issuers([issuer(url=base, jwks_url=f"{base}/keys")])
        assert isinstance(await known.verify(token(iss=base)), Verified)
        assert known.problems() == {} and await known.looked_at() == {"corp": 1}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (answered(b"not json"), "something else than JSON"),
        (answered(b"[" * 100_000), "something else than JSON"),
        (answered([]), "no JSON object"),
        (answered(b"x" * (BODY_BYTES_MAX + 1)), "more than 256 KiB"),
        (answered(KEY_SET, 500), "status 500"),
        (answered(b"", 302, location="http://127.0.0.1:1/"), "status 302"),
        (answered(b"\x1f\x8b garbage", content_encoding="gzip"), "something else than JSON"),
        (b"nothing of http\r\n\r\n", "does not answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}", "does not answer"),
        (b"", "does not answer"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_a_problem_that_is_told(answer: bytes, says: str):
    site = Site()
    async with web_server(site) as base:
        site.pages = {"/keys": answer}
        with pytest.raises(IssuerProblem, match=says):
            await Fetcher(issuer(url=base, jwks_url=f"{base}/keys")).key_set()


async def test_an_issuer_that_hangs_is_given_up():
    given_up = asyncio.Event()

    async def never(_: str) -> bytes:
        await given_up.wait()  # newer Pythons' servers end only once their handlers have
        return b""

    async with web_server(never) as base:
        with pytest.raises(IssuerProblem, match="TimeoutError"):
            await Fetcher(issuer(url=base, jwks_url=f"{base}/keys"), seconds=0.05).key_set()
        given_up.set()


@pytest.mark.parametrize(
    "metadata", [{"issuer": "https://other.example.org"}, {}, {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": 5}]
)
async def test_metadata_of_another_issuer_or_with_keys_elsewhere_than_the_web_are_not_believed(metadata: Any):
    site = Site()
    async with web_server(site) as base:
        site.pages = {"/.well-known/openid-configuration": answered({"issuer": base} | metadata)}
        with pytest.raises(IssuerProblem, match="names another issuer|no jwks_uri"):
            await Fetcher(issuer(url=base)).key_set()


def test_only_the_web_by_tls_or_this_machine_may_be_asked():
    assert may_be_asked("https://a.example.org/x") and may_be_asked("http://127.0.0.1:8/x", by="http://127.0.0.1")
    assert may_be_asked("http://localhost") and may_be_asked("http://[::1]:80/")
    asked = (
        "http://a.example.org",
        "ftp://127.0.0.1",
        "https://",
        "https://u:p@a",
        "https://a/#x",
        "https://[::1",
        "x",
    )
    assert not any(map(may_be_asked, asked)) and not may_be_asked("https://a:99999999/")
    assert not may_be_asked("http://127.0.0.1/keys", by="https://a.example.org")


def test_metadata_are_looked_for_where_openid_and_rfc_8414_have_them():
    assert metadata_urls("https://a.example.org/") == [
        "https://a.example.org/.well-known/openid-configuration",
        "https://a.example.org/.well-known/oauth-authorization-server",
    ]
    assert metadata_urls("https://a/realms/corp/") == [f"https://a{OPENID}", f"https://a{OAUTH}"]
