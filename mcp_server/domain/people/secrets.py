"""The text of a key: made once, shown once, and known here by its SHA-256 alone."""

import hashlib
import secrets
import string

PREFIX = "dmcp_"
"""How every key begins, so that scanners for secrets know one."""

SECRET_BYTES = 32
_ALPHABET = string.digits + string.ascii_letters
_MARK_LETTERS = 8
_SECRET_LETTERS = 43
"""How many letters of the alphabet 32 bytes come to."""


def new_text() -> str:
    """`dmcp_`, eight letters by which people tell keys apart, `_`, and 32 random bytes as 43 letters and digits. One
    double click marks all of it."""
    number = int.from_bytes(secrets.token_bytes(SECRET_BYTES))
    letters: list[str] = []
    for _ in range(_SECRET_LETTERS):
        number, digit = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    mark = "".join(secrets.choice(_ALPHABET) for _ in range(_MARK_LETTERS))
    return f"{PREFIX}{mark}_{''.join(letters)}"


def sha256_of(text: str) -> str:
    """What is stored of a key's text. A slow hash would add nothing: nobody guesses 32 random bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
