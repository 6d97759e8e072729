"""The phases of the target `process`. Each may run again after a crash: it wants what is to be there, and looks."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

from mcp_server.domain.deployments.configuration import Config, Probe, Service
from mcp_server.domain.deployments.places import STATUS, At, Place, PlaceSpec, arrange, clear, dismiss, switch
from mcp_server.domain.deployments.placing import Places
from mcp_server.domain.deployments.programs import Program
from mcp_server.domain.deployments.targets import Facts, PhaseFailed, Prober, Subject, Work
from mcp_server.integrations.targets.health import Health, connected, reachable, url_of

LOOK_SECONDS = 0.1
SWITCH_SECONDS = 20.0
"""How long a proxy may take to be told where it leads: another supervisor may have to take over first."""

END_SECONDS = 20.0
"""How long the end of a process may take beyond its time of grace."""

RETRY_SECONDS = 5.0
FAILURES_MAX = 3
"""After so many failures in a row a replica is given up."""


class Replacing:
    """Brings releases live, takes them back, and ends them."""

    def __init__(self, name: str, program: Program, places: Places, health: Health, probe: Prober) -> None:
        self._name = name
        self._program = program
        self._places = places
        self._health = health
        self._probe = probe

    async def build(self, work: Work) -> Facts:
        """Take away what an earlier run has left, and say what is to be."""
        places, live = await self._here(work), _live(work.subject)
        left = [one for one in places if one.spec.release != live]
        await self._end(work, left, "its run did not come to its end", forget=True)
        stopped = live is not None and not any(one.process.wanted for one in places if one.spec.release == live)
        return {"release": work.run_id, "declared": self._program.digest(), "was_stopped": stopped}

    async def deploy(self, work: Work) -> Facts:
        """Start the new replicas beside what runs, and proxies where there are none; wait until all work."""
        wished = self._wished(work.subject, work.subject.config, work.subject.revision, work.run_id)
        places = await self._started(work, wished, work.subject.config, work.run_id)
        replicas = replicas_of(places, work.run_id)
        urls = {one.spec.service: url_of(one.spec.port) for one in reversed(replicas)}
        return {"urls": urls, "replicas": [self.evidence(one) for one in replicas]}

    async def check(self, work: Work) -> Facts:
        """Ask every replica but the first of its service, which is asked anyway."""
        if work.operation == "start":
            return {}
        replicas = replicas_of(await self._here(work), work.run_id)
        asked = [(one, probe) for one in replicas if one.spec.number > 1 for probe in _checks(work, one)]
        told = await asyncio.gather(*(self._probe(url_of(one.spec.port), probe) for one, probe in asked))
        wrong = [
            f"{one.label} {probe.path}: {facts['said']}"
            for (one, probe), facts in zip(asked, told, strict=True)
            if not facts["ok"]
        ]
        if wrong:
            raise PhaseFailed(f"What was asked did not answer as it should: {'; '.join(wrong)}.")
        return {}

    async def promote(self, work: Work) -> Facts:
        """Lead to the new replicas, see that they answer there, and end the old ones once nothing is under way."""
        subject, release = work.subject, work.run_id
        told = await self._led(work, subject.config, subject.revision, release)
        await self._end_others(work, release)
        replicas = replicas_of(await self._places.of(subject.id), release)
        return told | {"replicas": [self.evidence(one) for one in replicas]}

    async def revert(self, work: Work) -> Facts:
        """What was live goes on, or is started again; what was new ends. Its logs are kept until the next run."""
        subject, live, told = work.subject, _live(work.subject), dict[str, Any]()
        if live is None or subject.live_config is None:
            await self._end(work, await self._here(work), "it did not come to be live", forget=False)
            return {}
        if not work.done.get("build", {}).get("was_stopped"):
            try:
                await self._started(work, self._live_wished(subject), subject.live_config, live)
            except PhaseFailed as failed:  # it was broken before: all the same it is what is live
                told["warning"] = failed.message
            told |= await self._led(work, subject.live_config, subject.live_revision or 0, live, proves=False)
        else:
            await self._switch(work, self._live_wished(subject), subject.live_config, live)
            await self._end(work, _proxies(await self._here(work)), "it was stopped before", forget=False)
        await self._end_others(work, live, forget=False)
        return told

    async def start(self, work: Work) -> Facts:
        """Start again what was stopped, where it was."""
        subject, live = work.subject, _live(work.subject)
        if live is None or subject.live_config is None:
            raise PhaseFailed("Nothing was brought live that could be started.")
        await self._started(work, self._live_wished(subject), subject.live_config, live)
        return await self._led(work, subject.live_config, subject.live_revision or 0, live)

    async def stop(self, work: Work) -> Facts:
        """End everything, first what takes connections; where it was it is started again."""
        places = await self._here(work)
        await self._end(work, _proxies(places), "it was stopped", forget=False)
        await self._end(work, places, "it was stopped", forget=False)
        return {"stopped": [one.label for one in places]}

    async def destroy(self, work: Work) -> Facts:
        """End everything and forget it, with its files."""
        places = await self._here(work)
        await self._end(work, _proxies(places), "it is removed", forget=True)
        await self._end(work, places, "it is removed", forget=True)
        return {"destroyed": [one.label for one in places]}

    def evidence(self, place: Place) -> Facts:
        """Where a replica or a proxy runs, and where it answers."""
        process, spec = place.process, place.spec
        is_proxy = spec.kind == "proxy"
        number = {"proxy": True} if is_proxy else {"replica": spec.number}
        where = reachable(self._program.listen) if is_proxy else "127.0.0.1"
        url = None if spec.port is None else url_of(spec.port, where)
        told = {"process_id": process.id, "host": process.host, "pid": process.pid, "port": spec.port, "url": url}
        return {"service": spec.service} | number | told

    async def _here(self, work: Work) -> list[Place]:
        """The places of a deployment, which are on this host or nowhere yet.

        Raises:
            PhaseFailed: they are on another, where a server goes on.
        """
        await work.guard()
        for service in work.subject.config.services:
            for name in service.secrets:  # so that whatever repeats one is told without it
                with contextlib.suppress(PhaseFailed):
                    work.secret(name)
        places = await self._places.of(work.subject.id)
        elsewhere = {one.process.host for one in places if one.process.host not in (None, self._places.host)}
        if elsewhere:
            raise PhaseFailed(f"It runs on {', '.join(map(str, elsewhere))}, and goes on there.", RETRY_SECONDS)
        return places

    def _live_wished(self, subject: Subject) -> list[PlaceSpec]:
        live, config = _live(subject), subject.live_config
        assert live is not None and config is not None, "only what is live is wished for again"
        return self._wished(subject, config, subject.live_revision or 0, live)

    def _wished(self, subject: Subject, config: Config, revision: int, release: str) -> list[PlaceSpec]:
        """The proxies and replicas of a release."""
        known = {"name": subject.name, "environment": subject.environment, "label": subject.label}
        known |= {"revision": revision, "release": release}
        wished = list[PlaceSpec]()
        for service in config.services:
            asked = next(iter(service.ports), None)
            wished.append(PlaceSpec(kind="proxy", target=self._name, service=service.name, asked=asked))
            secrets = {name: config.secrets[name] for name in service.secrets}
            wished += [
                PlaceSpec(
                    kind="replica",
                    target=self._name,
                    service=service.name,
                    release=release,
                    number=number,
                    arguments=service.arguments,
                    secrets=secrets,
                    known=known | {"service": service.name, "replica": number},
                )
                for number in range(1, service.replicas + 1)
            ]
        return wished

    async def _started(self, work: Work, wished: list[PlaceSpec], config: Config, release: str) -> list[Place]:
        """Have all of a release run, and wait until it works; its places.

        Raises:
            PhaseFailed: it does not come to work.
        """
        await self._here(work)
        await self._places.write(arrange, _at(work), wished, self._places.host)
        loop = asyncio.get_running_loop()
        ends, well, told = loop.time() + self._program.start_seconds, dict[str, int | None](), -1
        while True:
            places = _meant(await self._places.of(work.subject.id), wished)
            _require_hope(places)
            ill = await self._ill(places, well, config)
            if not ill:
                return places
            if loop.time() > ends:
                raise PhaseFailed(f"After {self._program.start_seconds:g} seconds: {'; '.join(ill)}.")
            if told != len(ill):
                told = len(ill)
                await work.report(f"{told} of {len(places)} processes of {work.subject.label} do not work yet")
            await asyncio.sleep(LOOK_SECONDS)

    async def _ill(self, places: list[Place], well: dict[str, int | None], config: Config) -> list[str]:
        """What does not work yet, and why. What worked once is not asked again while the same process runs."""

        async def why(place: Place) -> str | None:
            if not place.is_up:
                return place.process.reason or f"it is {place.process.status}"
            if place.spec.kind == "proxy":
                return None if _said(place) else "it does not listen yet"
            if well.get(place.id) != place.process.pid:
                facts = await self._health.of(place, config.service(place.spec.service))
                if not facts["ok"]:
                    return facts["said"]
                well[place.id] = place.process.pid
            return None

        told = await asyncio.gather(*map(why, places))
        return [f"{place.label}: {said}" for place, said in zip(places, told, strict=True) if said is not None]

    async def _led(self, work: Work, config: Config, revision: int, release: str, *, proves: bool = True) -> Facts:
        """Have the proxies lead to a release; where it answers from then on, and what it answered there.

        Raises:
            PhaseFailed: nobody tells the proxies, or the release does not answer there.
        """
        wished = self._wished(work.subject, config, revision, release)
        proxies = await self._switch(work, wished, config, release)

        def all_lead(places: list[Place]) -> bool:
            return all(_leads_to(one, release) for one in _proxies(_meant(places, wished)))

        await self._until(work, all_lead, SWITCH_SECONDS, "No server supervises here that would tell the proxies")
        address = reachable(self._program.listen)
        urls = {one.spec.service: url_of(one.spec.port, address) for one in proxies}
        one_url = {"url": next(iter(urls.values()))} if len(urls) == 1 else {}
        if not proves:
            return {"urls": urls} | one_url
        answers = [await self._answer(one, config.service(one.spec.service)) for one in proxies]
        return {"urls": urls, "answers": answers} | one_url

    async def _answer(self, proxy: Place, service: Service) -> Facts:
        """What is answered where a service is reached."""
        address, port, probe = reachable(self._program.listen), proxy.spec.port or 0, self._health.probe_of(service)
        asked = await connected(address, port) if probe is None else await self._probe(url_of(port, address), probe)
        if not asked["ok"]:
            raise PhaseFailed(f"{service.name} does not answer at {url_of(port, address)}: {asked['said']}.")
        return {"service": service.name, "url": url_of(port, address)} | asked

    async def _switch(self, work: Work, wished: list[PlaceSpec], config: Config, release: str) -> list[Place]:
        proxies = _proxies(_meant(await self._here(work), wished))
        asked = {one.id: self._health.probe_of(config.service(one.spec.service)) for one in proxies}
        healths = {name: probe and {"path": probe.path, "status": probe.status} for name, probe in asked.items()}
        await self._places.write(switch, _at(work), release, healths)
        return proxies

    async def _end_others(self, work: Work, release: str, *, forget: bool = True) -> None:
        """End what is not of a release, once nothing is under way with it, or its time is over."""
        places = await self._here(work)
        others = [one for one in places if one.spec.release != release]
        await self._end(work, _proxies(others), "nothing is asked for at its port any more", forget=True)
        ports = {one.spec.port for one in others}
        proxies = [one.id for one in _proxies(places) if one.spec.release == release]

        def are_drained(now: list[Place]) -> bool:
            left = (_said(one).get("left", {}) for one in now if one.id in proxies)
            return not any(int(port) in ports for one in left for port in one)

        await self._within(work, are_drained, self._program.drain_seconds)
        await self._end(work, others, "another release has taken its place", forget=forget)

    async def _end(self, work: Work, places: Collection[Place], reason: str, *, forget: bool) -> None:
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

        def have_ended(now: list[Place]) -> bool:
            return all(one.process.status == "stopped" for one in now if one.id in ids)

        await self._until(work, have_ended, grace + END_SECONDS, "No server supervises here that would end what runs")
        if forget:
            mine = [one for one in await self._places.of(work.subject.id) if one.id in ids]
            await asyncio.to_thread(_remove_files, mine)
            await self._places.write(clear, _at(work), ids)

    async def _until(self, work: Work, is_so: Callable[[list[Place]], bool], seconds: float, why_not: str) -> None:
        if not await self._within(work, is_so, seconds):
            raise PhaseFailed(f"{why_not} (waited {seconds:g} seconds).", RETRY_SECONDS)

    async def _within(self, work: Work, is_so: Callable[[list[Place]], bool], seconds: float) -> bool:
        """Wait until something is so, for a time; whether it is."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while not is_so(await self._places.of(work.subject.id)):
            if loop.time() > ends:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True


def replicas_of(places: Iterable[Place], release: str) -> list[Place]:
    """The replicas of a release, by service and number."""
    mine = [one for one in places if one.spec.kind == "replica" and one.spec.release == release]
    return sorted(mine, key=lambda one: (one.spec.service, one.spec.number))


def _proxies(places: Iterable[Place]) -> list[Place]:
    return [one for one in places if one.spec.kind == "proxy"]


def _live(subject: Subject) -> str | None:
    return (subject.live or {}).get("release")


def _at(work: Work) -> At:
    return At(work.subject.id, work.run_id, work.phase)


def _checks(work: Work, place: Place) -> Iterable[Probe]:
    return work.subject.config.service(place.spec.service).checks


def _meant(places: Iterable[Place], wished: Iterable[PlaceSpec]) -> list[Place]:
    wanted = list(wished)
    return [one for one in places if any(one.spec.is_place_of(spec) for spec in wanted)]


def _require_hope(places: Iterable[Place]) -> None:
    """Give up what fails again and again."""
    for place in places:
        process = place.process
        if process.pid is None and process.failures >= FAILURES_MAX:
            raise PhaseFailed(
                f"{place.label} does not run: {process.reason}. deployments_find(..., logs=true) shows what it wrote"
            )


def _said(proxy: Place) -> Facts:
    """What a proxy said of itself; nothing where that was another process."""
    file = proxy.file(STATUS)
    try:
        told: Facts = {} if file is None else json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if told.get("pid") == proxy.process.pid else {}


def _leads_to(proxy: Place, release: str) -> bool:
    told = _said(proxy)
    return told.get("release") == release and bool(told["ports"])


def _remove_files(places: Iterable[Place]) -> None:
    for place in places:
        log = place.file(".log")
        if log is not None:
            for file in log.parent.glob(f"{log.stem}.*"):
                file.unlink(missing_ok=True)
