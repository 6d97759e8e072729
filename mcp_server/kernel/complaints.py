"""What a check found wrong in a file or document of somebody's, or in an answer, in words of whoever wrote it: that it
is Python that reads it is no business of theirs. What is wrong with a call's arguments is said at more length
(`problems`)."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

_OURS = "Value error, "
_TABLE = "it takes a table of names and values"
_LIST = 'it takes a list, such as ["one", "two"]'
_TEXT = "it takes a text"
_NUMBER = "it takes a number"
_WHOLE = "it takes a whole number"
_YES = "it takes true or false"
_WORDS = {
    "missing": "it is missing",
    "extra_forbidden": "nothing is called so there",
    **dict.fromkeys(("dict_type", "model_type", "dataclass_type", "mapping_type"), _TABLE),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), _LIST),
    **dict.fromkeys(("string_type", "bytes_type", "string_unicode"), _TEXT),
    **dict.fromkeys(("bool_type", "bool_parsing"), _YES),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    "finite_number": "it takes a number that is not infinite",
    "greater_than": "it takes more than {gt}",
    "greater_than_equal": "it takes at least {ge}",
    "less_than": "it takes less than {lt}",
    "less_than_equal": "it takes at most {le}",
    "string_too_short": "it takes at least {min_length} character(s)",
    "string_too_long": "it takes at most {max_length} characters",
    "string_pattern_mismatch": "it takes what matches {pattern}",
    **dict.fromkeys(("literal_error", "enum"), "it takes {expected}"),
    "too_long": "it takes at most {max_length}",
    "too_short": "it takes at least {min_length}",
}


def complaint(found: Mapping[str, Any]) -> str:
    """One of the errors of a `ValidationError` as a clause."""
    said = _WORDS.get(found["type"])
    if said is not None:
        return said.format_map(found.get("ctx", {}))
    is_theirs = found["type"] in get_args(ErrorType) and not found["msg"].startswith(_OURS)
    return "it is not accepted there" if is_theirs else found["msg"].removeprefix(_OURS)


def complaints(error: ValidationError, most: int = 1) -> str:
    """The first errors, each with its place where it has one."""
    told = error.errors(include_url=False, include_input=False)[:most]
    return "; ".join(": ".join(filter(None, (".".join(map(str, one["loc"])), complaint(one)))) for one in told)
