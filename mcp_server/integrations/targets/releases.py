"""Releases of the target `process`: had running, led to, and ended."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from mcp_server.domain.deployments.configuration import Service
from mcp_server.domain.deployments.places import At, Place, arrange, clear, dismiss, proxies_of, switch
from mcp_server.domain.deployments.placing import Places
from mcp_server.domain.deployments.programs import Program
from mcp_server.domain.deployments.targets import Facts, PhaseFailed, Prober, Work
from mcp_server.integrations.targets.health import Health, connected, reachable, url_of
from mcp_server.integrations.targets.placed import Release, leads_to, remove_files, require_hope, said_of

LOOK_SECONDS = 0.1
SWITCH_SECONDS = 20.0
"""How long a proxy may take to be told where it leads: another supervisor may have to take over first."""

END_SECONDS = 20.0
"""How long the end of a process may take beyond its time of grace."""

RETRY_SECONDS = 5.0
IsSo = Callable[[list[Place]], Awaitable[bool]]


class Releases:
    """What the phases are made of. Each of it may be done again."""

    def __init__(self, program: Program, places: Places, health: Health, probe: Prober) -> None:
        self._program = program
        self._places = places
        self._health = health
        self._probe = probe

    def evidence(self, place: Place) -> Facts:
        """Where a replica or a proxy runs, and where it answers."""
        process, spec = place.process, place.spec
        is_proxy = spec.kind == "proxy"
        number = {"proxy": True} if is_proxy else {"replica": spec.number}
        where = reachable(self._program.listen) if is_proxy else "127.0.0.1"
        url = None if spec.port is None else url_of(spec.port, where)
        told = {"process_id": process.id, "host": process.host, "pid": process.pid, "port": spec.port, "url": url}
        return {"service": spec.service} | number | told

    async def here(self, work: Work) -> list[Place]:
        """The places of a deployment, which are on this host or nowhere yet.

        Raises:
            PhaseFailed: they are on another, where a server goes on.
        """
        await work.guard()
        places = await self._places.of(work.subject.id)
        elsewhere = {one.process.host for one in places} - {None, self._places.host}
        if elsewhere:
            raise PhaseFailed(f"It runs on {', '.join(map(str, elsewhere))}, and goes on there.", RETRY_SECONDS)
        return places

    async def started(self, work: Work, release: Release) -> list[Place]:
        """Have all of a release run, and wait until it works; its places.

        Raises:
            PhaseFailed: it does not come to work.
        """
        await self.here(work)
        await self._places.write(arrange, _at(work), release.wished, self._places.host)
        seconds, well, ill = self._program.start_seconds, dict[str, int | None](), list[str]()

        async def works(places: list[Place]) -> bool:
            nonlocal ill
            require_hope(release.among(places))
            before, ill = ill, await self._ill(release, release.among(places), well)
            if ill and len(ill) != len(before):
                await work.report(f"{len(ill)} processes of {work.subject.label} do not work yet")
            return not ill

        if not await self._within(work, works, seconds):
            raise PhaseFailed(f"After {seconds:g} seconds: {'; '.join(ill)}.")
        return release.among(await self._places.of(work.subject.id))

    async def _ill(self, release: Release, places: list[Place], well: dict[str, int | None]) -> list[str]:
        """What does not work yet, and why. What worked once is not asked again while the same process runs."""
        new = [one for one in places if one.process.pid is None or well.get(one.id) != one.process.pid]
        told = await asyncio.gather(*(self._why_ill(one, release.service(one)) for one in new))
        well |= {one.id: one.process.pid for one, why in zip(new, told, strict=True) if why is None}
        return [f"{one.label}: {why}" for one, why in zip(new, told, strict=True) if why is not None]

    async def _why_ill(self, place: Place, service: Service) -> str | None:
        if not place.is_up:
            return place.process.reason or f"it is {place.process.status}"
        if place.spec.kind == "proxy":
            return None if said_of(place) else "it does not listen yet"
        facts = await self._health.of(place, service)
        return None if facts["ok"] else facts["said"]

    async def led(self, work: Work, release: Release, *, proves: bool = True) -> Facts:
        """Have the proxies lead to a release; where it answers from then on, and what it answered there.

        Raises:
            PhaseFailed: nobody tells the proxies, or the release does not answer there.
        """
        proxies = await self.switch(work, release)

        async def all_lead(places: list[Place]) -> bool:
            return all(leads_to(one, release.id) for one in proxies_of(release.among(places)))

        await self._until(work, all_lead, SWITCH_SECONDS, "No server supervises here that would tell the proxies")
        urls = {one.spec.service: self._url(one) for one in proxies}
        told: Facts = {"urls": urls} | ({"url": next(iter(urls.values()))} if len(urls) == 1 else {})
        if proves:
            told["answers"] = [await self._answer(one, release.service(one)) for one in proxies]
        return told

    async def _answer(self, proxy: Place, service: Service) -> Facts:
        """What is answered where a service is reached."""
        url, probe = self._url(proxy), self._health.probe_of(service)
        address, port = reachable(self._program.listen), proxy.spec.port or 0
        asked = await connected(address, port) if probe is None else await self._probe(url, probe)
        if not asked["ok"]:
            raise PhaseFailed(f"{service.name} does not answer at {url}: {asked['said']}.")
        return {"service": service.name, "url": url} | asked

    def _url(self, proxy: Place) -> str:
        return url_of(proxy.spec.port, reachable(self._program.listen))

    async def switch(self, work: Work, release: Release) -> list[Place]:
        """Have the proxies told where to lead, whoever tells them; the proxies."""
        proxies = proxies_of(release.among(await self.here(work)))
        asked = {one.id: self._health.probe_of(release.service(one)) for one in proxies}
        healths = {name: probe and {"path": probe.path, "status": probe.status} for name, probe in asked.items()}
        await self._places.write(switch, _at(work), release.id, healths)
        return proxies

    async def end_others(self, work: Work, release: str, *, forget: bool = True) -> None:
        """End what is not of a release, once nothing is under way with it, or its time is over."""
        places = await self.here(work)
        others = [one for one in places if one.spec.release != release]
        await self.end(work, proxies_of(others), "nothing is asked for at its port any more", forget=True)
        ports = {one.spec.port for one in others}
        proxies = [one.id for one in proxies_of(places) if one.spec.release == release]

        async def are_drained(now: list[Place]) -> bool:
            left = (said_of(one).get("left", {}) for one in now if one.id in proxies)
            return not any(int(port) in ports for one in left for port in one)

        await self._within(work, are_drained, self._program.drain_seconds)
        await self.end(work, others, "another release has taken its place", forget=forget)

    async def end(self, work: Work, places: Collection[Place], reason: str, *, forget: bool) -> None:
        """End what runs in places.

        Raises:
            PhaseFailed: nobody ends it.
        """
        if not places:
            return
        ids = {one.id for one in places}
        await work.guard()
        await self._places.write(dismiss, _at(work), ids, reason)
        grace = max(self._program.launcher.stop.grace_seconds, self._program.drain_seconds)

        async def have_ended(now: list[Place]) -> bool:
            return all(one.process.status == "stopped" for one in now if one.id in ids)

        await self._until(work, have_ended, grace + END_SECONDS, "No server supervises here that would end what runs")
        if forget:
            mine = [one for one in await self._places.of(work.subject.id) if one.id in ids]
            await asyncio.to_thread(remove_files, mine)
            await self._places.write(clear, _at(work), ids)

    async def _until(self, work: Work, is_so: IsSo, seconds: float, why_not: str) -> None:
        if not await self._within(work, is_so, seconds):
            raise PhaseFailed(f"{why_not} (waited {seconds:g} seconds).", RETRY_SECONDS)

    async def _within(self, work: Work, is_so: IsSo, seconds: float) -> bool:
        """Wait until something is so, for a time; whether it is."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while not await is_so(await self._places.of(work.subject.id)):
            if loop.time() > ends:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True


def _at(work: Work) -> At:
    return At(work.subject.id, work.run_id, work.phase)
