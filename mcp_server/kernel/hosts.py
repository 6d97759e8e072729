"""Names of hosts, as requests claim them, and those that a server answers to."""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from mcp_server.kernel.errors import ValidationFailed

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*)(?::([0-9]{1,5}))?")
_USUAL_PORTS = (80, 443)
_ANY = ":*"
LOOPBACK = ("127.0.0.1:*", "localhost:*", "[::1]:*")
"""What everybody calls their own machine, on whichever port."""


class Host(NamedTuple):
    """A host's name in lower case, an IPv6 address in brackets; and its port, None for the usual one of the web."""

    name: str
    port: int | None


def host_of(text: str) -> Host | None:
    """What a Host header says; None where that is no host: a trailing dot, a port that cannot be, a user's name."""
    found = _HOST.fullmatch(text.lower())
    if found is None or int(found[2] or 1) not in range(1, 65536):
        return None
    name, port = found[1], None if found[2] is None else int(found[2])
    if name.startswith("["):
        try:
            name = f"[{IPv6Address(name[1:-1])}]"
        except ValueError:
            return None
    return Host(name, None if port in _USUAL_PORTS else port)


def own_name(address: str) -> tuple[str, ...]:
    """What an address that is listened on is called, on any port; nothing where it is every address of the machine."""
    name = f"[{address.strip('[]').partition('%')[0]}]" if ":" in address else address
    return () if name in ("0.0.0.0", "[::]") else (f"{name}{_ANY}",)  # noqa: S104 - compared, not bound


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Hosts:
    """The names that a server answers to, and from whose pages it may be called."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take them.

        Args:
            names: each a host, which stands for the usual ports; with a port, `:8080`, for that one; with `:*` for any.

        Raises:
            ValidationFailed: one of them is no host.
        """
        self._any: set[str] = set()
        self._ports: set[Host] = set()
        for name in names:
            host = host_of(name.removesuffix(_ANY))
            if host is None:
                raise ValidationFailed(
                    f"{name!r} is no host.",
                    next="Say a name or an address, such as desk.example.org, desk.example.org:8443, or "
                    "desk.example.org:* for any port (DATAMCP_ALLOWED_HOSTS).",
                )
            if name.endswith(_ANY):
                self._any.add(host.name)
            else:
                self._ports.add(host)

    def admits(self, text: str) -> bool:
        """Whether a Host header names this server."""
        host = host_of(text)
        return host is not None and (host.name in self._any or host in self._ports)

    def admits_origin(self, origin: str) -> bool:
        """Whether a page of this origin may call: one that this server itself could have served."""
        scheme, found, host = origin.partition("://")
        return bool(found) and scheme.lower() in ("http", "https") and self.admits(host)
