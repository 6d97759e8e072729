"""What is done in a call under an idempotency key, once: something is said or played, a question put, people asked in.
What came of it is kept beside the key, and told to who repeats it; it goes with what was said."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mcp_server.domain.calls.model import LiveCall
from mcp_server.domain.calls.rows import load
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.keys import Key, key_conflict
from mcp_server.kernel.store import Row, Transaction


class Acted(NamedTuple):
    """What came of something that was done in a call.

    Attributes:
        call: as it is now.
        asked: the numbers of those who were asked in.
        approval_id: the question that was put.
        replayed: whether an idempotency key found it, so that nothing was done now.
    """

    call: LiveCall
    asked: Sequence[int] = ()
    approval_id: str | None = None
    replayed: bool = False


def once(tx: Transaction, origin: Origin, call_id: str, key: Key, act: Callable[..., Acted], *args: Any) -> Acted:
    """Do something in a call, unless it was done under this key before; without a key, in any case.

    Raises:
        IdempotencyConflict: the key was used for something else in this call.
    """
    if key.idempotency_key is None:
        return act(tx, origin, call_id, *args)
    key = key.owned_by(origin.principal)
    call = load(tx, call_id)  # locked: of two at once one comes later
    row = tx.one("call_act", call_id=call_id, owner=key.key_owner, key=key.idempotency_key)
    if row is not None:
        return earlier(call, key, row)
    acted = act(tx, origin, call_id, *args)
    told = dump_json({"asked": list(acted.asked), "approval_id": acted.approval_id})
    kept = {"owner": key.key_owner, "key": key.idempotency_key, "content_hash": key.content_hash}
    tx.run("call_act_insert", call_id=call_id, told=told, **kept)
    return acted


def earlier(call: LiveCall, key: Key, row: Row) -> Acted:
    """What came of what was done under a key before.

    Raises:
        IdempotencyConflict: it was something else.
    """
    if row["content_hash"] != key.content_hash:
        raise key_conflict(key.idempotency_key or "", "act", f"in {call.id}", call_id=call.id)
    told = json.loads(row["told"])
    return Acted(call, told["asked"], told["approval_id"], replayed=True)
