"""Ids: a kind and twelve random letters. Short, because models read and repeat them."""

import os
import secrets
from collections import deque

_WORDS: deque[str] = deque()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_WORDS.clear)  # a child must not give out its parent's ids
_LETTERS = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[byte % 32] for byte in range(256))


def new_id(kind: str) -> str:
    """`kind_` and 12 random base32 characters."""
    return f"{kind}_{_random_word()}"


def _random_word() -> str:
    """Twelve letters, of which the first five are the same for 256 words.

    What is made at about the same time thus stands together in every index by id, where it would else dirty a page
    each. Two words are alike no more often than if all their letters were drawn for each.
    """
    try:
        return _WORDS.pop()
    except IndexError:
        letters = secrets.token_bytes(5 + 7 * 256).translate(_LETTERS).decode()
        words = {letters[:5] + letters[start : start + 7] for start in range(5, len(letters), 7)}
        word = words.pop()
        _WORDS.extend(words)
        return word
