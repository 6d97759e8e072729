"""Transaction functions of users and keys."""

import unicodedata
from collections.abc import Container, Sequence
from typing import NamedTuple

from mcp_server.domain.people.commands import FROM_FILE, AddUser, ChangeUser, CreateKey, KeyHash, UserStatus
from mcp_server.domain.people.model import Key
from mcp_server.domain.people.refusals import is_there, no_key, no_user, wider
from mcp_server.domain.people.users import User
from mcp_server.kernel.authority import Role
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros


class Taken(NamedTuple):
    """What a token file brought: new keys, those revoked whose tokens are no longer in it, and those in it that were
    revoked before."""

    created: list[Key]
    revoked: list[Key]
    dead: list[str]


def add_user(tx: Transaction, origin: Origin, command: AddUser) -> User:
    """Let somebody use this server.

    Raises:
        Conflict: there is a user of that name, or of one that looks the same.
    """
    folded = _folded(command.name)
    for row in tx.all("user_names"):
        if _folded(row["id"]) == folded:
            raise is_there(command.name, row["id"])
    return _added(tx, origin, command)


def change_user(tx: Transaction, origin: Origin, command: ChangeUser) -> User:
    """Change what is said of a user.

    Raises:
        NotFound: there is no such user.
    """
    user, event = _user(tx, command.name).changed_by(command, origin.at)
    if event is not None:
        tx.record(origin, event)
    return user


def turn_user(tx: Transaction, origin: Origin, name: str, status: UserStatus) -> User:
    """Let a user in no more, or again. Its keys count no more from then on, or again.

    Raises:
        NotFound: there is no such user.
        InvalidTransition: it is so already.
    """
    user, event = _user(tx, name).turned(status, origin.at)
    tx.record(origin, event)
    return user


def create_key(tx: Transaction, origin: Origin, command: CreateKey, stored: KeyHash) -> Key:
    """Make a key.

    Raises:
        NotFound: there is no such user.
        ValidationFailed: it would be wider than its holder.
    """
    _require_narrower(command, _role_of(tx, command))
    key, event = Key.created(command, stored, origin)
    tx.record(origin, event)
    return key


def rotate_key(tx: Transaction, origin: Origin, key_id: str, sha256: str, grace_seconds: float, seen: int) -> Key:
    """Give a key another text; see `Key.rotated`.

    Raises:
        NotFound: there is no such key.
        InvalidTransition: it counts no more.
        Conflict: it was changed meanwhile.
    """
    key, event = _key(tx, key_id).rotated(sha256, grace_seconds, seen, origin.at)
    tx.record(origin, event)
    return key


def revoke_key(tx: Transaction, origin: Origin, key_id: str) -> Key:
    """Let nobody in by a key any more.

    Raises:
        NotFound: there is no such key.
        InvalidTransition: it is revoked already.
    """
    key, event = _key(tx, key_id).revoked(origin.at)
    tx.record(origin, event)
    return key


def take_tokens(tx: Transaction, origin: Origin, tokens: Sequence[tuple[CreateKey, KeyHash]]) -> Taken:
    """Have the keys that came from a token file be those whose tokens are in it. Users are made as they are needed; a
    key that was revoked stays so, whatever the file says."""
    known = {stored.sha256: _known(tx, stored.sha256) for _, stored in tokens}
    created = [_taken(tx, origin, *token) for token in tokens if known[token[1].sha256] is None]
    revoked = _gone(tx, origin, known)
    return Taken(created, revoked, [key.id for key in filter(None, known.values()) if key.revoked_at is not None])


def has_address(tx: Transaction, name: str) -> bool:
    """Whether mail reaches a user: one that is let in, and whose profile has an address."""
    row = tx.one("user_profile", id=name)
    return row is not None and row["status"] == "enabled" and row["address"] is not None


def used(tx: Transaction, key_id: str, at: Micros) -> None:
    """A key was used; it is no event."""
    tx.run("key_used", key_id=key_id, used_at=at)


def _gone(tx: Transaction, origin: Origin, there: Container[str]) -> list[Key]:
    keys = [Key.adopt(row) for row in tx.all("keys_from_file", source=FROM_FILE)]
    return [revoke_key(tx, origin, key.id) for key in keys if key.sha256 not in there]


def _known(tx: Transaction, sha256: str) -> Key | None:
    row = tx.one("key_of_sha256", sha256=sha256)
    return None if row is None else Key.adopt(row)


def _taken(tx: Transaction, origin: Origin, command: CreateKey, stored: KeyHash) -> Key:
    if command.kind == "user":
        role = command.role or Role.VIEWER
        row = tx.one("user_for_update", id=command.holder)
        if row is None:
            _added(tx, origin, AddUser.model_construct(name=command.holder, role=role, display_name=None, address=None))
        elif not role.permissions <= Role(row["role"]).permissions:
            change_user(tx, origin, ChangeUser(name=command.holder, role=role))
    key, event = Key.created(command, stored, origin)
    tx.record(origin, event)
    return key


def _added(tx: Transaction, origin: Origin, command: AddUser) -> User:
    user, event = User.added(command, origin)
    tx.record(origin, event)
    return user


def _user(tx: Transaction, name: str) -> User:
    row = tx.one("user_for_update", id=name)
    if row is None:
        raise no_user(name, [one["id"] for one in tx.all("user_names")])
    return User.adopt(row)


def _key(tx: Transaction, key_id: str) -> Key:
    row = tx.one("key_for_update", id=key_id)
    if row is None:
        raise no_key(key_id)
    return Key.adopt(row)


def _role_of(tx: Transaction, command: CreateKey) -> Role:
    if command.kind == "user":
        return Role(_user(tx, command.holder).role)
    return command.role or Role.AGENT


def _require_narrower(command: CreateKey, holders: Role) -> None:
    """Refuse what would be promised in vain."""
    allowed = holders.permissions
    if command.role is not None and not command.role.permissions <= allowed:
        raise wider("role", command.role.value, command.holder)
    allowed = command.role.permissions if command.role is not None else allowed
    for permission in command.permissions or ():
        if permission not in allowed:
            raise wider("permission", permission.value, command.holder)
    if command.kind == "agent" and command.agent is not None:
        raise wider("agent", command.agent, command.holder)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
