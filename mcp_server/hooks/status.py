"""`status`: how things stand, in one line for people or one object for scripts."""

from __future__ import annotations

import json
import os

from mcp_server.hooks.answers import Answer
from mcp_server.hooks.glance import Glance, locks_of, speaker_of, waiting_for
from mcp_server.hooks.reading import open_desk
from mcp_server.hooks.settings import read_settings
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.times import system_clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_server.hooks.reading import Desk
    from mcp_server.hooks.settings import Settings


def status(flags: Mapping[str, str]) -> Answer:
    """What a status line shows. Lists are counted up to a hundred.

    Raises:
        Unreadable: the desk is there and cannot be read.
    """
    settings = read_settings({name: value for name, value in flags.items() if name != "json"}, os.environ)
    desk = open_desk(settings)
    if desk is None:
        return Answer(out='{"ok":false,"reason":"no database yet"}\n' if "json" in flags else "no desk yet\n")
    try:
        found = _counts(desk, settings)
    finally:
        desk.close()
    return Answer(out=f"{json.dumps(found) if 'json' in flags else _line(found)}\n")


def _counts(desk: Desk, settings: Settings) -> dict[str, object]:
    speaker = speaker_of(desk, settings, None)
    glance = Glance(desk, speaker, system_clock() - desk.off)
    return {
        "ok": True,
        "speaker": speaker.label,
        "agent_id": None if speaker.agent is None else speaker.party,
        "running": len(glance.leases),
        "ready": len(glance.work),
        "unread": desk.rows("messages", "inbox_count", party=speaker.party)[0]["n"],
        "locks": len(locks_of(desk, speaker, glance.now)),
        "questions_open": len(glance.open_questions),
        "approvals_waiting": waiting_for(desk, settings.user),
    }


def _line(found: dict[str, object]) -> str:
    counts = [f"{found[name]} {name.replace('_', ' ')}" for name in list(found)[3:] if found[name] or name == "unread"]
    return one_line(f"{found['speaker']}: {', '.join(counts)}")
