"""What `doctor` finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `warns` where it is fine for this server, and a person should look all the same."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None
    warns: bool | None = None
