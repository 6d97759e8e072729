"""Waiting in a thread for what another process does, so that another thread can end the wait."""

import contextlib
import selectors
import socket


class Doorbell:
    """Sleeps until one of some descriptors can be read, or until it is rung."""

    def __init__(self, *descriptors: int) -> None:
        self._inside, self._outside = socket.socketpair()
        self._inside.setblocking(False)
        self._selector = selectors.DefaultSelector()
        for descriptor in (*descriptors, self._inside.fileno()):
            self._selector.register(descriptor, selectors.EVENT_READ)

    def wait(self, seconds: float | None) -> bool:
        """Sleep, for so long at most; whether one of the descriptors can be read."""
        found = [key.fd for key, _ in self._selector.select(seconds)]
        if self._inside.fileno() in found:
            found.remove(self._inside.fileno())
            self._inside.recv(4096)
        return bool(found)

    def leave(self, descriptor: int) -> None:
        """Sleep on, also when this one can be read."""
        self._selector.unregister(descriptor)

    def ring(self) -> None:
        """End the wait that is under way, or else the next. From any thread."""
        with contextlib.suppress(OSError):  # it was closed meanwhile
            self._outside.send(b"\0")

    def close(self) -> None:
        """End for good; a wait that is under way too."""
        self.ring()
        self._selector.close()
        self._inside.close()
        self._outside.close()
