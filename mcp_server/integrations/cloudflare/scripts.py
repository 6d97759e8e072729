"""Workers in an account of Cloudflare: what is there, versions, which of them answer."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.integrations.cloudflare.asset_uploads import AssetUploads
from mcp_server.integrations.cloudflare.calling import Calling, CloudFailed
from mcp_server.integrations.workers.model import ModuleKind, Worker, kind_of

_TYPES: dict[ModuleKind, str] = {
    "esm": "application/javascript+module",
    "commonjs": "application/javascript",
    "text": "text/plain",
    "data": "application/octet-stream",
    "wasm": "application/wasm",
    "json": "application/json",
}


class Version(NamedTuple):
    """An uploaded version of a Worker."""

    id: str
    tag: str | None
    message: str | None


class Share(NamedTuple):
    """How much of the requests a version answers."""

    version_id: str
    percent: float


class Scripts:
    """The Workers of one account. Whatever fails raises `CloudFailed`."""

    def __init__(self, calling: Calling) -> None:
        self._calling = calling
        self._scripts = calling.sdk.workers.scripts
        self._assets = AssetUploads(calling)

    async def exists(self, name: str) -> bool:
        """Whether there is a Worker of this name."""
        try:
            await self._calling.result(self._scripts.settings.with_raw_response.get, name)
        except CloudFailed as failed:
            if failed.status == 404:
                return False
            raise
        return True

    async def versions(self, name: str) -> list[Version]:
        """Its versions, newest first."""
        found = await self._calling.listed(self._scripts.versions.with_raw_response.list, name, member="items")
        return [_version(one) for one in found]

    async def shares(self, name: str) -> list[Share]:
        """Which versions answer now."""
        found = await self._calling.result(self._scripts.deployments.with_raw_response.list, name)
        deployments: list[Any] = found["deployments"] if found else []
        if not deployments:
            return []
        return [Share(one["version_id"], float(one["percentage"])) for one in deployments[0]["versions"]]

    async def create(self, worker: Worker, bindings: Sequence[Mapping[str, Any]], tag: str, message: str) -> None:
        """Upload the first version, which answers at once."""
        said = await self._metadata(worker, bindings, tag, message)
        request = self._scripts.with_raw_response.update
        await self._calling.result(request, worker.name, metadata=said, files=_files(worker))

    async def upload(self, worker: Worker, bindings: Sequence[Mapping[str, Any]], tag: str, message: str) -> str:
        """Upload a further version, which answers nothing yet; its id."""
        said = await self._metadata(worker, bindings, tag, message)
        request = self._scripts.versions.with_raw_response.create
        return (await self._calling.result(request, worker.name, metadata=said, files=_files(worker)))["id"]

    async def _metadata(
        self, worker: Worker, bindings: Sequence[Mapping[str, Any]], tag: str, message: str
    ) -> dict[str, Any]:
        said = _metadata(worker, bindings, tag, message)
        if worker.assets is None:
            return said
        return said | {
            "assets": {"jwt": await self._assets.token(worker.name, worker.assets), "config": worker.assets.config()}
        }

    async def share(self, name: str, shares: Sequence[Share], message: str) -> None:
        """Let versions answer from now on."""
        await self._calling.result(
            self._scripts.deployments.with_raw_response.create,
            name,
            strategy="percentage",
            versions=[{"version_id": one.version_id, "percentage": one.percent} for one in shares],
            annotations={"workers_message": message},
        )

    async def delete(self, name: str) -> None:
        """Take a Worker away; where there is none, that is done."""
        try:
            await self._calling.result(self._scripts.with_raw_response.delete, name, force=True)
        except CloudFailed as failed:
            if failed.status != 404:
                raise

    async def settings(self, name: str) -> dict[str, Any]:
        """What it is bound to, without secrets' values, which Cloudflare does not tell."""
        found = await self._calling.result(self._scripts.script_and_version_settings.with_raw_response.get, name)
        bindings = sorted(found.get("bindings") or [], key=lambda one: one["name"])
        date, flags = found.get("compatibility_date"), sorted(found.get("compatibility_flags") or [])
        return {"bindings": bindings, "compatibility_date": date, "compatibility_flags": flags}


def bindings_of(worker: Worker, secrets: Mapping[str, str], kv_ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """What a Worker is bound to, as Cloudflare has it.

    Args:
        worker: which.
        secrets: the values of its secrets.
        kv_ids: Cloudflare's id of each KV binding's namespace.
    """
    return [
        *(_variable(name, value) for name, value in worker.vars.items()),
        *({"type": "secret_text", "name": name, "text": secrets[name]} for name in worker.secrets),
        *({"type": "kv_namespace", "name": one.binding, "namespace_id": kv_ids[one.binding]} for one in worker.kv),
        *({"type": "d1", "name": one.binding, "id": one.id} for one in worker.d1),
        *({"type": "assets", "name": name} for name in _assets_binding(worker)),
    ]


def _assets_binding(worker: Worker) -> list[str]:
    """The name under which a Worker's code reaches its files."""
    return [] if worker.assets is None or worker.assets.binding is None else [worker.assets.binding]


def _variable(name: str, value: Any) -> dict[str, Any]:
    """A variable as Cloudflare has it: a text, or any other JSON."""
    if isinstance(value, str):
        return {"type": "plain_text", "name": name, "text": value}
    return {"type": "json", "name": name, "json": value}


def _metadata(worker: Worker, bindings: Sequence[Mapping[str, Any]], tag: str, message: str) -> dict[str, Any]:
    return {
        "main_module": worker.main,
        "compatibility_date": worker.compatibility_date,
        "compatibility_flags": list(worker.compatibility_flags),
        "bindings": list(bindings),
        "annotations": {"workers_tag": tag[:100], "workers_message": message[:1000]},
    }


def _files(worker: Worker) -> list[tuple[str, bytes, str]]:
    """The modules of a Worker as parts of a form."""
    return [(name, content, _TYPES[kind_of(name)]) for name, content in worker.modules.items()]


def _version(one: Mapping[str, Any]) -> Version:
    """A version of which Cloudflare tells."""
    noted: Mapping[str, Any] = one.get("annotations") or {}
    return Version(one["id"], noted.get("workers/tag"), noted.get("workers/message"))
