"""Asking an issuer for its metadata and its keys: bounded in time and size, and nowhere but where it may be asked."""

import asyncio
import json
from typing import Any, cast

import httpx2

from mcp_server.integrations.issuers.addresses import may_be_asked, metadata_urls
from mcp_server.integrations.issuers.model import Issuer, IssuerProblem
from mcp_server.kernel.quoting import named

FETCH_SECONDS = 5.0
BODY_BYTES_MAX = 256 * 1024


class Fetcher:
    """Finds and fetches the keys of one issuer."""

    def __init__(self, issuer: Issuer, seconds: float = FETCH_SECONDS) -> None:
        self._issuer = issuer
        self._seconds = seconds
        self._found: str | None = None

    async def key_set(self) -> dict[str, Any]:
        """Its JSON Web Key Set, as it is now.

        Raises:
            IssuerProblem: there is none to be had; the message says why.
        """
        url = self._issuer.jwks_url or self._found or await self._discovered()
        try:
            keys = await self._object(url)
        except IssuerProblem:
            self._found = None  # they may have moved
            raise
        self._found = url
        return keys

    async def _discovered(self) -> str:
        """Where the keys are, by the metadata of OpenID Connect or, where there is none, RFC 8414."""
        problem: IssuerProblem | None = None
        for url in metadata_urls(self._issuer.url):
            try:
                return self._keys_of(url, await self._object(url))
            except IssuerProblem as error:
                problem = problem or error
        assert problem is not None, "there is more than one place to look"
        raise problem

    def _keys_of(self, url: str, metadata: dict[str, Any]) -> str:
        if metadata.get("issuer") != self._issuer.url:
            raise IssuerProblem(f"{url} names another issuer: {named(str(metadata.get('issuer')))}")
        keys = metadata.get("jwks_uri")
        if not isinstance(keys, str) or not may_be_asked(keys, by=self._issuer.url):
            raise IssuerProblem(f"{url} names no jwks_uri that may be asked: {named(str(keys))}")
        return keys

    async def _object(self, url: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._seconds):
                text = await _body(url)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError, ValueError) as error:
            raise IssuerProblem(f"{url} does not answer ({type(error).__name__})") from None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise IssuerProblem(f"{url} answers with something else than JSON") from None
        if not isinstance(value, dict):
            raise IssuerProblem(f"{url} answers with no JSON object")
        return cast("dict[str, Any]", value)


async def _body(url: str) -> bytes:
    """What a GET gives. No redirect is followed, and nothing unpacked: a small answer could become a large one."""
    is_tls = url.startswith("https:")
    client = await asyncio.to_thread(httpx2.AsyncClient, verify=is_tls, trust_env=is_tls)  # it reads certificates
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    async with client, client.stream("GET", url, headers=headers) as answer:
        if answer.status_code != 200:
            raise IssuerProblem(f"{url} answers with status {answer.status_code}")
        body = b""
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise IssuerProblem(f"{url} answers with more than {BODY_BYTES_MAX // 1024} KiB")
        return body
