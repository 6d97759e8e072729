"""Mails that answer mails: `reply_to` names an address to which answers go, or a mail of this server in whose thread
the new one is to stand."""

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from mcp_server.kernel.addresses import check_address
from mcp_server.kernel.meaning import Meant

SUBJECT_CHARACTERS_MAX = 998
"""A line of a mail is no longer."""

_OF_OURS = re.compile(r"^(?:(email_[a-z0-9]{12})|<(email_[a-z0-9]{12})@[^<>@\s]+>)$")
"""A mail of this server, by its id or its message id."""


def _answered(text: str) -> str:
    return answered(text.strip()) or check_address(text)


ReplyTo = Annotated[
    str,
    StringConstraints(min_length=3, max_length=320),
    AfterValidator(_answered),
    Meant("an email address, or the id of the email that this one answers", "ann@example.org"),
]


def answered(reply_to: str | None) -> str | None:
    """The id of the mail that is answered, where it is one rather than an address to which answers go."""
    found = None if reply_to is None else _OF_OURS.match(reply_to)
    return None if found is None else found[1] or found[2]


_REPLIES = re.compile(r"\s*re(?:\[\d+\])?\s*:", re.IGNORECASE)


def subject_of_reply(subject: str) -> str:
    """What a reply is about whose writer does not say: what the mail was about, with one "Re:" before it."""
    return subject if _REPLIES.match(subject) else f"Re: {subject}"[:SUBJECT_CHARACTERS_MAX]
