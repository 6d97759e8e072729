"""Arguments made from the tools' own schemas: what a schema asks for, or anything but."""

import base64
import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any


def cursor(*parts: Any) -> str:
    """Parts as a cursor that some list could have given out."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


NUMBERS = [2**63, -(2**63) - 1, 2**64, 10**30, -1, 0, 1e308, -1e308, 1.5, True, False]
TEXTS = [
    *("", " ", "\x00", "a\x00b", "x" * 70_000, "\u00e9" * 5_000, "\U0010ffff", "\u202e", "\ufffd"),
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "10000-01-01T00:00:00Z"),
    *("0 0 29 2 *", "60 * * * *", "* * * * *", "%", "_", "\\", "'", '"', ";--", "../..", "/", "**", "[", "[a-", "~"),
    *("agent:", "user:", "capability:", "#0", "#99999999999999999999", "=?utf-8?q?=0d=0a?=", "{}", "[]", "[" * 50),
    *(
        cursor(2**70),
        cursor(2**70, "a"),
        cursor("a", "b"),
        cursor(1.5, "x"),
        cursor(None, None),
        cursor("\x00", "\x00"),
    ),
    *(cursor(2**70, 2**70), cursor("9" * 30), cursor(1, 2), "WzFlOTk5XQ", "not a cursor"),
]
SHAPES: list[Any] = [None, [], {}, [None], [{}], [[]], {"a": None}, {"a": {"b": [1] * 100}}]
HOSTILE = [*NUMBERS, *TEXTS, *SHAPES]


class Guesser:
    """Makes arguments: what a schema asks for, or anything but."""

    def __init__(
        self, chance: random.Random, known: Callable[[str], list[Any]], hostility: float = 0.35, more: float = 0.4
    ) -> None:
        """Guess.

        Args:
            chance: decides.
            known: texts for a member of some name.
            hostility: how often a value is anything but what is asked for.
            more: how often what may be left out is given.
        """
        self._chance = chance
        self._known = known
        self._hostility = hostility
        self._more = more

    def arguments(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Arguments of one call, which does not wait."""
        required = schema.get("required", [])
        given = {
            name: self._value(one, name) for name, one in schema["properties"].items() if self._wanted(name, required)
        }
        return given | ({"wait_seconds": 0} if "wait_seconds" in schema["properties"] else {})

    def _wanted(self, name: str, required: list[str]) -> bool:
        return name in required or self._chance.random() < self._more

    def _value(self, schema: dict[str, Any], name: str, depth: int = 0) -> Any:
        if depth > 4 or self._chance.random() < self._hostility:
            return self._chance.choice(HOSTILE)
        if "anyOf" in schema:
            return self._value(self._chance.choice(schema["anyOf"]), name, depth + 1)
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        kind = schema.get("type")
        if kind == "object" and "properties" in schema:
            members = schema["properties"].items()
            required = schema.get("required", [])
            return {
                inner: self._value(one, inner, depth + 1) for inner, one in members if self._wanted(inner, required)
            }
        if kind == "array":
            return [
                self._value(schema.get("items", {}), name, depth + 1)
                for _ in range(self._chance.choice((0, 1, 2) if self._hostility else (1, 2)))
            ]
        numbers = [0, 1, 5, 2**31, 2**53] if self._hostility else [1, 2, 5]
        plain = {
            "integer": numbers,
            "number": [0, 0.001, 1, 1e9] if self._hostility else [1, 60],
            "boolean": [True, False],
        }
        return self._chance.choice(plain.get(str(kind)) or self._known(name))


def seeds(most: int, seconds: float = 60) -> Iterator[int]:
    """Where to begin, again and again until the time is over: the same few numbers in each run, so that a change is not
    held up by what another one would meet as well; from `FUZZ_SEED` on, where that is set, as many as there is time."""
    ends, first = time.monotonic() + seconds, os.environ.get("FUZZ_SEED")
    for number in itertools.count(int(first or "1")):
        if time.monotonic() >= ends or (first is None and number > most):
            return
        print(f"FUZZ_SEED={number}", flush=True)  # shown where it fails
        yield number
