"""Requests without a pause, which tell each one that fails."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2


class Traffic:
    """What clients were answered: those that connect for each request, those that keep a connection, and those that
    are answered slowly."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slow = 0
        self.longest = 0.0

    @property
    def words(self) -> set[str]:
        """Which revisions have answered."""
        return {text.split()[0] for text in self.answers}

    @contextmanager
    def _counted(self, who: str) -> Generator[None]:
        began = time.monotonic()
        try:
            yield
        except (httpx2.HTTPError, AssertionError) as error:
            self.failures.append(f"{who}: {type(error).__name__} {error}")
        self.longest = max(self.longest, time.monotonic() - began)

    async def _ask(self, client: httpx2.AsyncClient, who: str) -> None:
        with self._counted(who):
            answer = await client.get(self._url)
            assert answer.status_code == 200, answer.text
            self.answers[answer.text] += 1

    async def connecting(self) -> None:
        limits = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(trust_env=False, timeout=60, verify=False, limits=limits) as client:
            while True:
                await self._ask(client, "connecting")
                await asyncio.sleep(0.01)

    async def keeping(self) -> None:
        async with httpx2.AsyncClient(trust_env=False, timeout=60, verify=False) as client:
            while True:
                await self._ask(client, "keeping")
                await asyncio.sleep(0.03)

    async def slowly(self, seconds: float) -> None:
        async with httpx2.AsyncClient(trust_env=False, timeout=60, verify=False) as client:
            while True:
                with self._counted("slowly"):
                    answer = await client.get(f"{self._url}/slow/{seconds}")
                    assert answer.text == "line\n" * round(seconds * 10)
                    self.slow += 1


@asynccontextmanager
async def traffic_to(url: str | None, slow_seconds: float = 1.0) -> AsyncGenerator[Traffic]:
    assert url is not None
    traffic = Traffic(url)
    clients: list[Any] = [traffic.connecting(), traffic.connecting(), traffic.keeping(), traffic.slowly(slow_seconds)]
    tasks = [asyncio.create_task(one) for one in clients]
    try:
        yield traffic
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
