"""The target `cloudflare`: Workers in an account, uploaded as versions and then shared out.

Every version is marked with the run that uploads it, so that an attempt after a crash, or after an answer that was
lost, finds what is there already instead of doing it again.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mcp_server.domain.deployments.configuration import Service
from mcp_server.domain.deployments.spec import Operation
from mcp_server.domain.deployments.targets import Facts, Outlook, Phase, PhaseFailed, Step, Subject, Work
from mcp_server.integrations.cloudflare.calling import Account, Calling, CloudFailed, silent
from mcp_server.integrations.cloudflare.kv import KvNamespaces
from mcp_server.integrations.cloudflare.planning import gone_of, require_deployable, shares_of, steps_of, warnings_of
from mcp_server.integrations.cloudflare.reach import Arrangement, Reach, wanted_of
from mcp_server.integrations.cloudflare.scripts import Scripts, Share
from mcp_server.integrations.cloudflare.uploads import Uploads
from mcp_server.integrations.workers.model import Route, Worker, digest
from mcp_server.integrations.workers.place import Place
from mcp_server.integrations.workers.revisions import REVISIONS, Revisions
from mcp_server.integrations.workers.source import TAKES, Built, Sources, name_of
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.errors import Conflict, OpsError

Holder = Callable[[Subject, str], Awaitable[str | None]]
DEV_URL = "https://{name}.{subdomain}.workers.dev"


class CloudflareTarget:
    """Deploys Workers to Cloudflare. See `Target`."""

    takes = TAKES | {"percent"}
    operations: frozenset[Operation] = frozenset(("apply", "rollback", "destroy"))

    def __init__(
        self, folder: Path, sources: Sources, account: Account, dev_url: str = DEV_URL, holder: Holder | None = None
    ) -> None:
        """Nothing is sent yet.

        Args:
            folder: for what was built, a folder for each run.
            sources: where Workers come from.
            account: whose Workers they are.
            dev_url: where a Worker answers, with the places {name} and {subdomain}.
            holder: says which other deployment brought a Worker of some name live.
        """
        self._holder = holder
        self._folder = folder
        self._revisions = Revisions(folder)
        self._sources = sources
        self._dev_url = dev_url
        self._calling = Calling(account)
        self._scripts = Scripts(self._calling)
        self._reach = Reach(self._calling)
        self._uploads = Uploads(self._scripts, KvNamespaces(self._calling))

    def check(self, subject: Subject) -> None:
        """Refuse services that make no Worker.

        Raises:
            ValidationFailed: saying what would do.
            PermissionDenied: the operator does not let a folder be deployed.
        """
        check_all(*(partial(self._check, subject, service) for service in subject.config.services))

    def _check(self, subject: Subject, service: Service) -> None:
        worker = self._sources.check(subject, service)
        if worker is not None:
            require_deployable(worker)

    def names(self, subject: Subject) -> frozenset[str]:
        """Its Workers, as far as no project names them itself."""
        return frozenset(name_of(subject, one) for one in subject.config.services if one.folder is None)

    async def observe(self, subject: Subject) -> Facts:
        """What is there of each Worker, and what the sources come to now.

        Raises:
            Unavailable: Cloudflare does not say.
        """
        names, sources, routes = dict[str, str](), dict[str, str](), _live_routes(subject)
        for service in subject.config.services:
            try:
                worker = (await self._sources.build(subject, service)).worker
            except OpsError as error:
                sources[service.name] = f"none: {error.message}"
            else:
                names[service.name], sources[service.name] = worker.name, digest(worker)
                routes[worker.name] = _all_routes(subject, worker)
        return {"here": await self._here(_live_names(subject) | names, routes), "sources": sources}

    async def outlook(self, subject: Subject, operation: Operation, observed: Facts) -> Outlook:
        """Which versions would be uploaded and shared out.

        Raises:
            OpsError: a source makes no Worker that can be deployed.
        """
        here: dict[str, Facts] = observed["here"]
        if operation == "destroy":
            return Outlook([step for one in here.values() if one["exists"] for step in gone_of(one["name"], one)], [])
        steps, warnings, names = list[Step](), list[str](), set[str]()
        for service in subject.config.services:
            brought, name = await self._brought(subject, operation, service, here)
            steps += brought.steps
            warnings += brought.warnings
            names.add(name)
        for name in sorted(_live_workers(subject) - names):
            steps.append(
                Step("delete", f"Worker {name}", "which this revision does not have, once the rest is checked")
            )
        return Outlook(steps, warnings)

    async def _brought(
        self, subject: Subject, operation: Operation, service: Service, here: Mapping[str, Facts]
    ) -> tuple[Outlook, str]:
        """What becomes of one service, and what its Worker is called."""
        built = await self._meant(subject, operation, service)
        require_deployable(built.worker)
        there = here[service.name]
        uploaded = None if operation != "rollback" else await self._uploads.uploaded_then(subject, built.worker)
        if there["exists"]:
            await self._require_free(subject, built.worker.name)
        takes_over = there["exists"] and service.name not in _live_names(subject)
        warnings = [*built.warnings, *warnings_of(service, built.worker, there, takes_over)]
        return Outlook([*steps_of(service, built.worker, there, uploaded)], warnings), built.worker.name

    async def act(self, work: Work) -> Facts:
        """Do one phase.

        Raises:
            PhaseFailed: it did not work; where that is not known, the next attempt looks.
        """
        does: dict[Phase, Callable[[Work], Awaitable[Facts]]] = {
            "build": self._build,
            "deploy": self._deploy,
            "promote": self._promote,
            "revert": self._revert,
            "destroy": self._destroy,
        }
        try:
            return await does[work.phase](work) if work.phase in does else {}
        except CloudFailed as failed:
            facts = {"outcome": failed.outcome, "status": failed.status}
            raise PhaseFailed(failed.message, failed.retry_after_seconds, facts) from None

    def drift(self, subject: Subject, observed: Facts) -> list[str]:
        """In what Workers differ from what was brought live."""
        found = list[str]()
        here: dict[str, Facts] = observed["here"]
        for service, live in (subject.live or {}).get("live", {}).items():
            now = here.get(service, {})
            owners = {pattern: now.get("routes", {}).get(pattern) for pattern in live["routes"]}
            names = sorted(name for name in live if (now | {"routes": owners}).get(name) != live[name])
            found += [f"{name} of Worker {live['name']} is not what was brought live" for name in names]
        return found

    async def logs(self, subject: Subject) -> str | None:
        """Cloudflare keeps none that could be read here."""
        del subject

    async def close(self) -> None:
        """Let go of connections."""
        await self._calling.close()

    async def _build(self, work: Work) -> Facts:
        """Write down what is to be uploaded, and what answers now."""
        told: Facts = {"workers": {}, "names": {}, "before": {}}
        for service in work.subject.config.services:
            worker = (await self._meant(work.subject, work.operation, service)).worker
            require_deployable(worker)
            self._place(work).write(f"{service.name}.json", worker.model_dump_json())
            told["workers"][service.name] = digest(worker)
            told["names"][service.name] = worker.name
            told["before"][service.name] = await self._before(worker.name, _all_routes(work.subject, worker))
        return told

    async def _require_free(self, subject: Subject, name: str) -> None:
        """Refuse a Worker that another deployment of this desk has brought live.

        Raises:
            Conflict: naming it.
        """
        held = None if self._holder is None else await self._holder(subject, name)
        if held is not None:
            raise Conflict(
                f"The Worker {name} is that of {held}.",
                next="Give this one another name, or destroy that one first.",
                details={"worker": name, "held_by": held},
            )

    async def _meant(self, subject: Subject, operation: Operation, service: Service) -> Built:
        """What is to be there. Going back means what was, with its addresses and schedules, as far as that is kept."""
        kept = self._revisions.kept(subject, service) if operation == "rollback" else None
        return Built(kept, []) if kept is not None else await self._sources.build(subject, service)

    async def _before(self, name: str, routes: list[Route]) -> Facts:
        """What is to be there again where this run is undone."""
        exists = await self._scripts.exists(name)
        shares = await self._scripts.shares(name) if exists else []
        reached = await self._reach.seen(name, routes, exists=exists)
        return {"exists": exists, "shares": [list(share) for share in shares], "reached": reached.model_dump()}

    async def _deploy(self, work: Work) -> Facts:
        urls, versions = dict[str, str](), dict[str, str]()
        for service in work.subject.config.services:
            worker = await self._worker(work, service)
            await work.report(f"upload of {worker.name}")
            version = await self._uploads.uploaded(work, service, worker)
            before: list[Any] = work.done["build"]["before"][service.name]["shares"]
            await self._uploads.shared(work, worker.name, shares_of(version, service.percent, before))
            await self._reach.arrange(worker.name, wanted_of(worker), work.guard)
            kept = {route.pattern for route in worker.routes}
            left = [route for route in _live_routes(work.subject).get(worker.name, []) if route.pattern not in kept]
            await self._reach.addresses.free(worker.name, left, work.guard)
            versions[service.name] = version
            urls |= await self._url(service, worker)
        one = {"url": next(iter(urls.values()))} if len(urls) == 1 else {}
        return {"urls": urls, "versions": versions} | one

    async def _worker(self, work: Work, service: Service) -> Worker:
        """What was built, also where another server's disk holds it: then the source has to come to the same."""
        path = self._place(work).folder / f"{service.name}.json"
        if path.exists():
            return Worker.model_validate_json(path.read_text("utf-8"))
        worker = (await self._sources.build(work.subject, service)).worker
        if digest(worker) != work.done["build"]["workers"][service.name]:
            raise PhaseFailed(f"The source of {worker.name} has moved since it was built.")
        return worker

    async def _promote(self, work: Work) -> Facts:
        """What no service is any more is taken away; what is there now is what drift is measured by."""
        names: Mapping[str, str] = work.done["build"]["names"]
        for name in sorted(_live_workers(work.subject) - set(names.values())):
            await self._taken_away(work, name)
        workers = {service.name: await self._worker(work, service) for service in work.subject.config.services}
        for service, worker in workers.items():
            self._revisions.keep(work.subject, service, worker)
        await asyncio.to_thread(self._forget_runs_before, work)
        routes = {service: worker.routes for service, worker in workers.items()}
        live = {service: await self._seen(name, list(routes[service])) for service, name in names.items()}
        told = {names[service]: [route.model_dump() for route in some] for service, some in routes.items()}
        return {"live": live, "routes": told}

    async def _revert(self, work: Work) -> Facts:
        """What answered before answers again, where and when it did; what was not there before is taken away."""
        build = work.done.get("build", {})
        for service, before in build.get("before", {}).items():
            name, reached = build["names"][service], Arrangement.model_validate(before["reached"])
            if before["exists"]:
                await self._uploads.shared(work, name, [Share(*share) for share in before["shares"]])
                await self._reach.arrange(name, reached, work.guard)
                continue
            await self._reach.addresses.give(reached.routes, work.guard)
            if await self._scripts.exists(name):
                await work.guard()
                await self._scripts.delete(name)
        return {"reverted": True}

    async def _destroy(self, work: Work) -> Facts:
        names = sorted(_live_workers(work.subject))
        for name in names:
            await self._taken_away(work, name)
        await asyncio.to_thread(shutil.rmtree, self._folder / work.subject.id, ignore_errors=True)
        return {"deleted": names}

    async def _taken_away(self, work: Work, name: str) -> None:
        await self._reach.addresses.free(name, _live_routes(work.subject).get(name, []), work.guard)
        await work.guard()
        await self._scripts.delete(name)

    async def _url(self, service: Service, worker: Worker) -> dict[str, str]:
        if wanted_of(worker).workers_dev:
            subdomain = await self._reach.account_subdomain()
            return {service.name: self._dev_url.format(name=worker.name, subdomain=subdomain)}
        hosts = [route.pattern.removesuffix("/*") for route in worker.routes]
        whole = next((host for host in hosts if not {"*", "/"} & set(host)), None)  # checks' paths begin at its root
        return {} if whole is None else {service.name: f"https://{whole}"}

    async def _seen(self, name: str, routes: list[Route]) -> Facts:
        exists = await self._scripts.exists(name)
        reached = await self._reach.seen(name, routes, exists=exists)
        told: Facts = {"name": name, "exists": exists, "routes": reached.owners}
        if not exists:
            return told
        shares, settings = await asyncio.gather(self._scripts.shares(name), self._scripts.settings(name))
        told |= {"shares": [list(one) for one in shares], "settings": settings}
        return told | {"crons": list(reached.crons), "workers_dev": reached.workers_dev}

    async def _here(self, names: Mapping[str, str], routes: Mapping[str, list[Route]]) -> dict[str, Facts]:
        try:
            return {service: await self._seen(name, routes.get(name, [])) for service, name in sorted(names.items())}
        except CloudFailed as failed:
            raise silent(failed) from None

    def _forget_runs_before(self, work: Work) -> None:
        """What earlier runs have built is of no use any more."""
        for folder in (self._folder / work.subject.id).iterdir():
            if folder.name not in (REVISIONS, work.run_id):
                shutil.rmtree(folder, ignore_errors=True)

    def _place(self, work: Work) -> Place:
        return Place(self._folder / work.subject.id / work.run_id)


def _live_names(subject: Subject) -> dict[str, str]:
    """The Workers that were brought live, by service."""
    return dict((subject.live or {}).get("names", {}))


def _live_workers(subject: Subject) -> set[str]:
    return set(_live_names(subject).values())


def _live_routes(subject: Subject) -> dict[str, list[Route]]:
    """The addresses of the Workers that were brought live, by the Worker's name."""
    routes: dict[str, list[Facts]] = (subject.live or {}).get("routes", {})
    return {name: [Route.model_validate(route) for route in some] for name, some in routes.items()}


def _all_routes(subject: Subject, worker: Worker) -> list[Route]:
    """The addresses that a Worker is to have and those that it had, each once."""
    live = _live_routes(subject).get(worker.name, [])
    return list({route.pattern: route for route in (*live, *worker.routes)}.values())
