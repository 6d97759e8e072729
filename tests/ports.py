"""Ports for servers that tests start."""

import contextlib
import itertools
import os
import socket

_LOWEST, _COUNT, _OF_ONE = 10_000, 20_000, 100
"""Below those that systems give to whoever connects (from 32768 on Linux, 49152 elsewhere): such a one may be another's
until the server has it. Processes of tests begin at different places."""
_numbers = itertools.count(os.getpid() * _OF_ONE)


def free_port() -> int:
    """A port that nobody has, and that nobody is given before a server has it."""
    for number in _numbers:
        port = _LOWEST + number % _COUNT
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError
