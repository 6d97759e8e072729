"""How users and keys are wired into the house."""

from mcp_server.domain.people.model import Key
from mcp_server.domain.people.users import User
from mcp_server.kernel.area import Aggregate, Area, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.telling import Telling, whole

AREA = Area(
    name="people",
    tables=(
        Table("users"),
        Table("api_keys"),
        # When a key was last used is no event: it would be one a minute for each.
        Table("key_uses", exported=False, copied=False, rebuilt=None),
    ),
    aggregates=(
        Aggregate(
            "user",
            events={
                "added": Telling.of(whole(User)),
                "changed": Telling.of("updated_at", "role display_name address"),
                "enabled": Telling.of("status updated_at"),
                "disabled": Telling.of("status updated_at"),
            },
            seen_by=Permission.PEOPLE_READ,
            record=User,
            table="users",
            row="user_for_update",
            marked=True,
        ),
        Aggregate(
            "key",
            events={
                "created": Telling.of(whole(Key)),
                "rotated": Telling.of("sha256 old_sha256 old_until updated_at"),
                "revoked": Telling.of("revoked_at old_sha256 old_until updated_at"),
            },
            seen_by=Permission.PEOPLE_READ,
            record=Key,
            table="api_keys",
            row="key_for_update",
            marked=True,
            json=frozenset(("permissions", "toolsets")),
            hidden=frozenset(("sha256", "old_sha256")),
        ),
    ),
)
