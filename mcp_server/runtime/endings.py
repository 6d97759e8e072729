"""Ends of attempts that come at about the same time, told to the queue together: what ends while a call is under way
goes with the next one, so that nobody waits for company."""

import asyncio
from typing import NamedTuple

from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.commands import FINISHED_MAX, EndAttempt, FinishTasks
from mcp_server.domain.tasks.results import RefusalView
from mcp_server.kernel.call import Call


class Refused(Exception):
    """The queue did not take the end of an attempt; `code` and `message` as in a refusal."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


class _Waiting(NamedTuple):
    """An end that is to be told, and who waits for what comes of it."""

    command: EndAttempt
    told: "asyncio.Future[str]"


class Endings:
    """Tells the queue how attempts ended."""

    def __init__(self, desk: Desk, call: Call) -> None:
        self._desk = desk
        self._call = call
        self._waiting: list[_Waiting] = []
        self._telling: asyncio.Task[None] | None = None

    async def end(self, command: EndAttempt) -> str:
        """Tell of one; the status of its task then.

        Raises:
            Refused: it does not count, such as one whose lease is lost.
            OpsError: nothing could be told.
        """
        told = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(command, told))
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell(), name="worker-endings")
        return await told

    async def settled(self) -> None:
        """Wait until all that is to be told has been."""
        if self._telling is not None:
            await self._telling

    async def _tell(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:FINISHED_MAX], self._waiting[FINISHED_MAX:]
            try:
                command = FinishTasks.model_construct(tasks=tuple(one.command for one in batch))
                done = await self._desk.tasks.finish_many(self._call, command)
            except Exception as error:  # a bug, too, is for those who wait
                _fail(batch, error)
                continue
            statuses = {task.id: task.status for task in done.tasks}
            refusals = {refusal.id: refusal for refusal in done.refused or ()}
            for one in batch:
                _answer(one, statuses, refusals)
        self._telling = None


def _answer(one: _Waiting, statuses: dict[str, str], refusals: dict[str, RefusalView]) -> None:
    task_id = one.command.task_id
    if task_id not in statuses:
        _fail([one], Refused(refusals[task_id].code, refusals[task_id].message))
    elif not one.told.done():  # who waited may have gone
        one.told.set_result(statuses[task_id])


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for one in batch:
        if not one.told.done():
            one.told.set_exception(error)
