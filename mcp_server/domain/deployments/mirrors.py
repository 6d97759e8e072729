"""Mirrors: namespaces of state that are kept alike with key-value namespaces elsewhere, key by key.

What is known of each key is itself a document, in the namespace with `.mirror` behind its name: so agents see what is a
conflict, and a run that broke off goes on from what was written down.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from mcp_server.domain.deployments.chores import Mirrors
from mcp_server.domain.deployments.mirroring import Decision, Known, Move, decide
from mcp_server.domain.state.commands import GetDocument, ListKeys, SetDocument
from mcp_server.domain.state.kv_values import Entry, to_document, to_entry
from mcp_server.domain.state.service import StateService
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, NotFound, OpsError
from mcp_server.kernel.handling import Handler, HandlerFailed, Job
from mcp_server.kernel.json_text import canonical_hash
from mcp_server.kernel.services import Services

MIRROR_KIND = "system.mirror"
SUFFIX = ".mirror"
AT_ONCE = 500
"""How many keys are written in one request."""

_MAY = frozenset((Permission.STATE_READ, Permission.STATE_WRITE))
_CALL = Call(Actor(kind="system", id="mirror", permissions=_MAY), "mirror")


class Remote(Protocol):
    """A key-value namespace elsewhere. Whatever fails raises `HandlerFailed`."""

    def entries(self, namespace: str) -> AsyncIterator[dict[str, Entry]]:
        """All that it holds, in parts."""
        ...

    async def write(self, namespace: str, entries: Mapping[str, Entry]) -> Sequence[str]:
        """Write some keys; those that were not taken."""
        ...

    async def delete(self, namespace: str, keys: Sequence[str]) -> Sequence[str]:
        """Take some keys away; those that were not."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class _Held(NamedTuple):
    """A document as a mirror sees it; `version` is what a write of it expects."""

    version: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Run:
    """One look at one mirror, and what was decided about each key."""

    namespace: str
    other: str
    known: Mapping[str, Known]
    here: Mapping[str, _Held]
    decided: dict[str, Decision]

    def keys(self, move: Move) -> list[str]:
        """The keys that are to be moved so."""
        return [key for key, one in self.decided.items() if one.move == move]

    def news(self) -> dict[str, Decision]:
        """What is known now that was not before, of keys that are not moved."""
        still = self.keys("nothing")
        return {key: self.decided[key] for key in still if self.decided[key].known != self.known.get(key)}

    def failed(self, key: str, why: str) -> None:
        """It was not done: what is known stays what it was, so that the next run tries again."""
        before = self.known.get(key, Known())
        known = Known("error", before.local, before.remote, message=why[:500])
        self.decided[key] = Decision(self.decided[key].move, known)

    def put_off(self, key: str) -> None:
        """Nothing was done, and nothing is written down."""
        self.decided[key] = Decision("pull", self.known.get(key, Known("pending")))


class Mirroring:
    """Brings mirrors up to date."""

    def __init__(self, services: Services) -> None:
        self._state = services.get(StateService)
        self._clock = services.context.clock
        self._mirrors = services.option(Mirrors)

    async def bring_up_to_date(self, job: Job) -> dict[str, dict[str, int]]:
        """Look at every key of every mirror once; how many keys are in which status. What one mirror fails of holds up
        no other.

        Raises:
            HandlerFailed: the other side cannot be reached; what was done is written down.
        """
        remote = self._mirrors.open()
        told, failed = dict[str, dict[str, int]](), dict[str, HandlerFailed]()
        try:
            for namespace, other in self._mirrors.known.items():
                try:
                    told[namespace] = await self._one(job, remote, namespace, other)
                except HandlerFailed as failure:
                    failed[namespace] = failure
        finally:
            await remote.close()
        if failed:
            raise _together(failed)
        return told

    async def _one(self, job: Job, remote: Remote, namespace: str, other: str) -> dict[str, int]:
        known = {key: Known(**said) async for key, _, said in self._held(namespace + SUFFIX)}
        here = {key: _Held(version, to_entry(value)) async for key, version, value in self._held(namespace)}
        there = await self._there(job, remote, other)
        decided = {key: self._decided(key, known, here, there) for key in sorted({*known, *here, *there})}
        run = _Run(namespace, other, known, here, decided)
        await self._pull(run, there)
        await self._push(job, remote, run)
        await self._note(namespace, run.news())
        return dict(Counter(one.known.status for one in decided.values()))

    @staticmethod
    async def _there(job: Job, remote: Remote, other: str) -> dict[str, Entry]:
        there: dict[str, Entry] = {}
        async for part in remote.entries(other):
            there |= part
            await job.report(f"{other}: {len(there)} keys looked at")
        return there

    def _decided(
        self, key: str, known: Mapping[str, Known], here: Mapping[str, _Held], there: Mapping[str, Entry]
    ) -> Decision:
        held, entry = here.get(key), there.get(key)
        local = None if held is None else hash_of(held.entry)
        return decide(known.get(key, Known()), local, None if entry is None else hash_of(entry), self._clock())

    async def _pull(self, run: "_Run", there: Mapping[str, Entry]) -> None:
        """Write here what changed there, unless somebody was faster: then the next run decides anew."""
        for key in run.keys("pull"):
            version = run.here[key].version if key in run.here else 0
            try:
                await self._write(run.namespace, key, there.get(key), version)
            except (Conflict, NotFound):
                run.put_off(key)
                continue
            except (OpsError, ValueError) as error:
                run.failed(key, str(error))
            await self._note(run.namespace, {key: run.decided[key]})

    async def _push(self, job: Job, remote: Remote, run: "_Run") -> None:
        """Write there what changed here. It is written down after it was taken: a run that breaks off in between finds
        both sides alike."""
        pushed = run.keys("push")
        for start in range(0, len(pushed), AT_ONCE):
            part = pushed[start : start + AT_ONCE]
            await job.report(
                f"{run.namespace}: {len(pushed)} keys to write"
            )  # raises where it is another's to do by now
            for key in await self._pushed(remote, run, part):
                run.failed(key, "The other side did not take it.")
            await self._note(run.namespace, {key: run.decided[key] for key in part})

    @staticmethod
    async def _pushed(remote: Remote, run: "_Run", keys: Sequence[str]) -> list[str]:
        """Write some keys there; those that were not taken."""
        kept = {key: run.here[key].entry for key in keys if key in run.here}
        gone = [key for key in keys if key not in run.here]
        refused = [*(await remote.write(run.other, kept))] if kept else []
        return [*refused, *(await remote.delete(run.other, gone))] if gone else refused

    async def _write(self, namespace: str, key: str, entry: Entry | None, version: int) -> None:
        if entry is None:
            command = SetDocument(namespace=namespace, key=key, delete=True, expected_version=version)
        else:
            command = SetDocument(
                namespace=namespace, key=key, value=to_document(entry), expected_version=version, note="mirrored"
            )
        await self._state.set(_CALL, command)

    async def _note(self, namespace: str, decided: Mapping[str, Decision]) -> None:
        """Write down what is known; of a key that is on neither side, nothing."""
        for key, one in decided.items():
            if one.known == Known():
                await self._forget(namespace + SUFFIX, key)
            else:
                said = {name: value for name, value in one.known._asdict().items() if value is not None}
                command = SetDocument(namespace=namespace + SUFFIX, key=key, value=said, tags=(one.known.status,))
                await self._state.set(_CALL, command)

    async def _forget(self, namespace: str, key: str) -> None:
        with suppress(NotFound):
            await self._state.set(_CALL, SetDocument(namespace=namespace, key=key, delete=True))

    async def _held(self, namespace: str) -> AsyncIterator[tuple[str, int, Any]]:
        """Every document of a namespace: key, version, value."""
        after: str | None = None
        while True:
            rows = await self._state.keys(_CALL, ListKeys(namespace=namespace, after=after))
            for row in rows:
                with suppress(NotFound):
                    found = await self._state.get(_CALL, GetDocument(namespace=namespace, key=row["key"]))
                    yield row["key"], found.version, found.value
            if not rows:
                return
            after = rows[-1]["key"]


def _together(failed: Mapping[str, HandlerFailed]) -> HandlerFailed:
    """What mirrors failed of, each by its name: tried again where that may help any, once it may help all of those."""
    message = "; ".join(f"{namespace}: {one.message}" for namespace, one in failed.items())
    last = max(failed.values(), key=lambda one: (one.retryable, one.retry_after_seconds or 0))
    return HandlerFailed(message, last.code, last.retryable, last.retry_after_seconds)


def hash_of(entry: Entry) -> str:
    """What tells entries apart: of the value and its metadata."""
    content = hashlib.sha256(entry.content).hexdigest()
    return content if entry.metadata is None else canonical_hash([content, entry.metadata])


def mirror(services: Services) -> Handler:
    """Brings every mirror up to date; safe to repeat."""
    return services.get(Mirroring).bring_up_to_date
