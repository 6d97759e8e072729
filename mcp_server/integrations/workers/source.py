"""What a service of a deployment comes to as a Worker: from a project's folder or a document of state, with what the
deployment binds it to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from mcp_server.domain.deployments.configuration import Binding, Service
from mcp_server.domain.deployments.targets import Subject
from mcp_server.integrations.workers.asset_files import read_assets
from mcp_server.integrations.workers.bundling import modules_of
from mcp_server.integrations.workers.model import Worker
from mcp_server.integrations.workers.project import Project
from mcp_server.integrations.workers.wrangler import read_project
from mcp_server.kernel.complaints import complaints
from mcp_server.kernel.errors import PermissionDenied, ValidationFailed
from mcp_server.kernel.quoting import quoted

TAKES = frozenset(
    ("folder", "modules", "main", "compatibility_date", "compatibility_flags", "bindings", "crons", "env", "secrets")
) | {"health", "checks"}
"""The members of a service that mean something for a Worker."""

_BEYOND = {"queue": "queue", "r2": "R2 bucket", "service": "service"}


class Built(NamedTuple):
    """A Worker, and what a plan should say beside it."""

    worker: Worker
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where Workers come from.

    Attributes:
        folders: of projects that may be deployed, with all in them.
        document: reads a value of state by namespace and key.
        esbuild: the bundler; None to look for it.
        workerd: the runtime; None to look for it.
    """

    folders: tuple[Path, ...]
    document: Callable[[str, str], Awaitable[Any]]
    esbuild: Path | None = None
    workerd: Path | None = field(default=None)

    def check(self, subject: Subject, service: Service) -> Worker | None:
        """Refuse a service that names no source, or one that may not be deployed.

        Returns:
            The Worker but for its modules; None where a project says the rest.

        Raises:
            ValidationFailed: naming what would do.
            PermissionDenied: the operator does not let this folder be deployed.
        """
        if (service.folder is None) == (service.modules is None):
            raise ValidationFailed(
                f"The Worker {service.name} needs one source.",
                next="Give folder, a project with a wrangler.jsonc; or modules, a document of state: namespace/key.",
            )
        if service.folder is not None:
            self.folder(service.folder)
            return None
        said = {"name": name_of(subject, service)} | self._from_document(service, "")
        return worker_of(service.name, _bound(said, service))

    def folder(self, name: str) -> Path:
        """The folder of a project.

        Raises:
            PermissionDenied: the operator does not let it be deployed.
        """
        path = Path(name).expanduser().resolve()
        if not any(path.is_relative_to(allowed.expanduser().resolve()) for allowed in self.folders):
            allowed = ", ".join(str(one) for one in self.folders) or "none"
            raise PermissionDenied(
                f"The folder {quoted(name)} may not be deployed; allowed: {allowed}.",
                next="The operator names folders of projects in DATAMCP_WORKERS_FOLDERS.",
            )
        return path

    async def build(self, subject: Subject, service: Service) -> Built:
        """The Worker of a service.

        Raises:
            OpsError: there is no source, or it makes no Worker.
        """
        self.check(subject, service)
        said: dict[str, Any] = {"name": name_of(subject, service)}
        warnings = list[str]()
        if service.folder is not None:
            said |= await self._from_folder(self.folder(service.folder), subject.environment, warnings)
        else:
            said |= self._from_document(service, await self.document(*(service.modules or "").split("/", 1)))
        return Built(worker_of(service.name, _bound(said, service)), warnings)

    async def _from_folder(self, folder: Path, environment: str, warnings: list[str]) -> dict[str, Any]:
        read = await asyncio.to_thread(read_project, folder, environment)
        warnings += [f"{name} of the project's configuration is passed over." for name in read.passed_over]
        project = Project(folder, [allowed.expanduser() for allowed in self.folders])
        main, modules = await modules_of(project, read.entry, bundled=read.bundled, esbuild=self.esbuild)
        said: dict[str, Any] = read.said | {"main": main, "modules": modules}
        if "assets" in said:
            said["assets"] = await asyncio.to_thread(read_assets, project, said["assets"])
        return said

    @staticmethod
    def _from_document(service: Service, value: Any) -> dict[str, Any]:
        """A text is the only module; an object has modules by their names."""
        main = service.main or "worker.js"
        modules: Any = {main: value} if isinstance(value, str) else value
        if not isinstance(modules, dict):
            raise ValidationFailed(
                f"The document {service.modules} holds no Worker.",
                next='Write its source as a text, or modules by name: {"worker.js": "...", "page.html": "..."}.',
            )
        return {"main": main, "modules": modules}


def name_of(subject: Subject, service: Service) -> str:
    """What the Worker of a service is called where no project says it."""
    return f"{subject.label}-{service.name}"


def worker_of(name: str, said: dict[str, Any]) -> Worker:
    """A Worker of what was said of it.

    Raises:
        ValidationFailed: it makes none.
    """
    if "compatibility_date" not in said:
        raise ValidationFailed(f"The Worker {name} has no compatibility_date.", next="Name a day, such as 2026-01-01.")
    try:
        return Worker.model_validate(said)
    except ValidationError as error:
        raise ValidationFailed(
            f"The Worker {name} cannot be made: {complaints(error)}.",
            next="Mend its document of modules, its project's file or its service, then plan again.",
        ) from None


def secret_names(service: Service) -> dict[str, str]:
    """Which secret of the deployment each secret binding of a service is."""
    bound = {name: one.secret for name, one in service.bindings.items() if one.secret is not None}
    return {name: name for name in service.secrets} | bound


def _bound(said: dict[str, Any], service: Service) -> dict[str, Any]:
    """With what the deployment says: that counts before what the project says."""
    given = {name: getattr(service, name) for name in ("compatibility_date", "compatibility_flags", "crons")}
    said |= {name: value for name, value in given.items() if value}
    bindings, names = service.bindings, secret_names(service)
    ours = {*service.bindings, *service.env, *names}
    said["vars"] = _others(said.get("vars", {}), ours) | service.env | dict(_vars(bindings))
    said["beyond"] = _others(said.get("beyond", {}), ours) | dict(_beyond(bindings))
    said["kv"] = [*_unbound(said.get("kv", []), ours), *_stores(bindings, "kv", "namespace")]
    said["d1"] = [*_unbound(said.get("d1", []), ours), *_stores(bindings, "d1", "id")]
    return said | {"secrets": tuple(names)}


def _stores(bindings: dict[str, Binding], kind: str, member: str) -> Iterator[dict[str, Any]]:
    for name, one in bindings.items():
        if one.kind == kind:
            yield {"binding": name, member: getattr(one, kind)}


def _unbound(stores: list[dict[str, Any]], ours: set[str]) -> list[dict[str, Any]]:
    return [one for one in stores if one.get("binding") not in ours]


def _others(members: Any, ours: set[str]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in ours}


def _vars(bindings: dict[str, Binding]) -> Iterator[tuple[str, Any]]:
    for name, one in bindings.items():
        if one.kind in ("text", "json"):
            yield name, one.text if one.kind == "text" else one.json_value


def _beyond(bindings: dict[str, Binding]) -> Iterator[tuple[str, str]]:
    yield from ((name, _BEYOND[one.kind]) for name, one in bindings.items() if one.kind in _BEYOND)
