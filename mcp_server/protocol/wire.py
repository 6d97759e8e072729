"""JSON as it comes in: strict where parsers are lenient, so that nothing is altered in silence; and every refusal can
be answered to the request it belongs to.
"""

import json
import math
import re
from typing import TYPE_CHECKING, Any, TypeGuard, cast

if TYPE_CHECKING:
    from mcp_types import JSONRPCMessage

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
"""As JSON-RPC has them; importing the SDK's types for them takes a quarter of a second."""
Id = str | int
"""What a request may have for its id."""
ID_WITHIN_CHARACTERS = 1 << 16
DEPTH_SAID = "The message is nested too deeply."
# A text that does not end goes to the end: looked for anew at each quote in it, it would cost their square.
_TOKEN = re.compile(r'"[^"\\]*(?:\\[\s\S][^"\\]*)*(?:"|\\?\Z)|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class WireError(ValueError):
    """A message that cannot be taken, with the JSON-RPC code, the id of the request, and more, where there is some."""

    def __init__(self, code: int, message: str, request_id: str | float | None, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id = request_id
        self.data = data

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON-RPC error to send back."""
        return {
            "jsonrpc": "2.0",
            "id": self.request_id,
            "error": {"code": self.code, "message": self.message} | ({"data": self.data} if self.data else {}),
        }


def parse(data: bytes) -> dict[str, Any]:
    """One JSON-RPC message.

    Raises:
        WireError: no JSON, or JSON that one reader would understand otherwise than another: a key twice in one object,
            NaN, half a surrogate pair; or no object.
    """
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")  # some shells begin what they pipe with it
    except UnicodeDecodeError as error:
        raise WireError(PARSE_ERROR, f"The message is not UTF-8: byte {error.start} is wrong.", None) from None
    try:
        message = _DECODER.decode(text)
        if _ESCAPED_SURROGATE.search(text):
            _require_whole_characters(message)
    except RecursionError:
        raise WireError(PARSE_ERROR, DEPTH_SAID, request_id(text)) from None
    except ValueError as error:
        raise WireError(PARSE_ERROR, _said(error), request_id(text)) from None
    if not isinstance(message, dict):
        what = "Batches are not supported; send one message at a time." if isinstance(message, list) else ""
        raise WireError(INVALID_REQUEST, f"A message is a JSON object. {what}".strip(), None)
    members = cast("dict[str, Any]", message)
    if "method" in members and "id" in members:
        _require_id(members["id"])
    return members


def rpc_message(data: bytes) -> "JSONRPCMessage":
    """One message, which is JSON-RPC as well.

    Raises:
        WireError: it is none.
    """
    from mcp_types import jsonrpc_message_adapter

    members = parse(data)
    try:
        return jsonrpc_message_adapter.validate_python(members, by_name=False)
    except ValueError as error:
        given = members.get("id")
        identified = given if is_id(given) else None
        raise WireError(INVALID_REQUEST, "This is no JSON-RPC 2.0 message of MCP.", identified) from error


def _require_id(given: Any) -> None:
    if not is_id(given):
        echoed = given if isinstance(given, float) else None
        said = "The id of a request is a text or a whole number. A notification has none: leave it out."
        raise WireError(INVALID_REQUEST, said, echoed)


def is_id(given: Any) -> TypeGuard[Id]:
    """Whether the id of a request may be this."""
    return isinstance(given, (str, int)) and not isinstance(given, bool)


def request_id(text: str) -> Id | None:
    """The `id` of a message that could not be parsed, if it has one at its top level and not far from its beginning.
    Walks without recursion."""
    depth, key, previous = 0, None, ""
    for match in _TOKEN.finditer(text[:ID_WITHIN_CHARACTERS]):
        part = match.group()
        if depth == 1 and previous == ":" and key == '"id"':
            return _as_id(part)
        if part in "{[":
            depth += 1
        elif part in "}]":
            depth -= 1
        elif depth == 1 and part.startswith('"'):
            key = part
        previous = part
    return None


def _as_id(part: str) -> Id | None:
    try:
        value = json.loads(part)
        _require_whole_characters(value)
    except ValueError:
        return None
    return value if is_id(value) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"The key {json.dumps(twice[:100])} stands twice in one object; only one value can be meant.")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; there is no such number. Leave it out or send null.")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"The number {digits[:40]} is too large to be kept. Send it as text.")
    return number


def _require_whole_characters(message: Any) -> None:
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        found = f"U+{ord(error.object[error.start]):04X}"
        raise ValueError(
            f"A text holds a lone surrogate ({found}), which is no character. Send the whole character or remove it."
        ) from None


def _said(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"The message is not JSON: {error}."
    if "integer string conversion" in str(error):
        return "A number has too many digits to be kept exactly. Send it as text."
    return str(error)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)
