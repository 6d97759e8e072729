"""A session ends: what it alone has is given back, by a process that outlives the client's patience.

Claude Code gives all hooks of an end 1.5 seconds together, less than writing takes to load: so this looks, and where
there is something to give back a child does it, through the services that tools use (`commands/hook.py`).
"""

from __future__ import annotations

import sys

from mcp_server.kernel.times import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mcp_server.hooks.events import Hook
    from mcp_server.hooks.memory import Session
    from mcp_server.hooks.reading import Desk

OF_OURS = (
    *("DATAMCP_ALLOW_UNSAFE_SQLITE", "DATAMCP_CONFIG", "DATAMCP_ROLE", "DATAMCP_SQLITE"),
    *("PYTHONPATH", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
)
"""What the child needs of what this program listens to: it opens the database, and sends and deploys nothing."""

OF_POSTGRES = ("PG",)


def leave(hook: Hook, session: str) -> None:
    """Note that a session ended, and give back what nobody else can hold: what its instance holds; and what its agent
    got since the session began, where no other session of that agent is open."""
    agent, known = hook.speaker.agent, hook.known
    is_alone = agent is not None and not hook.memory.has_others(session, agent["id"])
    hook.memory.end(session)
    if agent is None or known is None:
        return
    since = round(known.began * SECOND)
    if _has_something(hook.desk, agent["id"], known, is_alone=is_alone):
        _give_back(hook, agent["id"], since, known.instance, is_alone=is_alone)


def _has_something(desk: Desk, agent_id: str, session: Session, *, is_alone: bool) -> bool:
    """Whether a child might find something to give back: it looks more closely."""
    if not is_alone and session.instance is None:
        return False
    holds = desk.first("locks", "lock_holds_of_party", party=agent_id)
    return (holds or desk.first("tasks", "leases_glance", agent_id=agent_id, limit=1)) is not None


def _give_back(hook: Hook, agent_id: str, since: int, instance: str | None, *, is_alone: bool) -> None:
    import subprocess  # takes a tenth of all that an end takes; most have nothing to give back

    from mcp_server.kernel.environment import passed_on

    settings = hook.settings
    arguments = ["--user", settings.user, "--agent", agent_id, "--since", str(since)]
    arguments += ["--alone"] if is_alone else []
    arguments += [] if instance is None else ["--instance", instance]
    own: dict[str, Any] = (
        {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    # -P: a folder of the project's may be called like ours.
    subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", "mcp_server", "hook", "leave", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=passed_on(named=OF_OURS, prefixes=OF_POSTGRES) | {"DATAMCP_DATABASE": settings.database},
        **own,
    )
