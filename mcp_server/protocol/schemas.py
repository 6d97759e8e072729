"""JSON schemas as clients see them: short, because every client pays for the tool list in tokens."""

from functools import cache
from typing import Any, cast

from pydantic import BaseModel

from mcp_server.kernel.views import View, adapter

_NOISE = (
    "title",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "exclusiveMinimum",
    "additionalProperties",
    "examples",
)


@cache
def input_schema(model: type[BaseModel], shared: type[BaseModel] | None = None) -> dict[str, Any]:
    """A tool's arguments, and those it shares with others: references inlined; null alternatives, null defaults and
    lengths left out.

    What is left out is still enforced: the refusal of a call names it.
    """
    schema = model.model_json_schema(by_alias=True)
    slim = _slim(schema, schema.get("$defs", {}))
    slim.pop("description", None)
    if shared is not None:
        slim["properties"] = slim["properties"] | input_schema(shared)["properties"] | slim["properties"]
    return slim


@cache
def output_schema(view: type[View]) -> dict[str, Any]:
    """A tool's result: its members and their types, and no more, since a client pays for every word of it. None is
    required: clients of older SDKs hold a refusal, which has none of them, against this, too."""
    schema = adapter(view).json_schema(mode="serialization")
    slim = _slim(schema, schema.get("$defs", {}))
    return {"type": "object", "properties": {name: _type_of(one) for name, one in slim["properties"].items()}}


def _type_of(schema: dict[str, Any]) -> dict[str, Any]:
    if "type" not in schema:
        return {}
    items = schema.get("items", {})
    inside = {"items": {"type": items["type"]} if "type" in items else {}} if schema["type"] == "array" else {}
    return {"type": schema["type"]} | inside


def _slim(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_slim(item, definitions) for item in cast("list[Any]", node)]
    return _slim_object(cast("dict[str, Any]", node), definitions) if isinstance(node, dict) else node


def _slim_object(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    members = dict(node)
    if "$ref" in members:
        target = definitions[members.pop("$ref").rsplit("/", 1)[-1]]
        members = {name: value for name, value in target.items() if name != "description"} | members
    slim = {name: _slim_member(name, value, definitions) for name, value in members.items() if name not in _DROPPED}
    if slim.get("default", ...) in (None, [], ""):
        del slim["default"]
    return _without_null(slim)


_ANY_TYPE = ("object", "array", "string", "number", "boolean", "null")
_ITEMS: dict[str, Any] = {"items": {"minProperties": 0}}
"""Every list says what it holds, also where that is anything: else some models' services refuse the list of tools. And
strict linters take a schema without a word for a mistake, so it says what is true of everything."""
_CONSTRAINTS = frozenset({"type", "anyOf", "oneOf", "allOf", "enum", "const"})
_DROPPED = frozenset({*_NOISE, "$defs"})


def _slim_member(name: str, value: Any, definitions: dict[str, Any]) -> Any:
    if name == "properties":
        members = cast("dict[str, Any]", value).items()
        return {key: _explicit(_slim(item, definitions)) for key, item in members}
    return _slim(value, definitions)


def _explicit(schema: dict[str, Any]) -> dict[str, Any]:
    """A member that may hold any JSON says so: an empty schema looks like a mistake, and linters take it for one."""
    return (
        schema
        if schema.keys() & _CONSTRAINTS
        else schema | {"anyOf": [{"type": name} | (_ITEMS if name == "array" else {}) for name in _ANY_TYPE]}
    )


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    choices = schema.get("anyOf")
    if choices is None:
        return schema
    real = [choice for choice in choices if choice != {"type": "null"}]
    if len(real) != 1:
        return schema | {"anyOf": real}
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return real[0] | rest
