"""Words of other tools, made such that a task can have them."""

import re
import unicodedata
from collections.abc import Iterable

TITLE_MAX = 200
TEXT_MAX = 20_000
TAG_MAX = 64
GOES_ON = "\n\n[It goes on where it came from.]"


def tags_of(words: Iterable[str]) -> tuple[str, ...]:
    """Labels as tags: what a tag may not hold becomes a hyphen."""
    made = (re.sub(r"[^A-Za-z0-9._/-]+", "-", word).strip("-._/")[:TAG_MAX] for word in words)
    return tuple(dict.fromkeys(filter(None, made)))


def title_of(text: str, otherwise: str) -> str:
    """A title as one line; whatever would break it is a space."""
    line = " ".join("".join(map(_spaced, text)).split()) or otherwise
    return line if len(line) <= TITLE_MAX else f"{line[: TITLE_MAX - 1]}…"


def text_of(*parts: tuple[str, str]) -> str:
    """A description of several parts, each under its heading; one whose heading is empty has none."""
    text = "\n\n".join(filter(None, (_part(heading, _storable(said)) for heading, said in parts)))
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - len(GOES_ON)] + GOES_ON


def _part(heading: str, text: str) -> str:
    return f"{heading}:\n{text}" if heading and text else text


def _storable(text: str) -> str:
    """Without what no database takes: NUL, and halves of characters."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode().strip()


def _spaced(character: str) -> str:
    return " " if unicodedata.category(character)[0] in "CZ" else character
