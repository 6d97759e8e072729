"""Which schema of a PostgreSQL database is a desk's: said in its URL, `postgresql://host/name?schema=desk`, so that it
goes wherever the URL goes. The driver never sees it."""

from __future__ import annotations

import re

from mcp_server.kernel.errors import ValidationFailed

OWN = "datamcp"
"""Where a desk lies of which nobody says where."""
NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,39}$"
"""Short enough for the channel of its news, which is called after it; always quoted, so case and hyphens count."""
_PARAMETER = "schema="
_THE_SERVERS = re.compile("pg_|information_schema$")


def is_server(url: str) -> bool:
    """Whether a database URL leads to PostgreSQL."""
    return url.startswith(("postgresql://", "postgres://"))


def with_schema(url: str, schema: str | None) -> str:
    """The URL with the schema in it, instead of one that it named; as it was where none is given."""
    if schema is None or not is_server(url):
        return url
    rest, _ = _parted(url)
    return f"{rest}{'&' if '?' in rest else '?'}{_PARAMETER}{schema}"


def split_schema(url: str) -> tuple[str, str | None]:
    """The URL as the driver takes it, and the schema that it names, if it names one.

    Raises:
        ValidationFailed: no name that a desk's schema can have.
    """
    rest, schema = _parted(url)
    if schema is not None and (re.fullmatch(NAME, schema) is None or _THE_SERVERS.match(schema)):
        raise ValidationFailed(
            f"{schema!r} cannot be the schema of a desk.",
            next="Use 1 to 40 letters, digits, _ and -, none of PostgreSQL's own (pg_...): ?schema=datamcp.",
        )
    return rest, schema


def quoted(name: str) -> str:
    """A name as it stands in SQL, whatever it is."""
    return '"' + name.replace('"', '""') + '"'


def _parted(url: str) -> tuple[str, str | None]:
    from urllib.parse import unquote  # most databases are files

    address, _, query = url.partition("?")
    pairs = query.split("&") if query else []
    named = [pair.removeprefix(_PARAMETER) for pair in pairs if pair.startswith(_PARAMETER)]
    others = "&".join(pair for pair in pairs if not pair.startswith(_PARAMETER))
    return f"{address}?{others}" if others else address, unquote(named[-1]) if named else None
