"""How Workers are reached: when they run by themselves, under workers.dev, and under which addresses."""

from collections.abc import Sequence

from mcp_server.integrations.cloudflare.addresses import Addresses, Guard, Held
from mcp_server.integrations.cloudflare.calling import Calling
from mcp_server.integrations.workers.model import Route, Worker
from mcp_server.kernel.values import Frozen


class Arrangement(Frozen):
    """How one Worker is reached, and who answers under addresses that concern it."""

    crons: tuple[str, ...] = ()
    workers_dev: bool = False
    routes: tuple[Held, ...] = ()

    @property
    def owners(self) -> dict[str, str | None]:
        """Who answers, by address."""
        return {one.route.pattern: one.worker for one in self.routes}


def wanted_of(worker: Worker) -> Arrangement:
    """How a Worker is to be reached. As with wrangler, workers.dev is on where nothing is said and it has no route."""
    dev = not worker.routes if worker.workers_dev is None else worker.workers_dev
    routes = tuple(Held(route=route, worker=worker.name) for route in worker.routes)
    return Arrangement(crons=tuple(sorted(worker.crons)), workers_dev=dev, routes=routes)


class Reach:
    """How the Workers of one account are reached. Whatever fails raises `CloudFailed`."""

    def __init__(self, calling: Calling) -> None:
        self._calling = calling
        self._workers = calling.sdk.workers
        self.addresses = Addresses(calling)

    async def seen(self, name: str, routes: Sequence[Route], *, exists: bool) -> Arrangement:
        """How a Worker is reached now, and who answers under these addresses."""
        held = tuple([Held(route=route, worker=await self.addresses.owner(route)) for route in routes])
        if not exists:
            return Arrangement(routes=held)
        return Arrangement(crons=await self._crons(name), workers_dev=await self._workers_dev(name), routes=held)

    async def arrange(self, name: str, wanted: Arrangement, guard: Guard) -> None:
        """Have a Worker reached as is wanted; what is so already is left alone."""
        if await self._crons(name) != wanted.crons:
            await guard()
            body = [{"cron": cron} for cron in wanted.crons]
            await self._calling.result(self._workers.scripts.schedules.with_raw_response.update, name, body=body)
        if await self._workers_dev(name) != wanted.workers_dev:
            await guard()
            request = self._workers.scripts.subdomain.with_raw_response.create
            await self._calling.result(request, name, enabled=wanted.workers_dev, previews_enabled=False)
        await self.addresses.give(wanted.routes, guard)

    async def account_subdomain(self) -> str:
        """The account's name under workers.dev."""
        found = await self._calling.result(self._workers.subdomains.with_raw_response.get)
        return found["subdomain"]

    async def _crons(self, name: str) -> tuple[str, ...]:
        found = await self._calling.result(self._workers.scripts.schedules.with_raw_response.get, name)
        return tuple(sorted(one["cron"] for one in found["schedules"]))

    async def _workers_dev(self, name: str) -> bool:
        found = await self._calling.result(self._workers.scripts.subdomain.with_raw_response.get, name)
        return bool(found["enabled"])
