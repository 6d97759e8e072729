"""KV namespaces of an account of Cloudflare, in bulk. Whatever fails raises `CloudFailed`."""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.integrations.cloudflare.calling import Calling

WRITES_MAX = 10_000
WRITE_BYTES_MAX = 90 * 1024 * 1024
READS_MAX = 100
KEYS_MAX = 1000
"""What one request may hold; Cloudflare takes 100 MB in one bulk write, base64 included."""


class Listed(NamedTuple):
    """A key as it is listed: its metadata, and when it expires, in seconds since 1970."""

    key: str
    metadata: Any
    expiration: int | None


class Pair(NamedTuple):
    """What is written under a key."""

    key: str
    content: bytes
    metadata: Any = None
    expiration: int | None = None


class KvNamespaces:
    """The KV namespaces of one account."""

    def __init__(self, calling: Calling) -> None:
        self._calling = calling
        self._namespaces = calling.sdk.kv.namespaces

    async def titles(self) -> dict[str, str]:
        """The id of each namespace by its title."""
        found = await self._calling.listed(self._namespaces.with_raw_response.list)
        return {one["title"]: one["id"] for one in found}

    async def create(self, title: str) -> str:
        """Make a namespace; its id."""
        return (await self._calling.result(self._namespaces.with_raw_response.create, title=title))["id"]

    async def keys(self, namespace_id: str) -> AsyncIterator[list[Listed]]:
        """All keys, page by page."""
        cursor: Mapping[str, str] = {}
        while True:
            request = self._namespaces.keys.with_raw_response.list
            body = await self._calling.body(request, namespace_id, limit=KEYS_MAX, **cursor)
            yield [Listed(one["name"], one.get("metadata"), one.get("expiration")) for one in body["result"]]
            info: dict[str, str] = body.get("result_info") or {}
            if not info.get("cursor"):
                return
            cursor = {"cursor": info["cursor"]}

    async def read(self, namespace_id: str, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of some keys, of those that are there: at most `READS_MAX`, and only texts."""
        request = self._namespaces.with_raw_response.bulk_get
        found = await self._calling.result(request, namespace_id, keys=list(keys), type="text")
        values: dict[str, str | None] = found["values"]
        return {key: value.encode() for key, value in values.items() if value is not None}

    async def read_bytes(self, namespace_id: str, key: str) -> bytes | None:
        """The value of one key as it is; None where there is none."""
        request = self._namespaces.values.with_raw_response.get
        return await self._calling.content(request, key, namespace_id=namespace_id)

    async def write(self, namespace_id: str, pairs: Sequence[Pair]) -> list[str]:
        """Write some keys, at most `WRITES_MAX`; those that Cloudflare did not take."""
        body = [_written(pair) for pair in pairs]
        request = self._namespaces.with_raw_response.bulk_update
        return _not_taken(await self._calling.result(request, namespace_id, body=body))

    async def delete(self, namespace_id: str, keys: Sequence[str]) -> list[str]:
        """Take some keys away, at most `WRITES_MAX`; those that Cloudflare did not."""
        request = self._namespaces.with_raw_response.bulk_delete
        return _not_taken(await self._calling.result(request, namespace_id, body=list(keys)))


def _not_taken(told: dict[str, list[str]] | None) -> list[str]:
    return (told or {}).get("unsuccessful_keys") or []


def _written(pair: Pair) -> dict[str, Any]:
    more = {"metadata": pair.metadata, "expiration": pair.expiration}
    return {"key": pair.key} | _value(pair.content) | {name: one for name, one in more.items() if one is not None}


def _value(content: bytes) -> dict[str, Any]:
    try:
        return {"value": content.decode()}
    except UnicodeDecodeError:
        return {"value": base64.b64encode(content).decode(), "base64": True}
