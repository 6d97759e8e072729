"""How commits are wired into the house."""

from mcp_server.domain.commit.model import Commit
from mcp_server.kernel.area import Aggregate, Area, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.telling import Telling, whole

AREA = Area(
    name="commit",
    tables=(Table("commits"),),
    aggregates=(
        Aggregate(
            "commit",
            events={"landed": Telling.of(whole(Commit))},
            seen_by=Permission.EVENTS_READ,
            record=Commit,
            table="commits",
            row="commit_by_id",
            json=frozenset(("tools", "made")),
            hidden=frozenset(("content_hash", "idempotency_key", "made")),  # of mails and messages, too
        ),
    ),
)
