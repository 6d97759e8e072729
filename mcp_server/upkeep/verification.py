"""Is what is stored still what was written? Damage that a database engine does not notice, and what is left when it
does. Reads only."""

from typing import Any

from mcp_server.domain.state.deltas import decode
from mcp_server.kernel.json_text import sha256_text
from mcp_server.upkeep.findings import Finding
from mcp_server.upkeep.transfer import TABLES

_NAMED_MAX = 5


def damaged_versions(connection: Any) -> list[str]:
    """The document versions whose text is not the one that their SHA-256 was taken of, as `namespace/key@version`."""
    rows = connection.execute(
        "SELECT document_id, version, value, delta, sha256 FROM document_versions ORDER BY document_id, version DESC"
    )
    found: list[str] = []
    document, text = "", ""
    for document_id, version, value, delta, sha256 in rows:
        base = text if document_id == document else ""
        document, text = document_id, _text(value, delta, base)
        if sha256_text(text) != sha256:
            found.append(f"{document_id}@{version}")
    return found


def describe_damage(found: list[str]) -> str:
    """A few of them by name, and how many there are."""
    more = f" and {len(found) - _NAMED_MAX} more" if len(found) > _NAMED_MAX else ""
    return f"{', '.join(found[:_NAMED_MAX])}{more}"


def readable_rows(connection: Any) -> dict[str, tuple[int, bool]]:
    """For each table of a damaged SQLite file, how many rows can be read, and whether that is all of them.

    Every row is read whole. A table's rows are tried from both ends, since those behind the damage may be fine.
    """
    return {table.name: _readable(connection, table.name) for table in TABLES}


def _readable(connection: Any, table: str) -> tuple[int, bool]:
    forwards, complete = _count(connection, f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 - our own names
    if complete:
        return forwards, True
    backwards, _ = _count(connection, f"SELECT * FROM {table} ORDER BY 1 DESC")  # noqa: S608 - our own names
    unordered, _ = _count(connection, f"SELECT * FROM {table} NOT INDEXED")  # noqa: S608 - our own names
    return max(forwards + backwards, unordered), False


def _count(connection: Any, sql: str) -> tuple[int, bool]:
    """How many rows a query gives until it ends or fails, and whether it ended."""
    count = 0
    try:
        for _ in connection.execute(sql):
            count += 1
    except Exception:
        return count, False
    return count, True


def _text(value: str | None, delta: str | None, base: str) -> str:
    """A version's text; nothing where its delta makes no sense any more."""
    if value is not None:
        return value
    try:
        return decode(delta or "", base)
    except (ValueError, TypeError, IndexError, AttributeError):
        return ""


def inspect_documents(connection: Any) -> Finding:
    """Whether every version of every document is what was written."""
    found = damaged_versions(connection)
    if not found:
        return Finding("documents", True, "Every version of every document matches its SHA-256.")
    detail = f"These versions are not what was written: {describe_damage(found)}."
    remedy = "Restore another version of each (state_restore), or put back a backup."
    return Finding("documents", False, detail, remedy)
