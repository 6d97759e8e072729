"""Header fields of a mail as they are written (RFC 5322, 2047, 2231, 6532). What stands in one is data: what could be
read as anything else is put into encoded words by us, and the email package, whose headers decode what they are given,
never parses it. Any text can be written, folded long before SMTP's 998 characters.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from email.policy import EmailPolicy
from urllib.parse import quote

from mcp_server.kernel.addresses import ascii_domain, parse_address

_FOLD = "\r\n "
_LINE_MAX = 76
_WORD_BYTES_MAX = 39  # makes 52 characters of base64: with its frame and the field's name, a line of 76 at most
_PARAMETER_CHARACTERS_MAX = 50
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_WORDS = re.compile(r"[!-~]{1,60}(?: [!-~]{1,60})*")
_ASCII = re.compile(r"[ -~]*")
_ATOMS = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_FILE_NAME = re.compile(r"[ !#$&-\[\]-~]{1,50}")  # neither %, as in RFC 2231's values, nor what quoting escapes
_DOT_ATOM = re.compile(r"[^\s.]+(?:\.[^\s.]+)*")


class Written(str):
    """The value of a header field as it goes out; the email package takes it as it is."""

    __slots__ = ("name",)

    def __new__(cls, name: str, value: str) -> "Written":
        """Name the field; the value is folded already."""
        written = super().__new__(cls, value)
        written.name = name
        return written

    def fold(self, *, policy: EmailPolicy) -> str:
        """The whole field."""
        return f"{self.name}: {self}{policy.linesep}"


def unstructured(text: str) -> str:
    """A subject or the like: as it is where that reads back as the same text, else in encoded words."""
    plain = _one_line(text)
    if not plain:
        return ""
    if "=?" in plain or not _WORDS.fullmatch(plain):
        return _FOLD.join(_encoded_words(plain))
    return _FOLD.join(_filled(plain.split(" ")))


def mailbox(text: str) -> str:
    """An address with its display name. A local part in another script needs SMTPUTF8."""
    address = parse_address(text)
    local = address.username if _DOT_ATOM.fullmatch(address.username) else _quoted(address.username)
    plain = f"{local}@{ascii_domain(address.domain)}"
    name = _one_line(address.display_name).strip()
    return _joined((_phrase(name), f"<{plain}>"), "") if name else plain


def mailboxes(texts: Iterable[str]) -> str:
    """Several addresses, on a line each where they do not fit on one."""
    return _joined([mailbox(text) for text in texts], ",")


def attached_as(name: str) -> str:
    """The disposition of an attachment of this name."""
    plain = _one_line(name)
    if _FILE_NAME.fullmatch(plain) and "=?" not in plain:
        return f'attachment;{_FOLD}filename="{plain}"'
    pieces = [quote(piece, safe="") for piece in _pieces(plain, _PARAMETER_CHARACTERS_MAX // 3)]
    if len(pieces) == 1:
        return f"attachment;{_FOLD}filename*=utf-8''{pieces[0]}"
    parameters = (f"filename*{number}*={piece}" for number, piece in enumerate([f"utf-8''{pieces[0]}", *pieces[1:]]))
    return f";{_FOLD}".join(("attachment", *parameters))


def literal(text: str) -> str:
    """A text for a provider that writes the header itself: one that holds an encoded word is put into one of ours, so
    that reading it gives the text, not what it would decode to."""
    plain = _one_line(text)
    return " ".join(_encoded_words(plain)) if "=?" in plain else plain


def _joined(parts: Sequence[str], mark: str) -> str:
    line = f"{mark} ".join(parts)
    fits = _FOLD not in line and len(line) <= _LINE_MAX - len("Reply-To: ,")
    return line if fits else f"{mark}{_FOLD}".join(parts)


def _one_line(text: str) -> str:
    """What the doors refuse, mails of before may hold: every break is a space, and half a character a question mark."""
    return _BREAKS.sub(" ", text).encode("utf-8", "replace").decode()


def _phrase(name: str) -> str:
    if "=?" in name or not _ASCII.fullmatch(name):
        return _FOLD.join(_encoded_words(name))
    return name if _ATOMS.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _encoded_words(text: str) -> Iterator[str]:
    for piece in _pieces(text, _WORD_BYTES_MAX):
        yield f"=?utf-8?b?{base64.b64encode(piece.encode()).decode()}?="


def _pieces(text: str, bytes_max: int) -> list[str]:
    """The text cut between characters, each piece within so many bytes of UTF-8; at least one piece."""
    pieces, size = [""], 0
    for character in text:
        more = len(character.encode())
        if size + more > bytes_max:
            pieces.append("")
            size = 0
        pieces[-1] += character
        size += more
    return pieces


def _filled(words: list[str]) -> Iterator[str]:
    """The words in lines, as many in each as fit; the first line leaves room for the field's name."""
    line = words[0]
    room = _LINE_MAX - len("Message-ID: ")
    for word in words[1:]:
        if len(line) + 1 + len(word) > room:
            yield line
            line, room = word, _LINE_MAX
        else:
            line = f"{line} {word}"
    yield line
