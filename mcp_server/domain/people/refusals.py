"""What is said where something about users and keys cannot be done."""

from mcp_server.kernel.errors import Conflict, InvalidTransition, NotFound, PermissionDenied, ValidationFailed
from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.quoting import named


def no_user(name: str, known: list[str]) -> NotFound:
    """There is no such user."""
    return NotFound(
        f"There is no user {named(name)}.",
        next=f"{did_you_mean(near(name, known))}See `user list`; `user add` makes one.",
        details={"user": name},
    )


def no_key(key_id: str) -> NotFound:
    """There is no such key."""
    return NotFound(f"There is no key {named(key_id)}.", next="See `key list`.", details={"key_id": key_id})


def is_there(name: str, known: str) -> Conflict:
    """A user is there already, or one whose name looks the same."""
    return Conflict(
        f"There is a user {named(known)} already.",
        next="Change it with `user set`, or take another name." if name == known else "Take a name that is not alike.",
        details={"user": known},
    )


def same_status(name: str, status: str) -> InvalidTransition:
    """A user is so already."""
    return InvalidTransition(f"{named(name)} is {status} already.", details={"user": name, "status": status})


def no_longer(label: str) -> PermissionDenied:
    """A caller was let in when its call began, and is not any more."""
    return PermissionDenied(
        f"{label} may not go on with this call: its key or its role has changed since it began.",
        next="Call again with a key that counts.",
        details={"actor": label},
    )


def not_live(key_id: str, state: str) -> InvalidTransition:
    """A key counts no more."""
    return InvalidTransition(
        f"{named(key_id)} is {state}.", next="Make a new one: `key create`.", details={"key_id": key_id, "state": state}
    )


def not_as_it_was(key_id: str) -> Conflict:
    """A key was rotated by another meanwhile."""
    return Conflict(
        f"{named(key_id)} was changed meanwhile: somebody else has its newest text.",
        next="Ask who rotated it, or rotate it again.",
        details={"key_id": key_id},
    )


def from_the_file(key_id: str) -> InvalidTransition:
    """A key of the token file has the text that the file says."""
    return InvalidTransition(
        f"{named(key_id)} comes from the token file, which alone says its text.",
        next="Make another (`key create`), give that to its holder, and take the old one out of the file.",
        details={"key_id": key_id},
    )


def wider(what: str, name: str, holder: str) -> ValidationFailed:
    """A key would be wider than its holder, or narrowed by what makes no sense."""
    return ValidationFailed(f"{what} {named(name)} is none that {named(holder)} has.", details={what: name})
