"""What a hook says, in the form in which each client takes it."""

from __future__ import annotations

import json

from mcp_server.hooks.clients import ANSWERS, QUIET, STDERR, TEXT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT = "claude-code"
"""Whose hooks are meant where nothing is said."""


class Answer:
    """What a process ends with."""

    __slots__ = ("code", "err", "out")

    def __init__(self, code: int = 0, out: str = "", err: str = "") -> None:
        self.code, self.out, self.err = code, out, err


def client_of(flags: Mapping[str, str]) -> str:
    """The client that runs the hook."""
    return flags.get("client", CLIENT)


def quiet(flags: Mapping[str, str]) -> Answer:
    """Nothing to say: all is well, and the client goes on."""
    nothing = QUIET.get(client_of(flags))
    return Answer() if nothing is None else Answer(out=f"{nothing}\n")


def said(flags: Mapping[str, str], moment: str, text: str) -> Answer:
    """A text, where the client takes one at that moment."""
    form = ANSWERS[client_of(flags)].get(moment)
    if form is None:
        return quiet(flags)
    if form == STDERR:
        return Answer(2, err=f"{text}\n")
    return Answer(out=form.replace(TEXT, json.dumps(text)) + "\n")
