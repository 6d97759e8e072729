"""What a resource is: data that names a URI template and points at one service call."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.kernel.area import Toolset
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import ValidationFailed


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a resource template stands for, as clients list it."""

    uri: str
    title: str
    description: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Blob:
    """Content that is no text, and what there is to say of it."""

    data: bytes
    about: Mapping[str, Any]


Entries = Callable[[Desk, Call, str | None], Awaitable[tuple[list[Entry], str | None]]]
"""One page of entries after a cursor, and the cursor of the next."""


def _changes(parameters: Mapping[str, str]) -> bool:
    del parameters
    return False


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the catalogue. Its content is JSON, a model or plain JSON values, or text, or a blob."""

    uri_template: str
    name: str
    title: str
    description: str
    toolset: Toolset
    permission: Permission
    read: Callable[[Desk, Call, Mapping[str, str]], Awaitable[Any]]
    others_words: bool = True
    """Whether its content may hold what others wrote; it then begins with a sentence that says so."""

    private: bool = False
    """Whether not everybody sees each of them who may see such things at all: to be told of one takes what reading it
    does."""

    entries: Entries | None = None
    """What there is of a template, where that is to be listed."""

    mime_type: str = "application/json"
    """Of its content; what is no JSON is text, and all of it the server's own."""

    lasts: Callable[[Mapping[str, str]], bool] = _changes
    """Whether what is read by these parameters never changes while a server runs."""

    @property
    def is_template(self) -> bool:
        """Whether the URI has parts to fill in."""
        return "{" in self.uri_template

    @property
    def plain_uri(self) -> str | None:
        """The URI that can be read as it is: the template without its optional query, if nothing else is open."""
        plain = self.uri_template.split("{?")[0]
        return None if "{" in plain else plain


def positive(parameters: Mapping[str, str], name: str) -> int | None:
    """A whole number of 1 or more from a URI's query, or None.

    Raises:
        ValidationFailed: something else was given.
    """
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise ValidationFailed(f"{name} must be a whole number of 1 or more, not {text!r}.")
    return int(text)
