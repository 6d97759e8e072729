"""Email addresses: what is one, how it goes over the wire, and patterns of allowed ones."""

import re
from fnmatch import fnmatchcase
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, StringConstraints

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import check_line
from mcp_server.kernel.lines import quoted
from mcp_server.kernel.meaning import Meant

_LOCAL = re.compile(r"[^\s@<>()\[\]\\,;:\"]{1,64}")
_LABEL = re.compile(r"(?!-)[^\W_](?:[\w-]{0,61}[^\W_])?", re.UNICODE)
_WIRE_DOMAIN = re.compile(r"[a-zA-Z0-9_-]{1,63}(?:\.[a-zA-Z0-9_-]{1,63})*")
_COMMENT = re.compile(r"([^\s()]+)\s*\(([^()]*)\)")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_UNQUOTED = re.compile(r"[^\\,;:@<>]*")
_ROUTE = re.compile(r"[%!]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Address(NamedTuple):
    """A mailbox, and the name that is shown for it: literally, whatever it looks like."""

    display_name: str
    username: str
    domain: str


def parse_address(text: str) -> Address:
    """`ann@example.org`, `Ann Lee <ann@example.org>`, `"Lee, Ann" <ann@example.org>` or `ann@example.org (Ann Lee)`,
    internationalised or not. Nothing in it is decoded.

    Raises:
        ValidationFailed: saying what is wrong with it.
    """
    name, plain = _parts(text.strip())
    local, _, domain = plain.rpartition("@")
    if name is None or not _is_local(local) or not _is_domain(domain):
        raise ValidationFailed(
            f"{quoted(text, 80)} is not an email address.",
            next='Write ann@example.org, Ann Lee <ann@example.org> or "Lee, Ann" <ann@example.org>.'
            + ("" if "@" in text else " An agent or a user is written to by messages_send."),
        )
    return Address(name, local, domain)


def check_address(text: str) -> str:
    """An address as it may come in: one line, too. Returns it without the spaces around it.

    Raises:
        ValidationFailed: saying what is wrong with it.
    """
    check_line(text, "address")
    parse_address(text)
    return text.strip()


def plain_address(text: str) -> str:
    """The address alone, its domain in lower case, as outcomes are kept by."""
    address = parse_address(text)
    return f"{address.username}@{address.domain.lower()}"


def kept_address(text: str) -> str:
    """The address that a stored mail is kept by at its recipient: what the doors of before took for an address and
    those of today do not is itself, so that one mail can be told to have failed."""
    try:
        return plain_address(text)
    except ValidationFailed:
        return text


def wire_address(text: str) -> str:
    """The address as SMTP's envelope takes it: an international domain in its ASCII form."""
    local, _, domain = plain_address(text).rpartition("@")
    return f"{local}@{ascii_domain(domain)}"


def ascii_domain(domain: str) -> str:
    """An international domain name in its ASCII form."""
    return domain if domain.isascii() else domain.encode("idna").decode("ascii")


def shown_address(text: str) -> str:
    """The address for a person who is to judge it: what an international domain is called on the wire stands beside it,
    since letters of other alphabets look like ours."""
    plain, wire = plain_address(text), wire_address(text)
    return plain if plain == wire else f"{plain} ({wire})"


def is_allowed(text: str, patterns: tuple[str, ...]) -> bool:
    """Whether an address matches one of the patterns, such as `*@example.org`; no patterns allow everyone."""
    return not patterns or pattern_for(text, patterns) is not None


def pattern_for(text: str, patterns: tuple[str, ...]) -> str | None:
    """The pattern that an address matches, as mail servers see both: without regard to case, domains in ASCII.

    What some of them take for a route (`eve%evil.test@example.org`) matches nothing but itself.
    """
    address = comparable_address(text)
    fits = _is_named if _ROUTE.search(address.rpartition("@")[0]) else is_like
    return next((pattern for pattern in patterns if fits(address, pattern)), None)


def _is_named(address: str, pattern: str) -> bool:
    return _comparable(pattern) == address


def is_like(address: str, pattern: str) -> bool:
    """Whether a comparable address fits a pattern, be it a route or not."""
    return fnmatchcase(address, _comparable(pattern))


def comparable_address(text: str) -> str:
    """The address alone as it is compared with patterns."""
    return _comparable(plain_address(text))


def _comparable(text: str) -> str:
    """An address or a pattern as they are compared. Other letters than ours are left alone in local parts: in lower
    case, the sign for Kelvin is a k."""
    local, at, domain = text.rpartition("@")
    lowered = "".join(letter.lower() if letter.isascii() else letter for letter in local)
    return f"{lowered}{at}{'.'.join(map(_ascii_label, domain.lower().split('.')))}"


def _ascii_label(label: str) -> str:
    try:
        return ascii_domain(label)
    except UnicodeError:  # of a pattern: part of a name, or none at all
        return label


def _parts(text: str) -> tuple[str | None, str]:
    """The display name, None where it is none, and what should be the plain address."""
    if not text.endswith(">"):
        commented = _COMMENT.fullmatch(text)
        return ("", text) if commented is None else (commented[2].strip(), commented[1])
    before, opened, plain = text[:-1].rpartition("<")
    name = before.strip()
    if not opened:
        return None, plain
    if _QUOTED.fullmatch(name):
        return _ESCAPED.sub(r"\1", name[1:-1]), plain
    return (name if _UNQUOTED.fullmatch(name) else None), plain


def _is_local(local: str) -> bool:
    return local.isprintable() and _LOCAL.fullmatch(local) is not None  # nothing in it turns the text around


def _is_domain(domain: str) -> bool:
    if len(domain) > 253 or not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        return False
    try:
        return _WIRE_DOMAIN.fullmatch(ascii_domain(domain)) is not None
    except UnicodeError:
        return False


EmailAddress = Annotated[
    str,
    StringConstraints(min_length=3, max_length=320),
    AfterValidator(check_address),
    Meant("an email address", "ann@example.org", parts=r"^[^\s,;\"<>@]+@[^\s,;\"<>@]+$"),
]
