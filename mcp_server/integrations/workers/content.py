"""What files and names of a Worker are as plain data: text for itself, other bytes as base64."""

import base64
import binascii
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, PlainSerializer, StringConstraints

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import check_text


def _decoded(value: Any) -> Any:
    """Bytes, of text or of an object `{"base64": ...}`."""
    if isinstance(value, str):
        check_text(value, "module")
        return value.encode()
    members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if set(members) == {"base64"}:
        try:
            return base64.b64decode(members["base64"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise ValidationFailed("A module's base64 is none.", next="Send its bytes as standard base64.") from None
    return cast("Any", value)


def _encoded(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode()}


Binding = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_$][A-Za-z0-9_$]{0,99}$")]
"""The name under which a Worker's code reaches something: an identifier of JavaScript."""

Content = Annotated[bytes, BeforeValidator(_decoded), PlainSerializer(_encoded, when_used="json")]
