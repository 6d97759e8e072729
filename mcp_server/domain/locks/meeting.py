"""What is held of a lock, and of all others that may meet it."""

from collections.abc import Iterable

from mcp_server.domain.locks.model import Hold
from mcp_server.domain.locks.paths import beginning, is_glob
from mcp_server.kernel.events import Origin
from mcp_server.kernel.paging import after_all
from mcp_server.kernel.store import Transaction


def guard_all(tx: Transaction) -> None:
    """On PostgreSQL keep everyone else from every name until the commit."""
    tx.one("lock_guard_all")


def guard(tx: Transaction, name: str) -> None:
    """On PostgreSQL keep everyone else from this name, or for a glob from every name, until the commit."""
    if is_glob(name):
        guard_all(tx)
    else:
        tx.one("lock_guard", name=name)


def live_holds(tx: Transaction, origin: Origin, name: str) -> list[Hold]:
    """What is held of a lock, and of others that may meet it. What has expired of the lock itself ends."""
    return _living(tx, origin, name, every_hold(tx, name))


def holds_of(tx: Transaction, origin: Origin, name: str) -> list[Hold]:
    """What is held of a lock under this very name. What has expired ends."""
    return _living(tx, origin, name, map(Hold.adopt, tx.all("lock_holds_named", name=name)))


def _living(tx: Transaction, origin: Origin, name: str, holds: Iterable[Hold]) -> list[Hold]:
    live: list[Hold] = []
    for hold in holds:
        if hold.expires_at > origin.at:
            live.append(hold)
        elif hold.name == name:
            tx.run("lock_hold_delete", name=name, fencing_token=hold.fencing_token)
            tx.append(origin, hold.gone("expired"))
    return live


def every_hold(tx: Transaction, name: str) -> list[Hold]:
    """What is held of a lock, and of others that may meet it; also what has expired."""
    if not is_glob(name):
        # The name itself and every glob: of these a party may have a few hundred, of names as many as it likes.
        return [Hold.adopt(row) for row in tx.all("lock_holds", name=name)]
    # Others may hold tens of thousands of names; what a glob means lies together in the index.
    low = beginning(name)
    return [Hold.adopt(row) for row in tx.all("lock_holds_within", low=low, high=after_all(low))]
