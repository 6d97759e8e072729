"""Text of others as people and models are shown it: one line stays one line, and several lines cannot pass for the
server's own words. What cannot be seen is shown escaped, so that nothing hides."""

import re

_CUT = "…"
_MARK = "> "
LINE_END = re.compile(r"\r\n|\r|\n")
"""What ends a line of a text that may have several."""

# What `isprintable` takes for printable and yet shows nothing: fillers, joiners, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")


def one_line(text: str, limit: int | None = None) -> str:
    r"""The text as one printable line: line ends, control characters, direction marks and all that has no width are
    shown as `\n`, `\x1b`, `\u202e`; letters of every script stay as they are.

    Args:
        text: of others.
        limit: how many characters there may be; what is cut off ends in an ellipsis.
    """
    shown = text if text.isascii() and text.isprintable() else "".join(map(_shown, text))
    return shown if limit is None or len(shown) <= limit else shown[: max(limit - 1, 0)] + _CUT


def fenced(text: str) -> str:
    """The text with every line marked as another's, so that none can stand for a line of the server's own."""
    return "\n".join(f"{_MARK}{one_line(line.expandtabs(4))}" for line in LINE_END.split(text))


def _shown(character: str) -> str:
    seen = not _UNSEEN.match(character) if character.isprintable() else _SPACES.match(character) is not None
    return character if seen else character.encode("unicode_escape").decode("ascii")
