"""What else a call asks for, in words for people: who says yes to it sees all that decides what happens."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import BaseModel

from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.quoting import named, quoted, shown_json
from mcp_server.kernel.times import iso, micros

Fact = Callable[[Any], str]

_VALUE_SHOWN = 120


def beside(args: BaseModel, facts: Mapping[str, Fact]) -> str:
    """` (agent ann, priority high)`: of the arguments that have words, what was said and is no matter of course."""
    said = [fact(getattr(args, name)) for name, fact in facts.items() if _is_said(args, name)]
    return f" ({', '.join(said)})" if said else ""


def _is_said(args: BaseModel, name: str) -> bool:
    # What is as it would be anyway tells whoever decides nothing.
    return name in args.model_fields_set and getattr(args, name) != type(args).model_fields[name].default


def after(words: str) -> Fact:
    """`priority high`: the words, then the value, or several."""

    def fact(value: Any) -> str:
        each = cast("tuple[Any, ...]", value if isinstance(value, tuple) else (value,))
        return f"{words} {' and '.join(named(str(one)) for one in each)}"

    return fact


def as_json(value: Any) -> str:
    """A value, as far as it fits into a sentence."""
    return shown(dump_json(value))


def shown(text: str) -> str:
    """JSON text, as far as it fits into a sentence: the call itself stands beside it in full."""
    # What is whole ends where its brackets and quotes do; what is cut stands in quotes of ours.
    return shown_json(text) if len(text) <= _VALUE_SHOWN else quoted(text, _VALUE_SHOWN)


def _scheduled(value: Any) -> str:
    return f"again and again at {quoted(value.cron)} {named(value.timezone)}"


TASK: Mapping[str, Fact] = {
    "kind": after("kind"),
    "agent_id": after("agent"),
    "priority": after("priority"),
    "run_at": lambda value: f"not before {iso(micros(value))}",
    "schedule": _scheduled,
    "required_capabilities": after("requires"),
    "depends_on": after("after"),
    "parent_id": after("part of"),
    "concurrency_key": after("one at a time by"),
    "requires_approval": lambda value: "waits for people",
}
AGENT: Mapping[str, Fact] = {
    "capabilities": lambda value: f"can {' and '.join(named(one.name) for one in value)}",
    "launcher": lambda value: f"started by launcher {named(value.name)}",
    "scaling": lambda value: f"between {value.min} and {value.max} instances",
}
EMAIL: Mapping[str, Fact] = {
    "send_at": lambda value: f"not before {iso(micros(value))}",
    "reply_to": lambda value: f"{'answering' if value.startswith('email_') else 'answers to'} {named(value)}",
    "attachments": lambda value: f"with {' and '.join(named(one.name) for one in value)}",
}
MESSAGE: Mapping[str, Fact] = {
    "importance": after("importance"),
    "ack_within_seconds": lambda value: f"to be acknowledged within {value:g} seconds",
}
