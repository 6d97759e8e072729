"""JSON files, with comments and trailing commas where a client takes them: changed by position, so that every other
character stays.

Python's own decoder reads: comments and trailing commas are blanked first, which moves nothing.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

from mcp_server.kernel.errors import ValidationFailed

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING = re.compile(rf'({_STRING}|[^\s{{\[,:"]+)(\s*,(?=\s*[}}\]]))?')
"""What a value ends with, and a comma behind it: one behind a brace or another comma is a mistake and stays."""
_BLANK = re.compile(r"\s*")
_REST = re.compile(r"[ \t]*,?[ \t]*[\r\n]")
"""A line of which nothing is left but a comma."""
_DECODER = json.JSONDecoder()
Key = str | int
"""Of a member of an object, or the number of one in a list."""
BROKEN = "Correct it, or take it out of the way, and run the command again."


class Member(NamedTuple):
    """One member of an object or list: where its key begins, and its value begins and ends."""

    key: Key
    start: int
    value: int
    end: int


class Opened(NamedTuple):
    """An object or list: where its braces are, and its members."""

    at: int
    close: int
    members: list[Member]

    def number(self, key: Key) -> int | None:
        """Which member has a key; None: none.

        Raises:
            ValidationFailed: more than one has.
        """
        number, *others = *(number for number, member in enumerate(self.members) if member.key == key), None
        if len(others) > 1:
            raise ValidationFailed(
                f"{key!r} stands in it {len(others)} times, and clients read only one of them.", next=BROKEN
            )
        return number


class Edit(NamedTuple):
    """Text in the place of what stands from one position to another."""

    start: int
    end: int
    text: str = ""


class Document:
    """A text, as it is, without comments (`bare`), and without trailing commas as well (`plain`)."""

    def __init__(self, text: str, *, strict: bool = False) -> None:
        """Read it.

        Raises:
            ValidationFailed: it is no JSON.
        """
        self.text = self.bare = self.plain = text
        if not strict:
            self.bare = _COMMENT.sub(_blanked, text)
            self.plain = _TRAILING.sub(_without_trailing, self.bare)
        self.data = self._read()
        self.root = len(text) - len(self.plain.lstrip())
        self.line_end = "\r\n" if "\r\n" in text else "\n"
        self.unit = self._unit()

    def _read(self) -> Any:
        try:
            return json.loads(self.plain)
        except json.JSONDecodeError as error:
            line = self.text.count("\n", 0, error.pos) + 1
            raise ValidationFailed(f"It is no JSON: {error.msg}, in line {line}.", next=BROKEN) from None

    def _unit(self) -> str | None:
        """By what lines are indented; None where all stands in one line."""
        if not self.data or self.plain[self.root] != "{":
            return "  "
        lead = self._lead(self.opened(self.root))
        return lead if lead != "" else "  "

    def _lead(self, opened: Opened) -> str | None:
        """What stands before the first member in its line; None where that is the brace's."""
        _, has_line, lead = self.plain[opened.at + 1 : opened.members[0].start].rpartition("\n")
        return lead if has_line else None

    def opened(self, at: int) -> Opened:
        """The object or list that begins somewhere."""
        members: list[Member] = []
        here = _skip(self.plain, at + 1)
        while self.plain[here] not in "}]":
            key, value = (len(members), here) if self.plain[at] == "[" else self._key(here)
            _, end = _DECODER.raw_decode(self.plain, value)
            members.append(Member(key, here, value, end))
            here = _skip(self.plain, end)
            here = _skip(self.plain, here + 1) if self.plain[here] == "," else here
        return Opened(at, here, members)

    def _key(self, at: int) -> tuple[str, int]:
        """The key that begins somewhere, and where its value does."""
        key, colon = _DECODER.raw_decode(self.plain, at)
        return key, _skip(self.plain, _skip(self.plain, colon) + 1)

    def way(self, path: Sequence[Key]) -> list[tuple[Opened, int | None]]:
        """The objects and lists on the way along keys, and which member leads on; None at the last, where none does.

        Raises:
            ValidationFailed: there is none of them on the way, or a key stands there twice.
        """
        way, at = list[tuple[Opened, int | None]](), self.root
        for depth, key in enumerate(path):
            opened = self._holder(at, path[:depth], key)
            number = opened.number(key)
            way.append((opened, number))
            if number is None:
                break
            at = opened.members[number].value
        return way

    def _holder(self, at: int, path: Sequence[Key], key: Key) -> Opened:
        """What may hold a key: an object, or of a number a list."""
        brace, what = ("[", "list") if isinstance(key, int) else ("{", "object")
        if self.plain[at] == brace:
            return self.opened(at)
        where = f"{'.'.join(map(str, path))!r} in it" if path else "It"
        raise ValidationFailed(f"{where} is no JSON {what}.", next=BROKEN)

    def _comma(self, at: int) -> int | None:
        """Where the comma behind a value is, if one is there; it may be a trailing one."""
        here = _skip(self.bare, at)
        return here if self.bare[here] == "," else None

    def rendered(self, value: Any, indent: str) -> str:
        """A value in the document's own style."""
        if self.unit is None:
            return json.dumps(value, ensure_ascii=False)
        lines = json.dumps(value, ensure_ascii=False, indent=self.unit).split("\n")
        return f"{self.line_end}{indent}".join(lines)

    def inserted(self, opened: Opened, key: Key, value: Any) -> list[Edit]:
        """What puts a member at the end of an object or list."""
        if not opened.members:
            return self._first(opened, key, value)
        last, lead = opened.members[-1], self._lead(opened)
        comma = self._comma(last.end)
        at = last.end if comma is None else comma + 1
        commas = [Edit(at, at, ",")] if comma is None else []
        end = at if lead is None else self._line_end(at, opened.close)
        member = f"{self._before(lead)}{self._member(key, value, lead)}{'' if commas else ','}"
        return [*commas, Edit(end, end, member)]

    def _before(self, lead: str | None) -> str:
        return " " if lead is None else f"{self.line_end}{lead}"

    def _member(self, key: Key, value: Any, indent: str | None) -> str:
        said = json.dumps(value, ensure_ascii=False) if indent is None else self.rendered(value, indent)
        return said if isinstance(key, int) else f"{json.dumps(key, ensure_ascii=False)}: {said}"

    def _line_end(self, at: int, close: int) -> int:
        """Behind a comment in the rest of the line, if nothing else stands there."""
        end = self.plain.find("\n", at, close)
        return at if end < 0 or self.plain[at:end].strip() else at + len(self.text[at:end].rstrip())

    def _first(self, opened: Opened, key: Key, value: Any) -> list[Edit]:
        at = opened.at + 1
        if self.unit is None:
            return [Edit(at, at, self._member(key, value, None))]
        base = self.indent(opened.at)
        closing = "" if "\n" in self.plain[at : opened.close] else f"{self.line_end}{base}"
        return [Edit(at, at, f"{self.line_end}{base}{self.unit}{self._member(key, value, base + self.unit)}{closing}")]

    def indent(self, at: int) -> str:
        """By how much the line of a position is indented."""
        line = self.plain[self.plain.rfind("\n", 0, at) + 1 : at]
        return line[: len(line) - len(line.lstrip())]

    def removed(self, opened: Opened, number: int) -> list[Edit]:
        """What takes a member away, as if it had never been put there."""
        member = opened.members[number]
        floor = opened.members[number - 1].end if number else opened.at + 1
        start = floor + len(self.text[floor : member.start].rstrip())
        comma = self._comma(member.end)
        if comma is None and number:
            comma = self._comma(floor)
        commas = [] if comma is None else [Edit(comma, comma + 1)]
        # What stands behind it in its line must not become part of a comment that stands before it.
        goes_on = _ends_in_note(self.text[floor:start]) and not _REST.match(self.text, member.end)
        return [*commas, Edit(start, member.end, self.line_end if goes_on else "")]

    def applied(self, edits: Iterable[Edit]) -> str:
        """The text after some edits."""
        parts, done = list[str](), 0
        for edit in sorted(edits, key=lambda edit: edit.start):
            parts += [self.text[done : edit.start], edit.text]
            done = edit.end
        return "".join([*parts, self.text[done:]])


def read(text: str) -> Any:
    """What a text with comments holds; nothing is an empty object."""
    return Document(text).data if text.strip() else {}


def read_strictly(text: str) -> Any:
    """What a text without comments holds."""
    return Document(text, strict=True).data if text.strip() else {}


def put(text: str, path: Sequence[Key], value: Any) -> str:
    """The text with a value at a path of keys; of an object to which it only adds, what differs alone is changed. A
    number behind the end of a list adds to it.

    Raises:
        ValidationFailed: there is no object or list on the way, or a key stands there twice.
    """
    if not text.strip():
        return f"{json.dumps(_nested(path, value), ensure_ascii=False, indent=2)}\n"
    document = Document(text)
    way = document.way(path)
    opened, number = way[-1]
    if number is None:
        return document.applied(document.inserted(opened, path[len(way) - 1], _nested(path[len(way) :], value)))
    return _replaced(document, path, opened.members[number], value)


def _replaced(document: Document, path: Sequence[Key], member: Member, value: Any) -> str:
    there, text = json.loads(document.plain[member.value : member.end]), document.text
    if not _only_adds(there, value):
        said = document.rendered(value, document.indent(member.value))
        return document.applied([Edit(member.value, member.end, said)])
    for key, part in value.items():
        if key not in there or there[key] != part:
            text = put(text, (*path, key), part)
    return text


def _only_adds(there: Any, value: Any) -> bool:
    """Whether both are objects, and the new one says at least what is there."""
    if isinstance(there, dict) and isinstance(value, dict):
        return cast("dict[str, Any]", value).keys() >= cast("dict[str, Any]", there).keys()
    return False


def drop(text: str, path: Sequence[Key]) -> str:
    """The text without what stands at a path of keys, and without the objects and lists that this leaves empty."""
    document = Document(text)
    way = [(opened, number) for opened, number in document.way(path) if number is not None]
    if len(way) < len(path):
        return text
    kept = [one for one in way if not _holds_nothing_else(document, *one)]
    emptied = [Edit(way[0][0].at + 1, way[0][0].close)]
    return document.applied(document.removed(*kept[-1]) if kept else emptied)


def _holds_nothing_else(document: Document, opened: Opened, number: int) -> bool:
    member = opened.members[number]
    rest = document.text[opened.at + 1 : member.start] + document.text[member.end : opened.close]
    return not rest.strip().strip(",").strip()


def _nested(path: Sequence[Key], value: Any) -> Any:
    for key in reversed(path):
        value = [value] if isinstance(key, int) else {key: value}
    return value


def _ends_in_note(text: str) -> bool:
    """Whether what stands behind a value ends in a comment that goes on to the end of its line."""
    notes = [found[0] for found in _COMMENT.finditer(text)]
    return bool(notes) and notes[-1].startswith("//") and text.endswith(notes[-1])


def _skip(text: str, at: int) -> int:
    """Where the next thing begins that is no blank."""
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _blanked(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else " " * len(match[0])


def _without_trailing(match: re.Match[str]) -> str:
    return match[1] + " " * len(match[2] or "")
