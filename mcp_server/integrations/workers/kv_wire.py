"""The words of workerd's protocol for KV namespaces: keys, numbers, metadata and bulk requests as they come and go."""

import base64
import binascii
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any, cast

from mcp_server.domain.state.kv_values import METADATA_BYTES_MAX, Entry, to_entry
from mcp_server.kernel.errors import LimitExceeded, ValidationFailed
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import SECOND

TTL_SECONDS_MIN = 60
LIST_KEYS_MAX = 1000
BULK_KEYS_MAX = 100
"""Cloudflare's limits, so that what works here works there."""


def time_to_live(query: Mapping[str, str], now: float) -> float | None:
    """Seconds until a value is to expire, as `expiration_ttl` or `expiration` say; None where it is to stay.

    Raises:
        ValidationFailed: sooner than Cloudflare allows.
    """
    if "expiration_ttl" in query:
        seconds: float = number(query, "expiration_ttl", 0)
    elif "expiration" in query:
        seconds = number(query, "expiration", 0) - now
    else:
        return None
    if seconds < TTL_SECONDS_MIN:
        raise ValidationFailed(
            f"Invalid expiration: {seconds:.0f} seconds from now.", next=f"It must be at least {TTL_SECONDS_MIN}."
        )
    return seconds


def key_in(path: str) -> str:
    """The key that a path names.

    Raises:
        ValidationFailed: it is none.
    """
    try:
        key = urllib.parse.unquote(path[1:], errors="strict")
    except UnicodeDecodeError:
        raise ValidationFailed("The key is not UTF-8.") from None
    if key in ("", ".", ".."):
        raise ValidationFailed(f"{key!r} is no key.")
    return key


def number(query: Mapping[str, str], name: str, default: int) -> int:
    """A whole number of the query.

    Raises:
        ValidationFailed: it is none.
    """
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValidationFailed(f"Invalid {name} of {text[:40]!r}.", next="Send a whole number.")
    return int(text)


def metadata_in(header: str | None) -> Any:
    """The metadata that a header brings; None where there is none.

    Raises:
        ValidationFailed: it is not JSON.
        LimitExceeded: it is larger than Cloudflare takes.
    """
    if header is None:
        return None
    try:
        metadata = json.loads(header.encode("latin-1").decode())
    except (ValueError, RecursionError):
        raise ValidationFailed("The metadata is not JSON.") from None
    size = len(dump_json(metadata).encode("utf-8", "replace"))
    if size > METADATA_BYTES_MAX:
        raise LimitExceeded(f"Metadata length of {size} exceeds limit of {METADATA_BYTES_MAX}.")
    return metadata


def metadata_header(metadata: Any) -> str:
    """Metadata as a header."""
    return json.dumps(metadata, separators=(",", ":"))


def key_after(cursor: str | None) -> str | None:
    """The key after which a list goes on.

    Raises:
        ValidationFailed: the cursor is none.
    """
    if not cursor:
        return None
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except (binascii.Error, ValueError):
        raise ValidationFailed("The cursor is not one of this namespace.") from None


def listed(row: Row) -> dict[str, Any]:
    """A key as it is listed."""
    told: dict[str, Any] = {"name": row["key"]}
    if row["expires_at"] is not None:
        told["expiration"] = row["expires_at"] // SECOND
    metadata = None if row["value"] is None else to_entry(json.loads(row["value"])).metadata
    return told if metadata is None else told | {"metadata": metadata}


def asked_keys(body: bytes) -> dict[str, Any]:
    """What a bulk request asks for.

    Raises:
        ValidationFailed: it makes no sense.
    """
    try:
        asked: Any = json.loads(body)
        keys = asked["keys"]
    except (ValueError, RecursionError, TypeError, KeyError):
        raise ValidationFailed("A bulk request is an object with `keys`.") from None
    if not isinstance(keys, list):
        keys = [None]
    listed_keys = cast("list[Any]", keys)
    if len(listed_keys) > BULK_KEYS_MAX or not all(isinstance(key, str) for key in listed_keys):
        raise ValidationFailed(f"`keys` is a list of at most {BULK_KEYS_MAX} texts.")
    return asked


def bulk_value(key: str, entry: Entry, as_json: bool, with_metadata: bool) -> Any:
    """A value as it stands in the answer to a bulk request.

    Raises:
        ValidationFailed: it is not of the type that was asked for.
    """
    try:
        value = json.loads(entry.content) if as_json else entry.content.decode()
    except (ValueError, RecursionError):
        raise ValidationFailed(f"The value of {key!r} is not {'JSON' if as_json else 'text'}.") from None
    return {"value": value, "metadata": entry.metadata} if with_metadata else value
