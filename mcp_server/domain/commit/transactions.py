"""The transaction function of commits."""

from mcp_server.domain.commit.model import Commit, CommitCalls
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.writes import Landing, undo


def try_out(command: CommitCalls, tx: Transaction, origin: Origin, apply: Landing) -> Commit | None:
    """`land`, and undo it; of a commit that landed before under its key, its record.

    Raises:
        Undone: all would land.
    """
    earlier = land(command, tx, origin, apply)
    if earlier is None:
        undo(tx)
    return earlier


def land(command: CommitCalls, tx: Transaction, origin: Origin, apply: Landing) -> Commit | None:
    """Apply all calls, and keep what they made under the key, if there is one. What landed under it before is returned
    instead, and nothing is applied.

    Raises:
        IdempotencyConflict: the key was used for other calls.
    """
    if command.idempotency_key is None:
        apply()
        return None
    row = tx.one("commit_by_key", key=command.idempotency_key, owner=origin.principal)
    if row is not None:
        earlier = Commit.adopt(row)
        earlier.require_same(command)
        return earlier
    tx.record(origin, Commit.landed(command, origin, apply())[1])
    return None
