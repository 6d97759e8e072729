"""KV namespaces of Cloudflare as the other side of mirrors: found by title or id, read and written in bulk."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from mcp_server.domain.state.kv_values import Entry
from mcp_server.integrations.cloudflare.calling import Account, Calling, CloudFailed
from mcp_server.integrations.cloudflare.kv import READS_MAX, WRITE_BYTES_MAX, KvNamespaces, Listed, Pair
from mcp_server.kernel.handling import HandlerFailed

_LOST = "\N{REPLACEMENT CHARACTER}"
"""Stands in a text where bytes were that are none."""

_BAD_PART = (400, 413)
"""What Cloudflare answers to a bulk request of which one key, value or metadata is not allowed."""


class CloudflareRemote:
    """See `Remote`."""

    def __init__(self, account: Account) -> None:
        self._calling = Calling(account)
        self._kv = KvNamespaces(self._calling)
        self._ids: dict[str, str] = {}

    async def entries(self, namespace: str) -> AsyncIterator[dict[str, Entry]]:
        """All that a namespace holds, in parts."""
        try:
            id_ = await self._id(namespace)
            async for page in self._kv.keys(id_):
                for start in range(0, len(page), READS_MAX):
                    yield await self._read(id_, page[start : start + READS_MAX])
        except CloudFailed as failed:
            raise handler_failed(failed) from None

    async def write(self, namespace: str, entries: Mapping[str, Entry]) -> Sequence[str]:
        """Write some keys; those that were not taken."""
        refused = list[str]()
        try:
            for part in _parts(entries):
                refused += await self._written(await self._id(namespace), part)
        except CloudFailed as failed:
            raise handler_failed(failed) from None
        return refused

    async def _written(self, id_: str, part: Sequence[Pair]) -> list[str]:
        """Write a part; those that were not taken. One key that KV refuses has it refuse them all: it is looked for,
        so that the others arrive."""
        try:
            return list(await self._kv.write(id_, part))
        except CloudFailed as failed:
            if failed.status not in _BAD_PART:
                raise
        if len(part) == 1:
            return [part[0].key]
        half = len(part) // 2
        return [*await self._written(id_, part[:half]), *await self._written(id_, part[half:])]

    async def delete(self, namespace: str, keys: Sequence[str]) -> Sequence[str]:
        """Take some keys away; those that were not."""
        try:
            return await self._kv.delete(await self._id(namespace), keys)
        except CloudFailed as failed:
            raise handler_failed(failed) from None

    async def close(self) -> None:
        """Let go of connections."""
        await self._calling.close()

    async def _id(self, namespace: str) -> str:
        """Cloudflare's id of a namespace that is named by it or by its title; one that is not there is made."""
        if namespace not in self._ids:
            titles = await self._kv.titles()
            known = titles | {id_: id_ for id_ in titles.values()}
            self._ids[namespace] = known.get(namespace) or await self._kv.create(namespace)
        return self._ids[namespace]

    async def _read(self, id_: str, listed: Sequence[Listed]) -> dict[str, Entry]:
        values = await self._kv.read(id_, [one.key for one in listed])
        told: dict[str, Entry] = {}
        for one in listed:
            content = values.get(one.key)
            if content is not None and _LOST.encode() in content:
                content = await self._kv.read_bytes(id_, one.key)
            if content is not None:  # else it was taken away between the two requests
                told[one.key] = Entry(content, one.metadata)
        return told


def handler_failed(failed: CloudFailed) -> HandlerFailed:
    """What a request that failed means for the task that made it."""
    is_later = failed.outcome != "refused"
    return HandlerFailed(failed.message, failed.outcome, is_later, failed.retry_after_seconds)


def _parts(entries: Mapping[str, Entry]) -> Iterator[list[Pair]]:
    """Pairs in requests that are not too large, as base64 at the worst."""
    part, size = list[Pair](), 0
    for key, entry in entries.items():
        weight = len(entry.content) * 3 // 2 + len(key) + 2048
        if part and size + weight > WRITE_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(Pair(key, entry.content, entry.metadata))
        size += weight
    if part:
        yield part
