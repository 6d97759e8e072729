"""The phases of the target `process`. Each may run again after a crash: it wants what is to be there, and looks."""

import asyncio
from typing import Any

from mcp_server.domain.deployments.configuration import Probe
from mcp_server.domain.deployments.places import Place, proxies_of
from mcp_server.domain.deployments.placing import Places
from mcp_server.domain.deployments.programs import Program
from mcp_server.domain.deployments.targets import Facts, PhaseFailed, Prober, Work
from mcp_server.integrations.targets.health import Health, url_of
from mcp_server.integrations.targets.placed import Release, live_release, new_release, replicas_of
from mcp_server.integrations.targets.releases import Releases


class Replacing:
    """Brings releases live, takes them back, and ends them."""

    def __init__(self, name: str, program: Program, places: Places, health: Health, probe: Prober) -> None:
        self._name = name
        self._program = program
        self._places = places
        self._probe = probe
        self._releases = Releases(program, places, health, probe)

    async def build(self, work: Work) -> Facts:
        """Take away what an earlier run has left, and say what is to be."""
        places, live = await self._releases.here(work), (work.subject.live or {}).get("release")
        left = [one for one in places if one.spec.release != live or live is None]
        await self._releases.end(work, left, "its run did not come to its end", forget=True)
        was_stopped = live is not None and not any(one.process.wanted for one in places if one not in left)
        return {"release": work.run_id, "declared": self._program.digest(), "was_stopped": was_stopped}

    async def deploy(self, work: Work) -> Facts:
        """Start the new replicas beside what runs, and proxies where there are none; wait until all work."""
        places = await self._releases.started(work, new_release(self._name, work))
        replicas = replicas_of(places, work.run_id)
        urls = {one.spec.service: url_of(one.spec.port) for one in reversed(replicas)}
        return {"urls": urls, "replicas": self._evidence(replicas)}

    async def check(self, work: Work) -> Facts:
        """Ask every replica but the first of its service, which is asked anyway."""
        replicas = replicas_of(await self._releases.here(work), work.run_id)
        told = await asyncio.gather(*(self._wrong(work, one) for one in replicas if one.spec.number > 1))
        wrong = [why for whys in told for why in whys]
        if wrong:
            raise PhaseFailed(f"What was asked did not answer as it should: {'; '.join(wrong)}.")
        return {}

    async def promote(self, work: Work) -> Facts:
        """Lead to the new replicas, see that they answer there, and end the old ones once nothing is under way."""
        told = await self._releases.led(work, new_release(self._name, work))
        await self._releases.end_others(work, work.run_id)
        return told | {"replicas": self._evidence(replicas_of(await self._releases.here(work), work.run_id))}

    async def revert(self, work: Work) -> Facts:
        """What was live goes on, or is started again; what was new ends. Its logs are kept until the next run."""
        live = live_release(self._name, work.subject)
        if live is None:
            await self._releases.end(work, await self._releases.here(work), "it did not come to be live", forget=False)
            return {}
        goes_back = self._stopped_again if work.done.get("build", {}).get("was_stopped") else self._live_again
        told = await goes_back(work, live)
        await self._releases.end_others(work, live.id, forget=False)
        return told

    async def start(self, work: Work) -> Facts:
        """Start again what was stopped, where it was."""
        live = live_release(self._name, work.subject)
        if live is None:
            raise PhaseFailed("Nothing was brought live that could be started.")
        await self._releases.started(work, live)
        return await self._releases.led(work, live)

    async def stop(self, work: Work) -> Facts:
        """End everything; where it was it is started again."""
        return {"stopped": await self._ended(work, "it was stopped", forget=False)}

    async def destroy(self, work: Work) -> Facts:
        """End everything and forget it, with its files."""
        return {"destroyed": await self._ended(work, "it is removed", forget=True)}

    def evidence(self, place: Place) -> Facts:
        """Where a replica or a proxy runs, and where it answers."""
        return self._releases.evidence(place)

    def _evidence(self, replicas: list[Place]) -> list[Facts]:
        return [self.evidence(one) for one in replicas]

    async def _wrong(self, work: Work, replica: Place) -> list[str]:
        """What a replica does not answer as it should."""
        probes = work.subject.config.service(replica.spec.service).checks
        return [why for probe in probes if (why := await self._answered_wrong(replica, probe)) is not None]

    async def _answered_wrong(self, replica: Place, probe: Probe) -> str | None:
        facts = await self._probe(url_of(replica.spec.port), probe)
        return None if facts["ok"] else f"{replica.label} {probe.path}: {facts['said']}"

    async def _live_again(self, work: Work, live: Release) -> Facts:
        told = dict[str, Any]()
        try:
            await self._releases.started(work, live)
        except PhaseFailed as failed:  # it was broken before: all the same it is what is live
            told["warning"] = failed.message
        return told | await self._releases.led(work, live, proves=False)

    async def _stopped_again(self, work: Work, live: Release) -> Facts:
        proxies = await self._releases.switch(work, live)
        await self._releases.end(work, proxies, "it was stopped before", forget=False)
        return {"stopped": True}

    async def _ended(self, work: Work, reason: str, *, forget: bool) -> list[str]:
        """End everything, first what takes connections; what that was."""
        places = await self._releases.here(work)
        await self._releases.end(work, proxies_of(places), reason, forget=forget)
        await self._releases.end(work, places, reason, forget=forget)
        return [one.label for one in places]
