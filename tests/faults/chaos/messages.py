"""Messages: sent once, taken once, seen in order through a cursor, acknowledged."""

from collections import Counter
from collections.abc import Coroutine
from typing import Any

from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet, Unanswered

READERS = ("reader-0", "reader-1")
SENDERS = 2


class Messages(Part):
    """What was answered about messages. A body is `sender number`, and nobody sends one twice."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.sent: dict[str, list[str]] = {reader: [] for reader in READERS}
        self.taken: dict[str, list[str]] = {reader: [] for reader in READERS}
        self.followed: dict[str, list[str]] = {reader: [] for reader in READERS}
        self.acknowledged: dict[str, set[str]] = {reader: set() for reader in READERS}
        self.takes_cut_off: Counter[str] = Counter()

    async def prepare(self) -> None:
        """Whom to write to."""
        for reader in READERS:
            await self.fleet.surely("agents_register", name=reader)

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Senders."""
        return [self._send(f"sender-{n}") for n in range(SENDERS)]

    def consumers(self) -> list[Coroutine[Any, Any, None]]:
        """For each inbox one who takes and one who looks on with a cursor."""
        return [*(self._take(reader) for reader in READERS), *(self._follow(reader) for reader in READERS)]

    def has_enough(self) -> bool:
        """Each inbox got some, and some were taken and acknowledged."""
        return all(self.sent[reader] and self.acknowledged[reader] for reader in READERS)

    async def unsettled(self) -> int:
        """Messages that somebody has not seen yet: in an inbox, or through its cursor."""
        unread = [(await self._page(reader, {}, wait_seconds=0))["unread"] for reader in READERS]
        return sum(unread) + sum(len(self.sent[reader]) - len(self.followed[reader]) for reader in READERS)

    async def _send(self, agent: str) -> None:
        await self.fleet.surely("agents_register", name=agent)
        number = 0
        while self.fleet.producing:
            number += 1
            body = f"{agent} {number}"
            to = self.fleet.chance.sample(READERS, self.fleet.chance.randint(1, len(READERS)))
            await self.fleet.surely(
                "messages_send", as_agent=agent, to=to, body=body, idempotency_key=body, ack_within_seconds=600
            )
            for reader in to:
                self.sent[reader].append(body)
            await self.fleet.pause(0.05, 0.3)

    async def _take(self, reader: str) -> None:
        while not self.fleet.settled.is_set():
            try:
                page = await self.fleet.any_seat().call("messages_read", as_agent=reader, wait_seconds=0.5, limit=5)
            except Unanswered:
                self.takes_cut_off[reader] += 1
                continue
            self.taken[reader] += [message["body"] for message in page["messages"]]
            if page["messages"]:
                ids = [message["id"] for message in page["messages"]]
                # To acknowledge is no harm to repeat, but what else it would take has to be seen too.
                await self.fleet.surely("messages_read", as_agent=reader, acknowledge=ids, unread_only=False, limit=1)
                self.acknowledged[reader] |= set(ids)

    async def _follow(self, reader: str) -> None:
        after: dict[str, str] = {}
        while not self.fleet.settled.is_set():
            page = await self._page(reader, after)
            self.followed[reader] += [message["body"] for message in page["messages"]]
            after = {"after": page["cursor"]} if "cursor" in page else after

    async def _page(self, reader: str, after: dict[str, str], wait_seconds: float = 0.5) -> dict[str, Any]:
        how = {"unread_only": False, "wait_seconds": wait_seconds, "limit": 20} | after
        return await self.fleet.surely("messages_read", as_agent=reader, **how)

    async def check(self) -> None:
        """Each message is in each inbox once, in the order of its sender; taken once; acknowledged if that was told."""
        for reader in READERS:
            inbox = await self._inbox(reader)
            bodies = [message["body"] for message in inbox]
            assert sorted(bodies) == sorted(self.sent[reader]), reader
            assert self.followed[reader] == bodies, f"{reader}: a cursor shows all, once and in order"
            for n in range(SENDERS):
                numbers = [int(body.split()[1]) for body in bodies if body.startswith(f"sender-{n} ")]
                assert numbers == sorted(numbers), reader
            taken = Counter(self.taken[reader])
            assert max(taken.values()) == 1, f"{reader}: taken twice"
            missing = set(bodies) - taken.keys()
            assert len(missing) <= 5 * self.takes_cut_off[reader], f"{reader}: taken by nobody"
            assert all("read_at" in message for message in inbox), reader
            told = {message["id"] for message in inbox if "acknowledged_at" in message}
            assert told == self.acknowledged[reader], reader
            self.fleet.happened[reader] = len(bodies)

    async def _inbox(self, reader: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while (page := await self._page(reader, after, wait_seconds=0))["messages"]:
            found += page["messages"]
            after = {"after": page["cursor"]}
        return found
