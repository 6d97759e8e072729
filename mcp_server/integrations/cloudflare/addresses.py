"""Addresses of an account's zones, custom domains and routes: each is answered by one Worker, or by none."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from mcp_server.integrations.cloudflare.calling import Calling, CloudFailed
from mcp_server.integrations.workers.model import Route
from mcp_server.kernel.values import Frozen

Guard = Callable[[], Awaitable[None]]


class Held(Frozen):
    """An address, and which Worker answers there: None where there is no such address, empty where no Worker does."""

    route: Route
    worker: str | None


class _Address(NamedTuple):
    id: str
    worker: str


class Addresses:
    """Who answers where. Whatever fails raises `CloudFailed`."""

    def __init__(self, calling: Calling) -> None:
        self._calling = calling
        self._workers = calling.sdk.workers

    async def owner(self, route: Route) -> str | None:
        """The Worker that answers under an address: None where there is no such address, empty where no Worker does."""
        return _worker_of((await self._found(route))[1])

    async def give(self, wanted: Iterable[Held], guard: Guard) -> None:
        """Have addresses answered by the Workers that are named."""
        for one in wanted:
            zone, found = await self._found(one.route)
            if _worker_of(found) != one.worker:
                await self._move(one, zone, found, guard)

    async def free(self, name: str, routes: Iterable[Route], guard: Guard) -> None:
        """Have addresses answered by nobody, as far as this Worker answers there."""
        for route in routes:
            zone, found = await self._found(route)
            if _worker_of(found) == name:
                await self._move(Held(route=route, worker=None), zone, found, guard)

    async def _found(self, route: Route) -> tuple[str | None, _Address | None]:
        """The zone of a route, none for a custom domain, and the address as it is there."""
        zone = None if route.custom_domain else await self._zone(route)
        return zone, await self._address(route, zone)

    async def _move(self, to: Held, zone: str | None, found: _Address | None, guard: Guard) -> None:
        await guard()
        await (self._move_domain(to, found) if zone is None else self._move_route(to, found, zone))

    async def _address(self, route: Route, zone: str | None) -> _Address | None:
        if zone is None:
            listed = self._workers.domains.with_raw_response.list
            found = await self._calling.result(listed, hostname=route.pattern)
            return next((_Address(one["id"], one["service"]) for one in found or ()), None)
        found = await self._calling.result_of_zone(self._workers.routes.with_raw_response.list, zone_id=zone)
        there = (one for one in found or () if one["pattern"] == route.pattern)
        return next((_Address(one["id"], one.get("script") or "") for one in there), None)

    async def _move_domain(self, to: Held, found: _Address | None) -> None:
        if to.worker is None and found is not None:
            await self._calling.result(self._workers.domains.with_raw_response.delete, found.id)
            return
        zone = {key: value for key in ("zone_id", "zone_name") if (value := getattr(to.route, key))}
        request = self._workers.domains.with_raw_response.update
        await self._calling.result(request, hostname=to.route.pattern, service=to.worker, **zone)

    async def _move_route(self, to: Held, found: _Address | None, zone: str) -> None:
        routes = self._workers.routes.with_raw_response
        said: dict[str, Any] = {"pattern": to.route.pattern} | ({"script": to.worker} if to.worker else {})
        if found is None:
            await self._calling.result_of_zone(routes.create, zone_id=zone, **said)
        elif to.worker is None:
            await self._calling.result_of_zone(routes.delete, found.id, zone_id=zone)
        else:
            await self._calling.result_of_zone(routes.update, found.id, zone_id=zone, **said)

    async def _zone(self, route: Route) -> str:
        """The zone that is named, else the closest one around the address."""
        if route.zone_id is not None:
            return route.zone_id
        host = route.pattern.split("//")[-1].split("/")[0].removeprefix("*.").removeprefix("*")
        labels = host.split(":")[0].split(".")
        around = [".".join(labels[start:]) for start in range(len(labels) - 1)]
        for name in (route.zone_name,) if route.zone_name else around:
            listed = self._calling.sdk.zones.with_raw_response.list
            found = await self._calling.result_of_zone(listed, name=name, account={"id": self._calling.account_id})
            if found:
                return found[0]["id"]
        raise CloudFailed("refused", f"The token sees no zone of {route.pattern}; name its zone_id", None, None)


def _worker_of(found: _Address | None) -> str | None:
    return None if found is None else found.worker
