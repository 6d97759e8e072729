"""What a session that ended gives back: the child of a hook (`hooks/ending.py`) runs it."""

from contextlib import suppress
from typing import NamedTuple

from mcp_server.commands.services import services_on
from mcp_server.config import Settings
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.locks.model import ReleaseLock
from mcp_server.domain.locks.service import LockService
from mcp_server.domain.tasks.commands import ClaimTasks, GiveUpTask
from mcp_server.domain.tasks.service import TaskService
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import Micros, iso

REASON = "the session of its worker ended"


class Ended(NamedTuple):
    """A session that ended: which agent spoke in it, since when, as which instance, and whether no other session of the
    agent is open."""

    agent_id: str
    since: Micros
    instance_id: str | None
    is_alone: bool


async def leave(settings: Settings, ended: Ended) -> None:
    """Give back on the settings' database what a session had.

    Raises:
        OpsError: the database cannot be used, or there is no such agent.
    """
    async with services_on(settings) as services:
        actor = Actor(kind="user", id=settings.user, permissions=settings.role.permissions, is_local=True)
        await give_back(services, actor, ended)


async def give_back(services: Services, actor: Actor, ended: Ended) -> None:
    """Release the locks, and put the leased tasks back into the queue, at no attempt.

    Raises:
        OpsError: there is no such agent, or it is not this principal's.
    """
    speaker = await services.get(Speaking).asked_for(actor, ended.agent_id)
    call = Call(actor, new_id("call"), speaker=speaker)
    await _release(services, call, ended)
    if ended.is_alone or ended.instance_id is not None:
        await _give_up(services, call, ended)


async def _release(services: Services, call: Call, ended: Ended) -> None:
    locks = services.get(LockService)
    for row in await services.database.fetch_all("lock_holds_of_party", party=ended.agent_id):
        if row["owner"] == ended.instance_id or (ended.is_alone and row["acquired_at"] >= ended.since):
            owner, token = row["owner"] or None, row["fencing_token"]
            with suppress(OpsError):  # it ended meanwhile
                await locks.release(call, ReleaseLock(name=row["name"], owner=owner, fencing_token=token))


async def _give_up(services: Services, call: Call, ended: Ended) -> None:
    tasks = services.get(TaskService)
    instance_id = None if ended.is_alone else ended.instance_id
    held = await tasks.claim(call, ClaimTasks(agent_id=ended.agent_id, instance_id=instance_id, resume=True))
    for claim in held.claims:
        if (claim.task.started_at or "") >= iso(ended.since):
            with suppress(OpsError):
                await tasks.give_up(call, GiveUpTask(claim.task.id, claim.lease_token, REASON))
