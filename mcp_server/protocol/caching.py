"""How long clients may keep what they were told: what never changes while a server runs, for an hour; anything else not
at all. Never for others, since what is listed depends on who asks."""

from typing import Any

from mcp.server.caching import CacheableMethod, CacheHint

LASTING = CacheHint(ttl_ms=3_600_000)
HINTS: dict[CacheableMethod, CacheHint] = dict.fromkeys(
    ("tools/list", "prompts/list", "resources/templates/list"), LASTING
)
"""An upgrade may change these lists; nothing else does."""

LASTS: dict[str, Any] = {"ttlMs": LASTING.ttl_ms, "cacheScope": LASTING.scope}
"""The same for the results of extensions, which are plain JSON."""
