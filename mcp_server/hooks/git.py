"""A guard for git: what is staged is not committed where another holds a file's lock."""

from __future__ import annotations

import os
import subprocess

from mcp_server.hooks.answers import Answer
from mcp_server.hooks.glance import speaker_of
from mcp_server.hooks.guard import names_of, refusal
from mcp_server.hooks.reading import open_desk
from mcp_server.hooks.settings import read_settings
from mcp_server.kernel.environment import passed_on
from mcp_server.kernel.times import system_clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

AGENT = "datamcp.agent"
"""The name in git's configuration of the agent that commits here, where no setting names one."""

OF_GIT = ("GIT_", "XDG_")
"""How variables begin that git listens to: in a hook, which index is meant."""


def guarded(flags: Mapping[str, str]) -> Answer:
    """Exit code 1 and why, where a commit must wait.

    Raises:
        Unreadable: the desk is there and cannot be read.
    """
    root = _git("rev-parse", "--show-toplevel").strip()
    staged = _git("diff", "--cached", "--name-only", "--no-renames", "-z").split("\0")[:-1]
    settings = read_settings(dict(flags), os.environ)
    settings.agent = settings.agent or _git("config", "--get", AGENT).strip() or None
    desk = open_desk(settings) if staged else None
    if desk is None:
        return Answer()
    try:
        party = speaker_of(desk, settings, None).party
        why = refusal(desk, party, [(path, names_of(path, root, [root])) for path in staged], system_clock() - desk.off)
    finally:
        desk.close()
    return Answer() if why is None else Answer(1, err=f"data-mcp-server-agent: {why}\n")


def _git(*arguments: str) -> str:
    """What git says; nothing where it fails."""
    command = ["git", *arguments]
    env = passed_on(prefixes=OF_GIT)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, env=env)  # noqa: S603
    return done.stdout.decode("utf-8", "surrogateescape")
