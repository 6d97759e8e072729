"""The program that stands before every command, step by step in this process; `test_processes` runs it for real."""

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from mcp_server.integrations.processes import gate

ORDER: dict[str, Any] = {"argv": ["run", "x"], "env": {"A": "b"}, "cwd": None, "cpu_seconds": None, "open_files": None}


class Became(Exception):
    """What would have become the command."""


@pytest.fixture
def becoming(monkeypatch: pytest.MonkeyPatch) -> None:
    def become(*what: Any) -> None:
        raise Became(*what)

    monkeypatch.setattr(os, "execvpe", become)
    monkeypatch.setattr(os, "closerange", lambda low, high: None)


def ordered(sent: bytes) -> tuple[int, int, int]:
    """What is left to read the order from, to reply to, and where the reply arrives."""
    order, sender = os.pipe()
    arrives, reply = os.pipe()
    os.write(sender, sent)
    os.close(sender)
    return order, reply, arrives


def framed(order: dict[str, Any]) -> bytes:
    text = json.dumps(order).encode()
    return len(text).to_bytes(gate.LENGTH_BYTES, "big") + text


def run(sent: bytes) -> tuple[int, bytes]:
    """The exit code, and what is replied."""
    order, reply, arrives = ordered(sent)
    try:
        code = gate.main(order, reply)
        os.close(reply)
        return code, os.read(arrives, 2000)
    finally:
        os.close(order)
        os.close(arrives)


@pytest.mark.parametrize("cut", [0, 3, gate.LENGTH_BYTES, gate.LENGTH_BYTES + 5, -1])
@pytest.mark.usefixtures("becoming")
def test_an_order_that_is_not_whole_is_none(cut: int):
    assert run(framed(ORDER)[:cut]) == (0, b"")


@pytest.mark.usefixtures("becoming")
def test_a_whole_order_is_obeyed_as_it_stands():
    order, reply, arrives = ordered(framed(ORDER | {"cwd": "/"}))
    before = str(Path.cwd())
    try:
        with pytest.raises(Became) as became:
            gate.main(order, reply)
        assert became.value.args == ("run", ["run", "x"], {"A": "b"}) and str(Path.cwd()) == "/"
        assert not os.get_inheritable(order) and not os.get_inheritable(reply)
    finally:
        os.chdir(before)
        for descriptor in (order, reply, arrives):
            os.close(descriptor)


def test_what_cannot_be_run_is_replied(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "closerange", lambda low, high: None)
    assert run(framed(ORDER | {"argv": ["/no/such"]})) == (127, b"/no/such: No such file or directory")
    assert run(framed(ORDER | {"cwd": "/no/folder"})) == (127, b"/no/folder: No such file or directory")


def test_a_limit_is_never_over_what_is_allowed(monkeypatch: pytest.MonkeyPatch):
    said: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda what, most: said.append(most))
    monkeypatch.setattr(resource, "getrlimit", lambda what: (10, 20))
    for most in (None, 5, 50):
        gate.limit(resource.RLIMIT_NOFILE, most)
    monkeypatch.setattr(resource, "getrlimit", lambda what: (10, resource.RLIM_INFINITY))
    gate.limit(resource.RLIMIT_NOFILE, 50)
    assert said == [(5, 5), (20, 20), (50, 50)]
