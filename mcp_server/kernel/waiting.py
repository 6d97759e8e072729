"""Waiting for a change, whichever process makes it, without asking the database in a loop."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import TypeVar

from mcp_server.kernel import untold
from mcp_server.kernel.call import Call, Context
from mcp_server.kernel.store import Feed, Listener

T = TypeVar("T")
PROGRESS_EVERY_SECONDS = 5.0
WAIT_SECONDS_MAX = 50.0
"""Clients cut a call at 60 seconds."""


async def wait_until(
    context: Context,
    call: Call,
    attempt: Callable[[], Awaitable[T]],
    reached: Callable[[T], bool],
    wait_seconds: float,
    aggregate_types: tuple[str, ...],
) -> T:
    """Attempt until it is enough or the time is over; attempt again only after an event of the given kinds.

    Args:
        context: for the event feed.
        call: for progress notifications while waiting.
        attempt: tried at once, and again after each relevant change.
        reached: whether an attempt's answer is enough.
        wait_seconds: how long to go on; 0 to try once.
        aggregate_types: the kinds of aggregate whose events may change the answer.

    Returns:
        The last attempt's answer.

    Raises:
        PermissionDenied: the caller is not let in any more.
    """
    feed = context.database.feed
    answer = await attempt()
    if wait_seconds <= 0 or reached(answer) or feed.waits_are_over:
        return answer
    call.waits()
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with feed.listen(*aggregate_types) as listener:
        while True:
            answer = await attempt()
            if reached(answer) or loop.time() - started >= wait_seconds:
                return answer
            await _change(listener, feed, call, started, wait_seconds)
            if feed.waits_are_over:  # nothing more is taken for a caller that may be gone
                return answer
            await context.standing(call)


async def _change(listener: Listener, feed: Feed, call: Call, started: float, wait_seconds: float) -> None:
    """Wait for an event, or until the time is over or waits are, and say now and then that this still goes on."""
    loop = asyncio.get_running_loop()
    while (left := started + wait_seconds - loop.time()) > 0:
        events = await listener.wait(min(left, PROGRESS_EVERY_SECONDS))
        if events or listener.take_overflow() or feed.waits_are_over:
            return
        await call.progress(loop.time() - started, wait_seconds)


@contextlib.contextmanager
def told_or(give_back: Callable[[T], None], granted: T) -> Generator[None]:
    """While it is found out what there is to tell of something granted: who goes away meanwhile is not told of it, so
    it is given back."""
    try:
        yield
    except asyncio.CancelledError:
        give_back(granted)
        raise
    untold.granted(partial(give_back, granted))
