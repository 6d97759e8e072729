"""What is shown of users and keys: never a text, never a hash."""

import json
from typing import Any

from mcp_server.domain.people.commands import UserStatus
from mcp_server.domain.people.model import Key, KeyState
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import Micros, iso, iso_or_none
from mcp_server.kernel.views import View


class UserView(View):
    """A user."""

    name: str
    role: str
    status: UserStatus
    display_name: str | None = None
    address: str | None = None
    created_by: str
    created_at: str


class KeyView(View):
    """A key: whose it is, what narrows it, and whether it counts."""

    id: str
    holder: str
    name: str | None = None
    state: KeyState
    role: str | None = None
    permissions: list[str] | None = None
    toolsets: list[str] | None = None
    agent: str | None = None
    namespace: str | None = None
    source: str | None = None
    expires_at: str | None = None
    old_text_until: str | None = None
    revoked_at: str | None = None
    used_at: str | None = None
    created_by: str
    created_at: str


def user_view(row: Row) -> UserView:
    """A user from its row."""
    same = {name: row[name] for name in ("role", "status", "display_name", "address", "created_by")}
    return UserView(name=row["id"], created_at=iso(row["created_at"]), **same)


def key_view(row: Row, now: Micros) -> KeyView:
    """A key from its row, which may have the status of its user and its last use beside."""
    row = dict(row)
    same = {name: row[name] for name in ("id", "name", "role", "agent", "namespace", "source", "created_by")}
    old_until = row["old_until"]
    return KeyView(
        holder=f"{row['holder_kind']}:{row['holder_id']}",
        state=Key.adopt(row).state(now, row.get("user_status")),
        permissions=_listed(row["permissions"]),
        toolsets=_listed(row["toolsets"]),
        old_text_until=iso(old_until) if old_until is not None and old_until > now else None,
        created_at=iso(row["created_at"]),
        **{name: iso_or_none(row.get(name)) for name in ("expires_at", "revoked_at", "used_at")},
        **same,
    )


def _listed(text: str | None) -> Any:
    return None if text is None else json.loads(text)
