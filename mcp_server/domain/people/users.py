"""Users: rules only."""

from typing import Any

from mcp_server.domain.people.commands import AddUser, ChangeUser, UserStatus
from mcp_server.domain.people.refusals import same_status
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros


class User(Record):
    """A person who uses this server: a role, and a profile."""

    id: str
    role: str
    status: UserStatus
    display_name: str | None
    address: str | None
    created_by: str
    created_at: Micros
    updated_at: Micros
    version: int

    @staticmethod
    def added(command: AddUser, origin: Origin) -> tuple["User", Event]:
        """A new one."""
        data: dict[str, Any] = {
            "role": command.role.value,
            "status": "enabled",
            "display_name": command.display_name,
            "address": command.address,
            "created_by": origin.actor,
            "created_at": origin.at,
            "updated_at": origin.at,
        }
        event = Event("user.added", "user", command.name, 1, data, creates=True)
        return User.adopt({"id": command.name, "version": 1} | data), event

    def changed_by(self, command: ChangeUser, now: Micros) -> tuple["User", Event | None]:
        """With another role or profile; no event where nothing is another."""
        said = {
            "role": command.role.value if command.role else None,
            "display_name": command.display_name,
            "address": command.address,
        }
        wanted = {name: value or None for name, value in said.items() if value is not None}
        changes = {name: value for name, value in wanted.items() if getattr(self, name) != value}
        return self._evolved("changed", changes, now) if changes else (self, None)

    def turned(self, status: UserStatus, now: Micros) -> tuple["User", Event]:
        """Let in again, or let in no more.

        Raises:
            InvalidTransition: it is so already.
        """
        if self.status == status:
            raise same_status(self.id, status)
        return self._evolved(status, {"status": status}, now)

    def _evolved(self, what: str, changes: dict[str, Any], now: Micros) -> tuple["User", Event]:
        data = changes | {"updated_at": now}
        version = self.version + 1
        return self.evolved(data | {"version": version}), Event(f"user.{what}", "user", self.id, version, data)
