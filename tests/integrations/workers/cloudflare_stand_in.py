"""A stand-in of Cloudflare's API on loopback: it refuses what the real one refuses, can be told to answer otherwise,
and serves what was uploaded in workerd."""

import base64
import itertools
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mcp_server.integrations.workers.model import Worker
from mcp_server.integrations.workers.place import Place
from mcp_server.integrations.workers.workerd import serve
from tests.integrations.workers.programs import WORKERD
from tests.web import served

TOKEN, ACCOUNT = "cf-token-hush", "acc0"
TYPES = {"application/javascript+module", "application/javascript", "text/plain", "application/wasm"}
CONFIG = {"html_handling", "not_found_handling", "run_worker_first", "_headers", "_redirects"}
TYPES |= {"application/octet-stream", "application/json"}


@dataclass
class Script:
    """A Worker of the account."""

    versions: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    crons: list[str] = field(default_factory=list)
    subdomain: dict[str, Any] = field(default_factory=dict)


class Refused(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        self.answer = JSONResponse(
            {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}, status
        )


class Cloudflare:
    """One account. `answers` are given instead, one a request; `after` ones once the request was carried out."""

    def __init__(self, folder: Path) -> None:
        self.scripts: dict[str, Script] = {}
        self.namespaces: dict[str, dict[str, Any]] = {}
        self.values: dict[str, dict[str, dict[str, Any]]] = {}
        self.domains: dict[str, dict[str, Any]] = {}
        self.routes: dict[str, dict[str, Any]] = {}
        self.seen: list[str] = []
        self.answers: deque[tuple[str, Response | None]] = deque()
        self.after: deque[tuple[str, Response | None]] = deque()
        self.kv_limit = 1000
        self.assets: dict[str, tuple[bytes, str]] = {}
        self.sessions: dict[str, dict[str, dict[str, Any]]] = {}
        self.unsuccessful: set[str] = set()
        self._folder = folder
        self._ids = itertools.count(1)
        self._running: dict[str, Place] = {}

    def id(self) -> str:
        return f"{next(self._ids):032x}"

    async def answer(self, request: Request) -> Response:
        word = f"{request.method} {request.path_params['path']}"
        if self.answers and word.startswith(self.answers[0][0]):
            self.seen.append(word)
            return self.answers.popleft()[1] or Response(status_code=200, headers={"content-length": "9"})
        try:
            result = await self._done(request)
        except Refused as refused:
            return refused.answer
        self.seen.append(word)
        if self.after and word.startswith(self.after[0][0]):
            return self.after.popleft()[1] or Response(b"", 200)
        if isinstance(result, Response):
            return result
        extra = result.pop("__info__", None) if isinstance(result, dict) else None
        body = {"success": True, "errors": [], "messages": [], "result": result}
        return JSONResponse(body if extra is None else body | {"result": result["items"], "result_info": extra})

    async def _done(self, request: Request) -> Any:  # noqa: C901
        if request.path_params["path"] == f"accounts/{ACCOUNT}/workers/assets/upload":
            return await self._asset(request)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(401, 10000, "Authentication error")
        parts = request.path_params["path"].split("/")
        if parts[0] == "zones":
            return await self._zone(request, parts[1:])
        if parts[:2] != ["accounts", ACCOUNT]:
            raise Refused(403, 10000, "no such account")
        match parts[2:]:
            case ["workers", "subdomain"]:
                return {"subdomain": "desk"}
            case ["workers", "domains", *rest]:
                return await self._domain(request, rest)
            case ["workers", "scripts", _, "assets-upload-session"] if request.method == "POST":
                return self._session((await request.json())["manifest"])
            case ["workers", "scripts", name, *rest]:
                return await self._script(request, name, rest)
            case ["storage", "kv", "namespaces", *rest]:
                return await self._kv(request, rest)
            case _:
                raise Refused(404, 7003, f"Could not route to {request.url.path}")

    async def _domain(self, request: Request, rest: list[str]) -> Any:
        match request.method, rest:
            case "GET", []:
                hostname = request.query_params.get("hostname")
                return [one for one in self.domains.values() if hostname in (None, one["hostname"])]
            case "PUT", []:
                said = await request.json()
                if said["service"] not in self.scripts:
                    raise Refused(400, 100117, "the service is not there")
                old = (key for key, one in self.domains.items() if one["hostname"] == said["hostname"])
                key = next(old, self.id())
                self.domains[key] = said | {"id": key}
                return self.domains[key]
            case "DELETE", [key] if key in self.domains:
                del self.domains[key]
                return None
            case _:
                raise Refused(404, 100114, "no such domain")

    async def _zone(self, request: Request, rest: list[str]) -> Any:  # noqa: C901
        match request.method, rest:
            case "GET", []:
                if request.query_params.get("account.id", ACCOUNT) != ACCOUNT:
                    raise Refused(403, 10000, "no such account")
                return [{"id": "zone0", "name": "example.org"}] if request.query_params["name"] == "example.org" else []
            case method, ["zone0", "workers", "routes", *key]:
                said = await request.json() if method in ("POST", "PUT") else {}
                if set(said) - {"pattern", "script"} or said.get("script") not in {None, *self.scripts}:
                    raise Refused(400, 10019, f"bad route {said}")
                if method == "GET" and not key:
                    return list(self.routes.values())
                if method == "POST" and any(one["pattern"] == said["pattern"] for one in self.routes.values()):
                    raise Refused(409, 10020, "A route with the same pattern already exists.")
                if method != "POST" and (not key or key[0] not in self.routes):
                    raise Refused(404, 10020, "no such route")
                id_ = key[0] if key else self.id()
                if method == "DELETE":
                    del self.routes[id_]
                    return {"id": id_}
                self.routes[id_] = said | {"id": id_}
                return self.routes[id_]
            case _:
                raise Refused(403, 9109, "no such zone")

    async def _script(self, request: Request, name: str, rest: list[str]) -> Any:  # noqa: C901
        if request.method == "PUT" and not rest:
            script = self.scripts.setdefault(name, Script())
            version = await self._version(request, script)
            self._share(script, [{"version_id": version["id"], "percentage": 100}])
            return {"id": name}
        script = self.scripts.get(name)
        if script is None:
            raise Refused(404, 10007, "This Worker does not exist on your account.")
        match request.method, rest:
            case "DELETE", []:
                del self.scripts[name]
                return None
            case "GET", ["settings"]:
                newest = next(
                    v for v in script.versions if v["id"] == script.deployments[0]["versions"][0]["version_id"]
                )
                bindings = [{k: v for k, v in one.items() if one["type"] != "secret_text" or k != "text"}
                            for one in newest["metadata_in"]["bindings"]]  # fmt: skip
                return {"bindings": bindings, "compatibility_date": newest["metadata_in"]["compatibility_date"]}
            case "GET", ["script-settings"]:
                return {"logpush": False}
            case "POST", ["versions"]:
                return shown(await self._version(request, script))
            case "GET", ["versions"]:
                return {"items": [shown(one) for one in page(request, script.versions)]}
            case "GET", ["deployments"]:
                return {"deployments": script.deployments}
            case "POST", ["deployments"]:
                return self._share(script, (await request.json())["versions"], script.versions)
            case "GET", ["schedules"]:
                return {"schedules": [{"cron": cron} for cron in script.crons]}
            case "PUT", ["schedules"]:
                script.crons = [one["cron"] for one in await request.json()]
                return {"schedules": [{"cron": cron} for cron in script.crons]}
            case "GET", ["subdomain"]:
                return {"enabled": script.subdomain.get("enabled", False), "previews_enabled": False}
            case "POST", ["subdomain"]:
                script.subdomain = await request.json()
                return script.subdomain
            case _:
                raise Refused(405, 10405, f"{request.method} {rest}")

    def _session(self, manifest: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """What of a Worker's assets is missing, in parts of two; where nothing is, its token is the last one."""
        for path, one in manifest.items():
            if not path.startswith("/") or len(one["hash"]) != 32 or not isinstance(one["size"], int):
                raise Refused(400, 10021, f"bad manifest: {path} {one}")
        missing = sorted({one["hash"] for one in manifest.values()} - self.assets.keys())
        token = f"{'session' if missing else 'whole'}-{self.id()}"
        self.sessions[token] = manifest
        return {"jwt": token, "buckets": [missing[start : start + 2] for start in range(0, len(missing), 2)]}

    async def _asset(self, request: Request) -> Any:
        session = request.headers.get("authorization", "").removeprefix("Bearer ")
        if session not in self.sessions or request.query_params.get("base64") != "true":
            raise Refused(401, 10000, "no such session")
        async with request.form() as form:
            for name, part in form.multi_items():
                assert not isinstance(part, str) and part.content_type, "its media type is how it is served"
                content = base64.b64decode(await part.read(), validate=True)
                if not any(
                    (one["hash"], one["size"]) == (name, len(content)) for one in self.sessions[session].values()
                ):
                    raise Refused(400, 10021, f"{name} is not in the manifest")
                self.assets[name] = content, part.content_type
        missing = {one["hash"] for one in self.sessions[session].values()} - self.assets.keys()
        return {} if missing else {"jwt": self._complete(session)}

    def _complete(self, session: str) -> str:
        self.sessions[f"whole-{session}"] = self.sessions[session]
        return f"whole-{session}"

    def _manifest(self, assets: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The assets of a version, which all have to be there."""
        manifest = self.sessions.get(assets["jwt"]) if assets["jwt"].startswith("whole-") else None
        if manifest is None or {one["hash"] for one in manifest.values()} - self.assets.keys():
            raise Refused(400, 10021, "assets are missing")
        if set(assets) != {"jwt", "config"} or set(assets["config"]) - CONFIG:
            raise Refused(400, 10021, f"bad assets: {sorted(assets['config'])}")
        return manifest

    def _served_asset(self, version: dict[str, Any], path: str) -> Response | None:
        """A file, as `auto-trailing-slash` finds it."""
        for name in (path, f"{path}.html", f"{path.rstrip('/')}/index.html"):
            if (found := version["assets"].get(name)) is not None:
                content, kind = self.assets[found["hash"]]
                return Response(content, media_type=kind)
        return None

    async def _version(self, request: Request, script: Script) -> dict[str, Any]:  # noqa: C901
        """What is uploaded: a form of `metadata` and of modules, each of them named `files`."""
        modules: dict[str, bytes] = {}
        async with request.form() as form:
            for name, part in form.multi_items():
                if name == "metadata":
                    metadata = json.loads(part if isinstance(part, str) else await part.read())
                elif name != "files" or isinstance(part, str) or part.content_type not in TYPES:
                    raise Refused(400, 10021, f"a part {name!r} is no module")
                else:
                    modules[part.filename or ""] = await part.read()
        if metadata.get("main_module") not in modules:
            raise Refused(400, 10021, "No such module: main_module")
        if set(metadata) - {
            "main_module",
            "compatibility_date",
            "compatibility_flags",
            "bindings",
            "annotations",
            "assets",
        }:
            raise Refused(400, 10021, f"unknown metadata: {sorted(metadata)}")
        if set(metadata["annotations"]) != {"workers/tag", "workers/message"}:
            raise Refused(400, 10021, f"unknown annotations: {metadata['annotations']}")
        known = set(self.namespaces)
        for one in metadata["bindings"]:
            if one["type"] == "kv_namespace" and one["namespace_id"] not in known:
                raise Refused(400, 10041, "KV namespace not found")
        made = {"id": self.id(), "number": len(script.versions) + 1, "modules": modules, "metadata_in": metadata}
        made["assets"] = self._manifest(metadata["assets"]) if "assets" in metadata else {}
        script.versions.insert(0, made | {"annotations": metadata["annotations"]})
        return script.versions[0]

    def _share(self, script: Script, versions: list[Any], known: list[Any] | None = None) -> dict[str, Any]:
        ids = [one["id"] for one in known or script.versions]
        if sum(one["percentage"] for one in versions) != 100 or any(one["version_id"] not in ids for one in versions):
            raise Refused(400, 10113, "The percentages must total 100, of versions that are there")
        script.deployments.insert(0, {"id": self.id(), "strategy": "percentage", "versions": versions})
        return script.deployments[0]

    async def _kv(self, request: Request, rest: list[str]) -> Any:
        match request.method, rest:
            case "GET", []:
                return page(request, list(self.namespaces.values()))
            case "POST", []:
                title = (await request.json())["title"]
                if any(one["title"] == title for one in self.namespaces.values()):
                    raise Refused(400, 10014, "a namespace with this account ID and title already exists")
                made = {"id": self.id(), "title": title}
                self.namespaces[made["id"]], self.values[made["id"]] = made, {}
                return made
        if not rest or rest[0] not in self.values:
            raise Refused(404, 10013, "namespace not found")
        return await self._values(request, self.values[rest[0]], rest[1:])

    async def _values(self, request: Request, values: dict[str, dict[str, Any]], rest: list[str]) -> Any:  # noqa: C901
        match request.method, rest:
            case "GET", ["keys"]:
                start, limit = (
                    int(request.query_params.get("cursor", "0")),
                    min(int(request.query_params["limit"]), self.kv_limit),
                )
                names = sorted(values)[start : start + limit]
                cursor = str(start + limit) if start + limit < len(values) else ""
                kept = ("metadata", "expiration")
                items = [{"name": name} | {k: values[name][k] for k in kept if k in values[name]} for name in names]
                return {"items": items, "__info__": {"count": len(items), "cursor": cursor}}
            case "GET", ["values", *key]:
                return Response(values["/".join(key)]["content"], media_type="application/octet-stream")
            case "PUT", ["bulk"]:
                body = await request.json()
                if len(body) > 10_000 or not all({"key", "value"} <= set(one) for one in body):
                    raise Refused(400, 10026, "bad bulk request")
                if any(len(one["key"].encode()) > 512 or one["key"] in (".", "..") for one in body):
                    raise Refused(400, 10028, "a key is not allowed")
                for one in body:
                    if one["key"] not in self.unsuccessful:
                        content = base64.b64decode(one["value"]) if one.get("base64") else one["value"].encode()
                        values[one["key"]] = one | {"content": content}
                return {"successful_key_count": len(body), "unsuccessful_keys": sorted(self.unsuccessful)}
            case "POST", ["bulk", "delete"]:
                for key in await request.json():
                    values.pop(key, None)
                return {"unsuccessful_keys": []}
            case "POST", ["bulk", "get"]:
                body = await request.json()
                if len(body["keys"]) > 100:
                    raise Refused(400, 10026, "at most 100 keys")
                return {
                    "values": {
                        key: values[key]["content"].decode(errors="replace") if key in values else None
                        for key in body["keys"]
                    }
                }
            case _:
                raise Refused(405, 10405, f"{request.method} {rest}")

    async def visit(self, request: Request) -> Response:
        """The only Worker, as Cloudflare would serve it: by the version that answers most requests."""
        (name,) = self.scripts
        script = self.scripts[name]
        wanted = max(script.deployments[0]["versions"], key=lambda one: one["percentage"])["version_id"]
        version = next(one for one in script.versions if one["id"] == wanted)
        file = self._served_asset(version, request.url.path)
        if file is not None:
            return file
        url = await self._served(name, version)
        async with httpx2.AsyncClient() as client:
            answer = await client.get(f"{url}{request.url.path}")
        return Response(answer.content, answer.status_code)

    async def _served(self, name: str, version: dict[str, Any]) -> str:
        place = self._running.setdefault(version["id"], Place(self._folder / version["id"]))
        said = version["metadata_in"]
        by = {
            kind: [one for one in said["bindings"] if one["type"] == kind]
            for kind in ("plain_text", "json", "secret_text")
        }
        worker = Worker.model_validate(
            {
                "name": name,
                "modules": {
                    path: {"base64": base64.b64encode(content).decode()} for path, content in version["modules"].items()
                },
                "main": said["main_module"],
                "compatibility_date": said["compatibility_date"],
                "vars": {one["name"]: one["text"] for one in by["plain_text"]}
                | {one["name"]: one["json"] for one in by["json"]},
                "secrets": [one["name"] for one in by["secret_text"]],
            }
        )
        assert WORKERD is not None
        return await serve(WORKERD, worker, place, {one["name"]: one["text"] for one in by["secret_text"]}, None)

    async def close(self) -> None:
        for place in self._running.values():
            await place.stop(grace_seconds=0)


def shown(version: dict[str, Any]) -> dict[str, Any]:
    return {name: version[name] for name in ("id", "number", "annotations")}


def page(request: Request, items: list[Any]) -> list[Any]:
    size = int(request.query_params.get("per_page", 10))
    start = (int(request.query_params.get("page", 1)) - 1) * size
    return items[start : start + size]


def error(status: int, message: str = "told to", **headers: str) -> Response:
    return JSONResponse(
        {"success": False, "errors": [{"code": 1, "message": message}], "messages": []}, status, headers
    )


@asynccontextmanager
async def cloudflare(folder: Path) -> AsyncGenerator[tuple[Cloudflare, str, str]]:
    """The stand-in, the address of its API, and where its only Worker answers."""
    one = Cloudflare(folder)
    methods = ["GET", "PUT", "POST", "PATCH", "DELETE"]
    routes: list[tuple[str, Callable[..., Any]]] = [("/client/v4/{path:path}", one.answer), ("/{path:path}", one.visit)]
    async with AsyncExitStack() as stack:
        api, site = [
            await stack.enter_async_context(served(Starlette(routes=[Route(path, answer, methods=methods)])))
            for path, answer in routes
        ]
        stack.push_async_callback(one.close)
        yield one, f"{api}/client/v4", site
