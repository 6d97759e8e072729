"""Versions of Workers, uploaded once and shared out: whatever was done already is found by the run's mark."""

from mcp_server.domain.deployments.configuration import Service
from mcp_server.domain.deployments.targets import PhaseFailed, Subject, Work
from mcp_server.integrations.cloudflare.calling import CloudFailed, silent
from mcp_server.integrations.cloudflare.kv import KvNamespaces
from mcp_server.integrations.cloudflare.scripts import Scripts, Share, Version, bindings_of
from mcp_server.integrations.workers.model import Worker
from mcp_server.integrations.workers.revisions import nothing_kept
from mcp_server.integrations.workers.source import secret_names
from mcp_server.kernel.errors import InvalidTransition


class Uploads:
    """What a run uploads and shares out. Whatever fails raises `CloudFailed`."""

    def __init__(self, scripts: Scripts, kv: KvNamespaces) -> None:
        self._scripts = scripts
        self._kv = kv

    async def uploaded(self, work: Work, service: Service, worker: Worker) -> str:
        """The version that this run uploads; found where it is there already, or where going back means one."""
        exists = await self._scripts.exists(worker.name)
        message = _mark(work.subject)
        found = self._found(work, await self._scripts.versions(worker.name), message) if exists else None
        if found is not None:
            return found.id
        if work.operation == "rollback":
            raise _no_version(work.subject, worker)
        secrets = {binding: work.secret(name) for binding, name in secret_names(service).items()}
        bindings = bindings_of(worker, secrets, await self._kv_ids(work, worker))
        await work.guard()
        if exists:
            return await self._scripts.upload(worker, bindings, work.run_id, message)
        await self._scripts.create(worker, bindings, work.run_id, message)
        first = self._found(work, await self._scripts.versions(worker.name), message)
        if first is None:
            raise PhaseFailed(f"Cloudflare took {worker.name}, and does not list its version yet.", 2.0)
        return first.id

    async def uploaded_then(self, subject: Subject, worker: Worker) -> str:
        """The version that was uploaded for the revision that is gone back to.

        Raises:
            OpsError: there is none any more, or Cloudflare does not say.
        """
        try:
            exists = await self._scripts.exists(worker.name)
            versions = await self._scripts.versions(worker.name) if exists else []
        except CloudFailed as failed:
            raise silent(failed) from None
        found = next((one.id for one in versions if one.message == _mark(subject)), None)
        if found is None:
            raise _no_version(subject, worker)
        return found

    @staticmethod
    def _found(work: Work, versions: list[Version], message: str) -> Version | None:
        """The version of this run; or, going back, the newest that was uploaded for the revision."""
        meant = message if work.operation == "rollback" else None
        found = (one for one in versions if one.tag == work.run_id or (meant and one.message == meant))
        return next(found, None)

    async def shared(self, work: Work, name: str, shares: list[Share]) -> None:
        """Have versions answer from now on, unless they do already."""
        if shares and await self._scripts.shares(name) != shares:
            await work.guard()
            await self._scripts.share(name, shares, f"run {work.run_id}")

    async def _kv_ids(self, work: Work, worker: Worker) -> dict[str, str]:
        """Cloudflare's id of each KV binding."""
        return {one.binding: one.id or await self._kv_id(work, one.namespace or "") for one in worker.kv}

    async def _kv_id(self, work: Work, title: str) -> str:
        """A namespace is found by its title, or made."""
        found = (await self._kv.titles()).get(title)
        if found is not None:
            return found
        await work.guard()
        return await self._kv.create(title)


def _mark(subject: Subject) -> str:
    """What a version says of itself: for which revision of what it was uploaded."""
    return f"{subject.id}@{subject.revision}"


def _no_version(subject: Subject, worker: Worker) -> InvalidTransition:
    return nothing_kept(subject, f"No version of {worker.name} is there that was uploaded for it")
