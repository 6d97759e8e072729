"""How far a conversation over HTTP/1 is, from the bytes that pass by. The proxy loads it, and nothing else of ours."""

import re
import sys

HEAD_BYTES_MAX = 64 * 1024
REQUEST = re.compile(rb"([A-Z]{3,10}) \S+ HTTP/1\.[01]\r\n")
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


def begins_request(data: bytes) -> bool:
    """Whether a client begins a request of HTTP/1 with this."""
    return REQUEST.match(data) is not None


class Dialogue:
    """How far a connection is, where HTTP/1 is spoken: between requests nothing is under way. Of what else is spoken
    that is never said."""

    def __init__(self) -> None:
        self._state = "idle"
        self._method = self._head = self._tail = b""
        self._left: int | None = None

    @property
    def is_idle(self) -> bool:
        """Whether everything that was asked has been answered."""
        return self._state == "idle"

    def ask(self, data: bytes) -> None:
        """The client said something."""
        begins = REQUEST.match(data)
        if self._state == "idle" and begins is not None:
            self._state, self._method, self._head = "asked", begins[1], b""
        elif self._state == "idle" or begins is not None:  # no HTTP, or a second request before the first is answered
            self._state = "opaque"

    def answer(self, data: bytes) -> None:
        """The replica said something."""
        if self._state == "asked":
            self._begin(self._head + data)
        elif self._state == "answering":
            self._go_on(data)
        else:
            self._state = "opaque"

    def _begin(self, data: bytes) -> None:
        head, end, body = data.partition(b"\r\n\r\n")
        status = _STATUS.match(head)
        self._head = data
        if not end:
            self._state = "opaque" if len(data) > HEAD_BYTES_MAX else "asked"
        elif status is None or status[1] == b"101":
            self._state = "opaque"
        elif status[1][:1] == b"1":  # the answer itself is still to come
            self._head = b""
            if body:
                self._begin(body)
        else:
            self._state, self._left, self._tail = "answering", self._length(head + b"\r\n", status[1]), b"\r\n"
            self._go_on(body)

    def _length(self, head: bytes, status: bytes) -> int | None:
        """How many bytes follow a head; None where they end with the last chunk, or the connection."""
        if self._method == b"HEAD" or status in (b"204", b"304"):
            return 0
        if _CHUNKED.search(head) is not None:
            return None
        length = _LENGTH.search(head)
        return sys.maxsize if length is None else int(length[1])

    def _go_on(self, data: bytes) -> None:
        if self._left is None:
            self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
            is_whole = self._tail == _LAST_CHUNK
        else:
            self._left -= len(data)
            is_whole = self._left == 0
        if is_whole:
            self._state = "idle"
        elif self._left is not None and self._left < 0:
            self._state = "opaque"
