"""What principals can do now, as far as this process knows them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.services import Services

KEYS = "keys"
_EVERYTHING = frozenset(Permission)


def _all_as_ever(label: str) -> frozenset[Permission]:
    del label
    return _EVERYTHING


def realm_of(actor: Actor) -> str:
    """Which processes know what a principal can do: those of the same local user, or those that know keys."""
    return f"local.{hashlib.sha256(actor.id.encode()).hexdigest()[:12]}" if actor.is_local else KEYS


@dataclass(frozen=True, slots=True)
class Principals:
    """The principals of this process.

    Attributes:
        realm: whom it knows; see `realm_of`.
        now: what one of them, by its label, can do now; nothing where it is none any more.
    """

    realm: str = KEYS
    now: Callable[[str], frozenset[Permission]] = _all_as_ever


def realm(services: Services) -> str:
    """Whose calls are made in this process."""
    return services.option(Principals).realm
