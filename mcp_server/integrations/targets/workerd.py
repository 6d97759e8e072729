"""The target `workerd`: Workers on this machine, on Cloudflare's own runtime. Their KV bindings are the desk's state.

A run has a folder of its own; in it each service has a place, where its Worker runs at most once and is found again.
The new ones run beside the old ones until they were checked.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from mcp_server.domain.deployments.configuration import Config, Service
from mcp_server.domain.deployments.spec import Operation
from mcp_server.domain.deployments.targets import Facts, Outlook, Phase, PhaseFailed, Step, Subject, Work
from mcp_server.integrations.kept import IS_POSSIBLE
from mcp_server.integrations.workers.binaries import find_workerd
from mcp_server.integrations.workers.capnp import Backend, require_servable
from mcp_server.integrations.workers.failed import FAILED, FailedLogs
from mcp_server.integrations.workers.kv_tokens import Grant, KvTokens
from mcp_server.integrations.workers.model import Worker, digest
from mcp_server.integrations.workers.place import Place
from mcp_server.integrations.workers.revisions import REVISIONS, Revisions, nothing_kept
from mcp_server.integrations.workers.source import TAKES, Built, Sources, secret_names
from mcp_server.integrations.workers.workerd import address, serve
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.errors import OpsError, Unavailable, ValidationFailed

_WORKER = "worker.json"
_RETRY_SECONDS = 5.0


class WorkerdTarget:
    """Runs Workers here. See `Target`."""

    takes = TAKES
    operations: frozenset[Operation] = frozenset(("apply", "rollback", "destroy", "stop", "start"))

    def __init__(
        self, folder: Path, sources: Sources, kv_address: Callable[[], Awaitable[str]], kv_key: Callable[[], bytes]
    ) -> None:
        """Nothing runs because of this.

        Args:
            folder: for what runs, a folder for each deployment.
            sources: where Workers come from.
            kv_address: serves KV bindings from now on, and says where.
            kv_key: of the tokens with which KV bindings are reached.
        """
        self._folder = folder
        self._revisions = Revisions(folder)
        self._failed = FailedLogs(folder)
        self._sources = sources
        self._kv_address = kv_address
        self._kv_key = kv_key

    def check(self, subject: Subject) -> None:
        """Refuse services that make no Worker, or one that cannot be served here.

        Raises:
            ValidationFailed: saying what would do.
            PermissionDenied: the operator does not let a folder be deployed.
        """
        if not IS_POSSIBLE:
            raise ValidationFailed(
                "Workers run on this machine on Linux and macOS only.",
                next="Deploy with the target cloudflare, or run this server under WSL.",
            )
        check_all(*(partial(self._check, subject, service) for service in subject.config.services))

    def _check(self, subject: Subject, service: Service) -> None:
        worker = self._sources.check(subject, service)
        if worker is not None:
            require_servable(worker)

    async def observe(self, subject: Subject) -> Facts:
        """What runs, and what the sources come to now."""
        here = {name: _observed(place) for name, place in self._live(subject)}
        return {
            "here": here,
            "sources": {service.name: await self._digest(subject, service) for service in _all(subject)},
        }

    async def outlook(self, subject: Subject, operation: Operation, observed: Facts) -> Outlook:
        """Which Workers would be started and stopped.

        Raises:
            OpsError: a source makes no Worker that can run here.
        """
        here: dict[str, Facts] = observed["here"]
        if operation in ("destroy", "stop", "start"):
            return Outlook([Step(operation, f"Worker {name}") for name in here], [])
        steps, warnings = list[Step](), list[str]()
        for service in subject.config.services:
            built = await self._meant(subject, operation, service)
            require_servable(built.worker)
            steps += _steps(service, built.worker, here.get(service.name))
            warnings += built.warnings
        gone = here.keys() - {service.name for service in subject.config.services}
        return Outlook([*steps, *(Step("stop", f"Worker {name}") for name in sorted(gone))], warnings)

    def lacks(self, subject: Subject) -> list[str]:
        """The runtime, without which applying fails."""
        try:
            find_workerd(self._sources.workerd, self._projects(subject))
        except OpsError as error:
            return [f"Applying fails on this server: {error.message}"]
        return []

    async def act(self, work: Work) -> Facts:
        """Do one phase.

        Raises:
            PhaseFailed: it did not work.
        """
        does: dict[Phase, Callable[[Work], Awaitable[Facts]]] = {
            "build": self._build,
            "deploy": self._deploy,
            "promote": self._promote,
            "revert": self._revert,
            "destroy": self._destroy,
            "stop": self._stop,
            "start": self._start,
        }
        try:
            return await does[work.phase](work) if work.phase in does else {}
        except Unavailable as error:
            raise PhaseFailed(error.message, _RETRY_SECONDS) from error

    def drift(self, subject: Subject, observed: Facts) -> list[str]:
        """Which Workers do not run, or are not what was brought live."""
        live: dict[str, str] = (subject.live or {}).get("workers", {})
        here: dict[str, Facts] = observed["here"]
        found = [f"Worker {name} does not run" for name in live if not here.get(name, {}).get("running")]
        return found + [
            f"Worker {name} is another than was brought live"
            for name, worker in live.items()
            if here.get(name, {}).get("worker", worker) != worker
        ]

    def fallen(self, subject: Subject) -> list[str]:
        """Which Workers have ended by themselves."""
        return [f"Worker {name} does not run" for name, place in self._live(subject) if not place.is_running]

    def trim(self, subject: Subject) -> None:
        """Bound the logs of Workers."""
        for _, place in self._live(subject):
            place.trim()

    async def logs(self, subject: Subject) -> str | None:
        """The end of what each Worker wrote, and of what those did that did not come to be live."""
        said = [f"== {name}\n{place.log()}" for name, place in self._live(subject)]
        said += self._failed.told(subject)
        return "\n".join(said) if said else None

    async def _build(self, work: Work) -> Facts:
        """Write down what is to run; what an earlier run has left is gone by then."""
        await asyncio.to_thread(self._failed.forget, work.subject)
        program = find_workerd(self._sources.workerd, self._projects(work.subject))
        told: Facts = {}
        for service in work.subject.config.services:
            worker = (await self._meant(work.subject, work.operation, service)).worker
            require_servable(worker)
            self._place(work.subject, work.run_id, service.name).write(_WORKER, worker.model_dump_json())
            told[service.name] = digest(worker)
        return {"workers": told, "program": str(program), "release": work.run_id}

    async def _meant(self, subject: Subject, operation: Operation, service: Service) -> Built:
        """What is to run. Going back means what ran then, never what its source has become since."""
        if operation == "rollback":
            kept = self._revisions.kept(subject, service)
            if kept is None:
                raise nothing_kept(subject, "What ran as it is not kept here any more")
            return Built(kept, [])
        return await self._sources.build(subject, service)

    async def _deploy(self, work: Work) -> Facts:
        await work.guard()
        return await self._serve(work, work.subject.config, work.run_id)

    async def _promote(self, work: Work) -> Facts:
        """What was checked is what counts; what ran before answers what is under way, and ends."""
        await work.guard()
        for name, place in self._places(work.subject, work.run_id):
            self._revisions.keep(work.subject, name, _read(place.folder / _WORKER))
        for release in self._releases(work.subject):
            if release.name != work.run_id:
                await self._end(release)
        return {}

    async def _revert(self, work: Work) -> Facts:
        """What ran before goes on; where it was ended already, it is started again."""
        await work.guard()
        live, config = (work.subject.live or {}).get("release"), work.subject.live_config
        urls = {} if live is None or config is None else await self._serve(work, config, live)
        for name, place in self._places(work.subject, work.run_id):
            await asyncio.to_thread(self._failed.keep, work, name, place)
        await self._end(self._deployment(work.subject) / work.run_id)
        return urls

    async def _start(self, work: Work) -> Facts:
        live = (work.subject.live or {}).get("release")
        if live is None:
            raise PhaseFailed("Nothing was brought live that could be started.")
        await work.guard()
        return await self._serve(work, work.subject.live_config or work.subject.config, live)

    async def _stop(self, work: Work) -> Facts:
        await work.guard()
        names = [name for name, _ in self._live(work.subject)]
        await asyncio.gather(*(place.stop() for _, place in self._live(work.subject)))
        return {"stopped": names}

    async def _destroy(self, work: Work) -> Facts:
        await work.guard()
        for release in self._releases(work.subject):
            await self._end(release)
        await asyncio.to_thread(shutil.rmtree, self._deployment(work.subject), ignore_errors=True)
        return {"destroyed": True}

    async def _serve(self, work: Work, config: Config, release: str) -> Facts:
        """Have every Worker of a release run; where each answers."""
        if not (self._deployment(work.subject) / release).is_dir():
            raise PhaseFailed("It was built by a server on another machine; it goes on there.", _RETRY_SECONDS)
        urls, pids = dict[str, str](), dict[str, int | None]()
        for name, place in self._places(work.subject, release):
            urls[name] = address(place) or await self._started(work, config.service(name), place)
            pids[name] = place.pid
        one = {"url": next(iter(urls.values()))} if len(urls) == 1 else {}
        return {"urls": urls, "pids": pids} | one

    async def _started(self, work: Work, service: Service, place: Place) -> str:
        program = find_workerd(self._sources.workerd, self._projects(work.subject))
        worker = _read(place.folder / _WORKER)
        values = {binding: work.secret(secret) for binding, secret in secret_names(service).items()}
        try:
            return await serve(program, worker, place, values, await self._backend(worker, work.subject))
        except ValidationFailed as error:
            raise PhaseFailed(error.message, None, error.details) from error

    async def _backend(self, worker: Worker, subject: Subject) -> Backend | None:
        if not worker.kv:
            return None
        where, tokens = await self._kv_address(), KvTokens(self._kv_key())
        grants = {one.binding: Grant(one.namespace or "", subject.label) for one in worker.kv}
        return Backend(where, {binding: tokens.token(grant) for binding, grant in grants.items()})

    async def _digest(self, subject: Subject, service: Service) -> str:
        try:
            return digest((await self._sources.build(subject, service)).worker)
        except OpsError as error:
            return f"none: {error.message}"

    async def _end(self, release: Path) -> None:
        await asyncio.gather(*(Place(folder).stop() for folder in _folders(release)))
        await asyncio.to_thread(shutil.rmtree, release, ignore_errors=True)

    def _projects(self, subject: Subject) -> list[Path]:
        """Folders in which npm may have installed programs."""
        named = [service.folder for service in subject.config.services if service.folder is not None]
        return [*(self._sources.folder(name) for name in named), *self._sources.folders]

    def _deployment(self, subject: Subject) -> Path:
        return self._folder / subject.id

    def _releases(self, subject: Subject) -> list[Path]:
        return [folder for folder in _folders(self._deployment(subject)) if folder.name not in (REVISIONS, FAILED)]

    def _place(self, subject: Subject, release: str, service: str) -> Place:
        return Place(self._deployment(subject) / release / service)

    def _places(self, subject: Subject, release: str) -> Iterator[tuple[str, Place]]:
        for folder in _folders(self._deployment(subject) / release):
            yield folder.name, Place(folder)

    def _live(self, subject: Subject) -> list[tuple[str, Place]]:
        """The places of what was brought live."""
        release = (subject.live or {}).get("release")
        return [] if release is None else list(self._places(subject, release))


def _all(subject: Subject) -> tuple[Service, ...]:
    return subject.config.services


def _observed(place: Place) -> Facts:
    return {"running": address(place) is not None, "worker": digest(_read(place.folder / _WORKER))}


def _steps(service: Service, worker: Worker, here: Facts | None) -> list[Step]:
    """Every apply starts anew, so that what is checked is what runs from then on."""
    is_same = here is not None and here["worker"] == digest(worker)
    size = sum(map(len, worker.modules.values()))
    detail = "as it is live" if is_same else f"{len(worker.modules)} modules, {size} bytes, {digest(worker)[:12]}"
    steps = [Step("start", f"Worker {service.name}", detail)]
    steps += [Step("bind", f"{one.binding} of {service.name}", f"state {one.namespace}") for one in worker.kv]
    steps += [Step("set", f"secret {name} of {service.name}") for name in worker.secrets]
    return (
        steps if here is None else [*steps, Step("stop", f"Worker {service.name}", "the one that runs, once checked")]
    )


def _read(path: Path) -> Worker:
    return Worker.model_validate_json(path.read_text("utf-8"))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
