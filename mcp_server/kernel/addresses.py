"""Email addresses: what is one, how it goes over the wire, and patterns of allowed ones."""

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, StringConstraints

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import check_text

if TYPE_CHECKING:
    from email.headerregistry import Address

_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f@<>()\[\]\\,;:\"]{1,64}")
_LABEL = re.compile(r"(?!-)[^\W_](?:[\w-]{0,61}[^\W_])?", re.UNICODE)


def parse_address(text: str) -> "Address":
    """`ann@example.org` or `Ann Lee <ann@example.org>`, internationalised or not.

    Raises:
        ValidationFailed: saying what is wrong with it.
    """
    # Imported here: a start must not wait for what only mails need.
    from email.errors import MessageError
    from email.headerregistry import Address
    from email.utils import parseaddr

    check_text(text, "address")
    if re.search(r"[\r\n\x00-\x1f\x7f]", text):
        raise ValidationFailed(f"The address {text[:80]!r} holds a line break or control character.")
    name, plain = parseaddr(text)
    local, at, domain = plain.rpartition("@")
    if text.count("@") != 1 + name.count("@") or not at or not _LOCAL.fullmatch(local) or not _is_domain(domain):
        raise ValidationFailed(
            f"{text[:80]!r} is not an email address.", next="Write ann@example.org or Ann Lee <ann@example.org>."
        )
    try:
        return Address(display_name=name, username=local, domain=domain)
    except (ValueError, MessageError):
        raise ValidationFailed(f"{text[:80]!r} is not an email address.") from None


def plain_address(text: str) -> str:
    """The address alone, its domain in lower case, as outcomes are kept by."""
    address = parse_address(text)
    return f"{address.username}@{address.domain.lower()}"


def wire_address(text: str) -> str:
    """The address as SMTP's envelope takes it: an international domain in its ASCII form."""
    local, _, domain = plain_address(text).rpartition("@")
    return f"{local}@{ascii_domain(domain)}"


def ascii_domain(domain: str) -> str:
    """An international domain name in its ASCII form."""
    return domain if domain.isascii() else domain.encode("idna").decode("ascii")


def is_allowed(text: str, patterns: tuple[str, ...]) -> bool:
    """Whether an address matches one of the patterns, such as `*@example.org`; no patterns allow everyone."""
    address = plain_address(text).lower()
    return not patterns or any(fnmatchcase(address, pattern.lower()) for pattern in patterns)


def _checked(text: str) -> str:
    parse_address(text)
    return text.strip()


def _is_domain(domain: str) -> bool:
    labels = domain.split(".")
    try:
        ascii_domain(domain)
    except UnicodeError:
        return False
    return len(domain) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


EmailAddress = Annotated[str, StringConstraints(min_length=3, max_length=320), AfterValidator(_checked)]
