"""Ports of servers that tests start are nobody else's."""

import itertools
import socket
from pathlib import Path

import pytest

from tests import ports
from tests.ports import free_port

GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not GIVEN.exists(), reason="the system does not say which ports it gives")
def test_a_free_port_is_none_that_the_system_gives_to_whoever_connects():
    lowest, _ = map(int, GIVEN.read_text().split())
    assert all(port < lowest for port in (free_port() for _ in range(20)))


def test_a_port_is_told_once_and_one_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch):
    first, second = free_port(), free_port()
    assert first != second
    monkeypatch.setattr(ports, "_numbers", itertools.count(second - ports._LOWEST))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", second))
        assert free_port() not in (first, second)
