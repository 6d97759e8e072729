"""Where an issuer's metadata and keys may be asked for."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def metadata_urls(issuer: str) -> list[str]:
    """Where an issuer's metadata may be."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    base = f"{parts.scheme}://{parts.netloc}"
    return [
        f"{base}{path}/.well-known/openid-configuration",
        f"{base}/.well-known/oauth-authorization-server{path}",
    ]


def may_be_asked(url: str, *, by: str = "") -> bool:
    """Whether an address may be asked for what decides who is let in: over TLS, or on this machine, which an issuer
    elsewhere (`by`) must not name."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.fragment or not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_here(host) and not by.startswith("https:"))


def is_here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
