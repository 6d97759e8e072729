"""Commits: several calls that land together, and the key under which that is repeated safely."""

import json
from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field

from mcp_server.kernel.composing import Calls
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson, canonical_hash, dump_json
from mcp_server.kernel.keys import key_conflict
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros
from mcp_server.kernel.values import Frozen, Line


class CommitCalls(Frozen):
    """Several writes land together, or none does."""

    calls: Calls = Field(min_length=1)
    idempotency_key: Line | None = None
    dry_run: bool = False

    def content_hash(self) -> str:
        """What the key is bound to: the calls as they were said."""
        return canonical_hash([one.model_dump() for one in self.calls])


class Commit(Record):
    """What landed under a key: which tools were called, and the ids of what each made."""

    id: str
    idempotency_key: str
    key_owner: str
    content_hash: str
    tools: str
    made: str
    created_by: str
    created_at: Micros
    version: int

    @classmethod
    def landed(cls, command: CommitCalls, origin: Origin, made: Sequence[Sequence[str]]) -> tuple[Self, Event]:
        """The record of a commit that was made under a key."""
        data: dict[str, Any] = {
            "idempotency_key": command.idempotency_key,
            "key_owner": origin.principal,
            "content_hash": command.content_hash(),
            "tools": RawJson(dump_json([one.tool for one in command.calls])),
            "made": RawJson(dump_json([list(ids) for ids in made])),
            "created_by": origin.actor,
            "created_at": origin.at,
        }
        id_ = origin.new_id("commit")
        return cls.adopt({"id": id_, "version": 1} | data), Event("commit.landed", "commit", id_, 1, data, creates=True)

    def require_same(self, command: CommitCalls) -> None:
        """Refuse the key of another commit.

        Raises:
            IdempotencyConflict: its calls differ.
        """
        if self.content_hash != command.content_hash():
            raise key_conflict(self.idempotency_key, "commit", self.id)

    def told(self) -> list[dict[str, Any]]:
        """Which call landed, and what is new by it, for one who repeats the commit."""
        landed = zip(json.loads(self.tools), json.loads(self.made), strict=True)
        return [{"tool": tool} | ({"made": ids} if ids else {}) for tool, ids in landed]
