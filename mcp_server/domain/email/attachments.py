"""What may be attached to a mail, and what it may be called."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, Self, cast

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mcp_server.domain.state.model import Key, Namespace
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import check_line
from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.renaming import without
from mcp_server.kernel.together import LIKE, not_together
from mcp_server.kernel.values import Frozen

OCTETS = "application/octet-stream"
_MEDIA_TYPE = r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}$"


DOCUMENT_TYPE = "application/json"


def document_file(value: Any, media_type: str) -> bytes:
    """A document as a file: as JSON; of one that is a text, where a text is to be attached, what it says."""
    if isinstance(value, str) and media_type.startswith("text/"):
        return value.encode()
    return json.dumps(value, ensure_ascii=False, indent=2).encode()


def carried_as(media_type: str) -> str:
    """The type under which an attachment goes out: its own, or plain octets where that would be read as a part of the
    mail itself (`message/*`, `multipart/*`) or is none."""
    holds_parts = media_type.startswith(("message/", "multipart/"))
    return OCTETS if holds_parts or not re.fullmatch(_MEDIA_TYPE, media_type) else media_type


def _file_name(text: str) -> str:
    check_line(text, "name of an attachment")
    return text


def _carried(media_type: str) -> str:
    if carried_as(media_type) != media_type:
        raise ValidationFailed(
            f"An attachment cannot be {named(media_type)}: mail programs take it for a part of the mail itself.",
            next=f"Attach it as {OCTETS}.",
        )
    return media_type


# Attachments are named by whoever sends: what could be a path is no name.
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[^/\\]{1,128}$"),
    AfterValidator(_file_name),
    Meant("a file name without a path", "report.pdf"),
]
MediaType = Annotated[
    str, StringConstraints(pattern=_MEDIA_TYPE), AfterValidator(_carried), Meant("a media type", "application/pdf")
]


def _is_address(text: str) -> bool:
    """Whether a text can be a document's namespace and key."""
    namespace, _, key = text.partition("/")
    return bool(namespace and key)


def _addressed(said: dict[str, Any]) -> dict[str, Any]:
    """What is said of a file, with the namespace and the key of the document whose whole address stands there."""
    name = "name" if said.keys() == {"name"} else "document"
    address = str(said.get(name, ""))
    if not _is_address(address) or said.keys() & {"namespace", "key"}:
        return said
    namespace, _, key = address.partition("/")
    return without(said, (name,)) | {"namespace": namespace, "key": key}


def _named(said: dict[str, Any]) -> dict[str, Any]:
    """The same, with a name: a file that has none of its own is called as its document."""
    if "key" not in said or said.keys() & {"name", "filename", "file_name"}:
        return said
    return said | {"name": str(said["key"]).rpartition("/")[2]}


class AttachmentSpec(Frozen):
    """A file to attach: its bytes inline as base64, or a state document, as JSON or as the text that it is. Never a
    path on the server."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        "content": "content_base64 takes the file's bytes as base64",
        **dict.fromkeys(("path", "file", "url"), "no file or address is read: content_base64 holds its bytes"),
    }

    name: Name
    content_base64: str | None = Field(
        default=None, description="Or namespace and key of a state document", examples=["aGVsbG8="]
    )
    namespace: Namespace | None = None
    key: Key | None = None
    media_type: MediaType | None = None

    def holding(self, value: str) -> Self:
        """The document's file where it will hold this JSON text."""
        media_type = self.media_type or DOCUMENT_TYPE
        file = b64encode(document_file(json.loads(value), media_type)).decode()
        held = {"content_base64": file, "namespace": None, "key": None, "media_type": media_type}
        return self.model_copy(update=held)

    @model_validator(mode="before")
    @classmethod
    def _from_a_whole_address(cls, given: Any) -> Any:
        """A document by its whole address, and by its key where the file has no name of its own."""
        said = {"document": given} if isinstance(given, str) and _is_address(given) else given
        return _named(_addressed(cast("dict[str, Any]", said))) if isinstance(said, dict) else given

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if (self.content_base64 is None) == (self.namespace is None) or (self.namespace is None) != (self.key is None):
            document = dict.fromkeys(("namespace", "key"), None if self.content_base64 is not None else LIKE)
            raise not_together(
                f"The attachment {quoted(self.name)} needs content_base64, or namespace and key.", **document
            )
        return self


class Attachment(NamedTuple):
    """A file as it is kept: its content as base64; and of which version of which document it is, `namespace/key@3`."""

    name: str
    media_type: str
    bytes: int
    content_base64: str
    document: str | None = None

    def told(self) -> dict[str, Any]:
        """What is told of it: not what is in it."""
        return without(self.kept(), ("content_base64",))

    def kept(self) -> dict[str, Any]:
        """As it is kept; what comes from no document says nothing of one."""
        return {name: value for name, value in self._asdict().items() if value is not None}
