"""How users and keys read in one line."""

from typing import Any

from mcp_server.domain.people.views import KeyView, UserView
from mcp_server.kernel.lines import one_line


def user_line(view: UserView) -> str:
    """A user: name, role, whether it is let in, profile."""
    who = (("", view.name), ("", view.role), ("", view.status))
    return _words(*who, ("called", view.display_name), ("mail to", view.address), ("since", view.created_at))


def key_line(view: KeyView) -> str:
    """A key: whose it is, whether it counts, what narrows it, when it ends and was used."""
    scope = (
        ("role", view.role),
        ("may", ",".join(view.permissions or ())),
        ("toolsets", ",".join(view.toolsets or ())),
        ("as agent", view.agent),
        ("namespace", view.namespace),
    )
    times = (
        ("until", view.expires_at),
        ("old text until", view.old_text_until),
        ("last used", view.used_at),
    )
    return _words(("", view.id), ("", view.holder), ("", view.state), ("for", view.name), *scope, *times)


def listed_key_line(view: KeyView) -> str:
    """The same in a list, which alone knows that a key was never used."""
    return f"{key_line(view)}{'' if view.used_at else '  never used'}"


def _words(*parts: tuple[str, Any]) -> str:
    """What is known of a thing, in one line that nothing in it breaks."""
    return "  ".join(f"{name} {one_line(str(value))}".strip() for name, value in parts if value not in (None, "", []))
