"""Words that others have for what happened, and to what, and which types may be meant by them."""

from collections.abc import Collection, Sequence

from mcp_server.kernel.near import near

NAMES_MAX = 8
HAPPENED = {
    "added": ("created", "registered"),
    "assigned": ("assigned", "handed_over"),
    "changed": ("set", "patched", "edited", "revised"),
    "declined": ("rejected",),
    "denied": ("rejected",),
    "done": ("completed",),
    "edited": ("edited", "set", "patched"),
    "finished": ("completed",),
    "force_released": ("released",),
    "forced": ("released",),
    "granted": ("approved",),
    "locked": ("acquired",),
    "modified": ("set", "patched", "edited"),
    "refused": ("rejected",),
    "removed": ("deleted", "discarded"),
    "retired": ("terminated",),
    "saved": ("set",),
    "started": ("claimed", "started"),
    "stolen": ("released",),
    "succeeded": ("completed", "succeeded"),
    "taken": ("acquired", "claimed"),
    "taken_away": ("released",),
    "unlocked": ("released",),
    "updated": ("set", "patched", "edited", "revised"),
    "written": ("set",),
}
"""Words that others have for what happened."""

THINGS = {"doc": "document", "mail": "email", "state": "document"}

BESIDE = {"forced": "those with forced_from were taken away by force"}
"""What tells apart what is meant, where a type tells of more."""


def told_as(asked: str, known: Collection[str]) -> list[str]:
    """The types that tell of what happened to one thing by another word: `lock.forced` is `lock.released`."""
    thing, _, what = asked.partition(".")
    return [one for one in (f"{thing}.{word}" for word in HAPPENED.get(what, ())) if one in known]


def say_taken(asked: str, known: Collection[str]) -> str:
    """That a type was read as others."""
    beside = BESIDE.get(asked.partition(".")[2])
    return f"There is no type {asked}: read as {', '.join(told_as(asked, known))}{f'; {beside}' if beside else ''}."


def types_near(asked: str, known: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """Types that somebody may have meant: what happened, of whichever thing, or one that looks alike."""
    thing, _, what = asked.rpartition(".")
    thing = THINGS.get(thing, thing)
    words = (what, *HAPPENED.get(what, ()))
    happened = [
        one for word in words for one in sorted(known) if one.endswith(f".{word}") and thing in ("", one.split(".")[0])
    ]
    return happened[:NAMES_MAX] or near(asked.removesuffix(".*"), [*known, *(f"{kind}.*" for kind in kinds)])
