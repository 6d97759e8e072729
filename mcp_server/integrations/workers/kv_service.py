"""KV namespaces of Workers on this machine: workerd's protocol over loopback, answered from the desk's own state.

Each binding of a deployment has a token, which workerd sends with every request and the Worker's code never sees. It
alone decides which namespace is meant and in whose name is written.
"""

import base64
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from mcp_server.domain.state.commands import GetDocument, ListKeys, SetDocument
from mcp_server.domain.state.kv_values import Entry, to_document, to_entry
from mcp_server.domain.state.service import StateService
from mcp_server.domain.state.views import DocumentView
from mcp_server.integrations.workers.kv_tokens import Grant, KvTokens
from mcp_server.integrations.workers.kv_wire import (
    LIST_KEYS_MAX,
    asked_keys,
    bulk_value,
    key_after,
    key_in,
    listed,
    metadata_header,
    metadata_in,
    number,
    time_to_live,
)
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.call import Call, Clock
from mcp_server.kernel.complaints import complaints
from mcp_server.kernel.errors import Busy, LimitExceeded, NotFound, OpsError, PermissionDenied, ValidationFailed
from mcp_server.kernel.json_text import INPUT_BYTES_MAX
from mcp_server.kernel.times import SECOND

_STATUSES: tuple[tuple[type[OpsError], int], ...] = (
    (NotFound, 404),
    (LimitExceeded, 413),
    (PermissionDenied, 401),
    (ValidationFailed, 400),
    (Busy, 503),
)


class KvService:
    """An ASGI application."""

    def __init__(self, state: StateService, clock: Clock, tokens: KvTokens) -> None:
        self._state = state
        self._clock = clock
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            answer = await self._answered(request)
        except OpsError as error:
            status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 503)
            answer = Response(error.message, status)
        except ValidationError as error:
            answer = Response(f"This is not for a namespace of state: {complaints(error)}.", 400)
        await answer(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        grant = self._granted(request)
        call = Call(_actor(grant.deployment), f"kv-{grant.deployment}")
        path = request.scope["raw_path"].decode("ascii")
        if request.method == "POST" and path == "/bulk/get":
            return await self._bulk(call, grant.namespace, request)
        if request.method == "GET" and path == "/":
            return await self._listed(call, grant.namespace, request.query_params)
        key = key_in(path)
        if request.method == "GET":
            return await self._get(call, grant.namespace, key)
        if request.method == "PUT":
            return await self._put(call, grant.namespace, key, request)
        if request.method == "DELETE":
            return await self._delete(call, grant.namespace, key)
        return Response(f"{request.method} {path} is no request of a KV namespace.", 405)

    def _granted(self, request: Request) -> Grant:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant = self._tokens.grant(token) if scheme == "Bearer" else None
        if grant is None:
            raise PermissionDenied("This is the KV service of deployed Workers; the token is not one of theirs.")
        return grant

    async def _get(self, call: Call, namespace: str, key: str) -> Response:
        entry = await self._entry(call, namespace, key)
        if entry is None:
            return Response(f"There is nothing under {key!r}.", 404)
        headers = {} if entry.metadata is None else {"CF-KV-Metadata": metadata_header(entry.metadata)}
        return Response(entry.content, media_type="application/octet-stream", headers=headers)

    async def _put(self, call: Call, namespace: str, key: str, request: Request) -> Response:
        ttl = time_to_live(request.query_params, self._clock() / SECOND)
        entry = Entry(await _body(request), metadata_in(request.headers.get("cf-kv-metadata")))
        document = SetDocument(namespace=namespace, key=key, value=to_document(entry), ttl_seconds=ttl)
        await self._state.set(call, document)
        return Response(status_code=200)

    async def _delete(self, call: Call, namespace: str, key: str) -> Response:
        """KV does not say whether there was something."""
        try:
            await self._state.set(call, SetDocument(namespace=namespace, key=key, delete=True))
        except NotFound:
            return Response(status_code=200)
        return Response(status_code=200)

    async def _listed(self, call: Call, namespace: str, query: Mapping[str, str]) -> Response:
        limit = number(query, "key_count_limit", LIST_KEYS_MAX)
        if not 1 <= limit <= LIST_KEYS_MAX:
            raise ValidationFailed(f"Invalid key_count_limit of {limit}.", next=f"Use 1 to {LIST_KEYS_MAX}.")
        after = key_after(query.get("cursor"))
        command = ListKeys(namespace=namespace, prefix=query.get("prefix", ""), after=after, limit=limit + 1)
        rows = await self._state.keys(call, command)
        shown = rows[:limit]
        told: dict[str, Any] = {"keys": [listed(row) for row in shown], "list_complete": len(rows) <= limit}
        if len(rows) > limit:
            told["cursor"] = base64.urlsafe_b64encode(shown[-1]["key"].encode()).decode()
        return JSONResponse(told)

    async def _bulk(self, call: Call, namespace: str, request: Request) -> Response:
        asked = asked_keys(await _body(request))
        as_json, with_metadata = asked.get("type") == "json", bool(asked.get("withMetadata"))
        told: dict[str, Any] = {}
        for key in asked["keys"]:
            entry = await self._entry(call, namespace, key)
            told[key] = None if entry is None else bulk_value(key, entry, as_json, with_metadata)
        return JSONResponse(told)

    async def _entry(self, call: Call, namespace: str, key: str) -> Entry | None:
        try:
            document: DocumentView = await self._state.get(call, GetDocument(namespace=namespace, key=key))
        except NotFound:
            return None
        return to_entry(document.value)


def _actor(deployment: str) -> Actor:
    return Actor(
        kind="deployment", id=deployment, permissions=frozenset((Permission.STATE_READ, Permission.STATE_WRITE))
    )


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > INPUT_BYTES_MAX:
            raise LimitExceeded(f"A value of state has at most {INPUT_BYTES_MAX} bytes.")
    return bytes(content)
