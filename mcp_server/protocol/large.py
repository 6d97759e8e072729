"""Messages that are large enough to be read and checked beside the event loop, in a thread: everybody else would wait
for that, a second or two for the largest."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import cache
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

P = ParamSpec("P")
T = TypeVar("T")
LARGE_BYTES = 256 * 1024
"""What is smaller takes a few milliseconds, and would take longer to be handed over and back."""
_IS_LARGE: ContextVar[bool] = ContextVar("large", default=False)


def note_size(size: int) -> None:
    """Say how many bytes the message has whose request begins here."""
    _IS_LARGE.set(size > LARGE_BYTES)


async def read_large(size: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function makes of so many bytes."""
    return await _beside(function, *args, **kwargs) if size > LARGE_BYTES else function(*args, **kwargs)


async def checked_large(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function makes of what this request's message holds."""
    return await _beside(function, *args, **kwargs) if _IS_LARGE.get() else function(*args, **kwargs)


async def _beside(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(_thread(), lambda: context.run(function, *args, **kwargs))


@cache
def _thread() -> "ThreadPoolExecutor":
    """One after the other: several would only take turns, and take memory meanwhile."""
    from concurrent.futures import ThreadPoolExecutor  # few servers meet a large message

    return ThreadPoolExecutor(1, "large-messages")
