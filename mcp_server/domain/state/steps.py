"""Operations of a JSON patch as a call has them. RFC 6902 has what it does not know passed over; here that is refused,
since a guard that is passed over guards nothing."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from mcp_server.kernel.json_pointers import pointer_to
from mcp_server.kernel.json_tools import PatchOperation
from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.near import folded
from mcp_server.kernel.numbers import is_number
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.together import meant, not_together

_TEST = "a test operation before it does that: {op: test, path, value}"
_TAKES_OFF = frozenset(("dec", "decr", "decrease", "decrement", "subtract"))
_PUTS_BEHIND = frozenset(("append", "push"))


def _pointer(given: Any) -> Any:
    """A path in parts as a pointer: `["limits", "max"]`."""
    parts: Sequence[Any] = cast("list[Any]", given) if isinstance(given, list) else ()
    is_path = len(parts) > 1 and all(isinstance(part, (str, int)) and not isinstance(part, bool) for part in parts)
    return pointer_to(map(str, parts)) if is_path else cast("Any", given)


Pointer = Annotated[str, BeforeValidator(_pointer), Meant("a JSON Pointer", "/items/0")]


class PatchStep(PatchOperation):
    """One operation, with nothing in it that does nothing."""

    model_config = ConfigDict(extra="forbid")
    INSTEAD: ClassVar[Mapping[str, str]] = dict.fromkeys(("expected", "if", "if_value", "only_if", "when"), _TEST)

    op: Annotated[
        Literal["add", "remove", "replace", "move", "copy", "test", "increment"],
        Meant(also=dict.fromkeys(("delete", "del", "unset"), "remove")),
    ]
    path: Pointer
    from_: Pointer | None = Field(default=None, alias="from")

    @model_validator(mode="before")
    @classmethod
    def _in_the_words_of_the_rfc(cls, given: Any) -> Any:
        if isinstance(given, dict):
            said = cast("dict[str, Any]", given)
            _require_a_pointer(said)
            _require_known(said)
        return cast("Any", given)


def _require_a_pointer(said: Mapping[str, Any]) -> None:
    path = said.get("path")
    if not isinstance(path, str) or not path:
        return
    if not path.startswith("/"):
        right = "/" + re.sub(r"\[(\d+)\]", r".\1", path).replace(".", "/")
        raise not_together(
            f"{quoted(path, 60)} is not a JSON Pointer; it must be empty or start with '/'. Did you mean {right}?",
            path=right,
        )
    if path.endswith("/") and said.get("op") in ("add", "increment"):
        raise not_together(
            f'{quoted(path, 60)} is a member with an empty name; "" is the whole document, and /name a member of it.'
        )


def _require_known(said: Mapping[str, Any]) -> None:
    """Refuse operations of other dialects that stand for one of these in other words."""
    op, path, value = (said.get(name) for name in ("op", "path", "value"))
    plain = folded(op) if isinstance(op, str) else ""
    if plain in _TAKES_OFF:
        _refuse_taking_off(str(op), value)
    if plain in _PUTS_BEHIND and isinstance(path, str):
        raise meant(
            f"{quoted(str(op), 20)} is not accepted; add puts behind the last of a list where its path ends in /-.",
            op="add",
            path=path if path.endswith("/-") else f"{path}/-",
        )


def _refuse_taking_off(op: str, value: Any) -> None:
    said = f"{quoted(op, 20)} is not accepted; increment adds its value, which may be below 0"
    if is_number(value) and value > 0:
        raise meant(f"{said}.", op="increment", value=-value)
    if value is None:
        raise meant(f"{said}.", op="increment", value=-1)
    raise not_together(f"{said}; say by how much.")
