"""Ids: a kind and twelve random letters, short because models read and repeat them. Secrets: longer, each drawn anew.

The alphabet has no vowels, so that nothing spells a word, and nothing that looks like something else (0 1 i l o u y).
"""

import os
import secrets
from collections import deque

ALPHABET = "23456789bcdfghjkmnpqrstvwxz"
SECRET_LETTERS = 20
"""95 bits."""

_WORDS: deque[str] = deque()
_SECRETS: deque[str] = deque()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: (_WORDS.clear(), _SECRETS.clear()))  # a child has its own
_EVEN = 256 // len(ALPHABET) * len(ALPHABET)
_LETTERS = bytes(ALPHABET.encode()[byte % len(ALPHABET)] for byte in range(256))
_UNEVEN = bytes(range(_EVEN, 256))
"""Bytes that would make some letters likelier than others."""


def new_id(kind: str) -> str:
    """`kind_` and 12 random letters."""
    return f"{kind}_{_random_word()}"


def new_secret(kind: str) -> str:
    """`kind_` and as many random letters as nobody guesses; none of them are shared with another's."""
    try:
        return f"{kind}_{_SECRETS.pop()}"
    except IndexError:
        letters = _random_letters(64 * SECRET_LETTERS)
        _SECRETS.extend(letters[start : start + SECRET_LETTERS] for start in range(0, len(letters), SECRET_LETTERS))
        return new_secret(kind)


def _random_letters(count: int) -> str:
    letters = b""
    while len(letters) < count:
        letters += secrets.token_bytes(count + count // 4).translate(_LETTERS, _UNEVEN)
    return letters[:count].decode()


def _random_word() -> str:
    """Twelve letters, of which the first five are the same for 256 words.

    What is made at about the same time thus stands together in every index by id, where it would else dirty a page
    each. Two words are alike no more often than if all their letters were drawn for each.
    """
    try:
        return _WORDS.pop()
    except IndexError:
        letters = _random_letters(5 + 7 * 256)
        words = {letters[:5] + letters[start : start + 7] for start in range(5, len(letters), 7)}
        word = words.pop()
        _WORDS.extend(words)
        return word
