"""Which event loop a database needs."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def loop_factory(url: str, system: str = sys.platform) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop that a database needs; None where any will do. On Windows psycopg waits for sockets, which the
    usual loop there cannot do; that one alone starts processes."""
    return asyncio.SelectorEventLoop if system == "win32" and not url.startswith("sqlite:") else None


def run_on(url: str, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own, such as the database needs."""
    with asyncio.Runner(loop_factory=loop_factory(url)) as runner:
        return runner.run(main)
