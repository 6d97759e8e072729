"""A server that was asked to end stops in order, and has only so long for it."""

import threading

from mcp_server.runtime.ending import Ending


def test_what_stops_a_server_is_called_whenever_it_is_asked_to_end():
    asked: list[str] = []
    ending = Ending(600, lambda: None)
    ending.by(lambda: asked.append("stop"))
    assert asked == []
    ending.ask()
    ending.ask()
    assert asked == ["stop", "stop"]


def test_a_server_that_was_asked_to_end_while_it_was_loading_is_stopped_once_it_runs():
    asked: list[str] = []
    ending = Ending(600, lambda: None)
    ending.ask()
    ending.by(lambda: asked.append("stop"))
    assert asked == ["stop"]


def test_an_end_that_takes_too_long_is_cut_short_once():
    given_up = threading.Semaphore(0)
    ending = Ending(0.01, given_up.release)
    ending.ask()
    ending.ask()
    assert given_up.acquire(timeout=60)
    assert not given_up.acquire(timeout=0.05)
