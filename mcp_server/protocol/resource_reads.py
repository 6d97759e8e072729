"""`resources/*` and `completion/complete`."""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, cast

import mcp_types as types
from mcp.server.caching import apply_cache_hint
from mcp.shared.exceptions import MCPError
from mcp.shared.uri_template import UriTemplate
from mcp_types import INVALID_PARAMS

from mcp_server.domain.desk import Desk
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError, ValidationFailed
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.paging import decode_cursor, encode_cursor
from mcp_server.kernel.quoting import OTHERS_WORDS, named, quoted, shown_json
from mcp_server.kernel.views import View, dumped
from mcp_server.protocol import completions
from mcp_server.protocol.caching import LASTING
from mcp_server.protocol.seam import RequestContext, Seam, protocol_error
from resources.spec import Blob, Entry, Resource

JSON_TYPE = "application/json"
NOTICE = "notice"
SCHEME = "ops://"


class ResourceReads:
    """The resources that this server offers."""

    def __init__(self, desk: Desk, seam: Seam, resources: tuple[Resource, ...]) -> None:
        self._desk = desk
        self._seam = seam
        self._resources = [(UriTemplate.parse(resource.uri_template), resource) for resource in resources]

    async def list_resources(
        self, ctx: RequestContext, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """The resources that can be read as they are, then everything that is listed of the templates, page by page.

        Raises:
            MCPError: the cursor is not one of this list.
        """
        listed = [resource for resource in self._allowed(ctx) if resource.entries is not None]
        cursor = params.cursor if params is not None else None
        if cursor is None:
            plain = [_plain_resource(resource) for resource in self._allowed(ctx) if resource.plain_uri is not None]
            return types.ListResourcesResult(resources=plain, next_cursor=_cursor(listed, 0))

        async def page(call: Call) -> types.ListResourcesResult:
            name, inner = decode_cursor("resources", cursor, (str, str))
            names = [resource.name for resource in listed]
            if name not in names:
                raise ValidationFailed(f"{quoted(cursor[:80])} is not a cursor of this list.")
            number = names.index(name)
            resource = listed[number]
            assert resource.entries is not None, "only those that have entries are listed"
            entries, more = await resource.entries(self._desk, call, inner or None)
            following = _cursor(listed, number + 1) if more is None else encode_cursor("resources", [name, more])
            return types.ListResourcesResult(
                resources=[_listed(resource, entry) for entry in entries], next_cursor=following
            )

        try:
            return await self._seam.run(ctx, "resources", page)
        except OpsError as error:
            raise protocol_error(error, "resources/list") from error

    async def list_templates(
        self, ctx: RequestContext, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """The resources whose URI has parts to fill in."""
        del params
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=resource.uri_template,
                    name=resource.name,
                    title=resource.title,
                    description=resource.description,
                    mime_type=resource.mime_type,
                )
                for resource in self._allowed(ctx)
                if resource.is_template
            ]
        )

    async def read(self, ctx: RequestContext, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """One resource as JSON.

        Raises:
            MCPError: nothing has that URI, or the read was refused.
        """
        uri = str(params.uri)
        resource, parameters = self._match(ctx, uri)
        content = await self._content(ctx, uri, resource, parameters)
        if isinstance(content, Blob):
            return types.ReadResourceResult(contents=[_blob(uri, resource, content)])
        text = content if isinstance(content, str) else shown_json(dump_json(_marked(resource, _plain(content))))
        contents = [types.TextResourceContents(uri=uri, mime_type=resource.mime_type, text=text)]
        result = types.ReadResourceResult(contents=list(contents))
        return apply_cache_hint(result, LASTING) if resource.lasts(parameters) else result

    async def complete(self, ctx: RequestContext, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Values for an argument of a resource template or a prompt that begin with what has been typed."""
        known = params.context.arguments or {} if params.context else {}
        argument = params.argument

        async def complete(call: Call) -> list[str]:
            return await completions.complete(self._desk, call, argument.name, argument.value, known)

        try:
            values = await self._seam.run(ctx, "completion", complete)
        except OpsError as error:
            raise protocol_error(error, argument.name) from error
        return types.CompleteResult(completion=types.Completion(values=values, has_more=len(values) >= 100))

    async def allows(self, ctx: RequestContext, uri: str) -> bool:
        """Whether the URI is one of a resource that the caller may read."""
        try:
            await self.require(ctx, uri)
        except MCPError:
            return False
        return True

    async def require(self, ctx: RequestContext, uri: str) -> None:
        """Refuse a URI that names no resource, or one that the caller may not read: of what is private, as a read does.

        Raises:
            MCPError: saying which of the two.
        """
        resource, parameters = self._match(ctx, uri)
        if resource.private:
            await self._content(ctx, uri, resource, parameters)
            return
        try:
            actor = self._seam.actor_of(ctx)
            actor.require(resource.permission)
            if "namespace" in parameters:
                actor.scope.require_namespace(parameters["namespace"])
        except OpsError as error:
            raise protocol_error(error, uri) from error

    async def _content(self, ctx: RequestContext, uri: str, resource: Resource, parameters: Mapping[str, str]) -> Any:
        async def read(call: Call) -> Any:
            call.actor.require(resource.permission)
            return await resource.read(self._desk, call, parameters)

        try:
            return await self._seam.run(ctx, f"resource:{resource.name}", read)
        except OpsError as error:
            raise protocol_error(error, uri) from error

    def _allowed(self, ctx: RequestContext) -> list[Resource]:
        permissions = self._seam.actor_of(ctx).permissions
        return [resource for _, resource in self._reached(ctx) if resource.permission in permissions]

    def _reached(self, ctx: RequestContext) -> list[tuple[UriTemplate, Resource]]:
        toolsets = self._seam.reached(ctx)
        if toolsets is None:
            return self._resources
        return [one for one in self._resources if one[1].toolset in toolsets]

    def _match(self, ctx: RequestContext, uri: str) -> tuple[Resource, dict[str, str]]:
        reached = self._reached(ctx)
        for template, resource in reached:
            found = template.match(uri)
            if found is not None:
                return resource, cast("dict[str, str]", dict(found))
        templates = [resource.uri_template for _, resource in reached]
        raise MCPError(
            code=INVALID_PARAMS,
            message=f"There is no resource {named(uri)}. {did_you_mean(_near(uri, templates))}This server's resources: "
            f"{', '.join(templates)}.",
            data={"uri": uri},
        )


def _near(uri: str, templates: list[str]) -> list[str]:
    """The templates that a URI of none could be meant for: by what it is about, and whether it is one of them."""
    about, _, one = uri.removeprefix(SCHEME).partition("/")
    kinds = {template: re.split(r"\W", template.removeprefix(SCHEME))[0] for template in templates}
    meant = near(about, set(kinds.values()))
    return [template for template, kind in kinds.items() if kind in meant and ("/{" in template) == bool(one)]


def _blob(uri: str, resource: Resource, content: Blob) -> types.BlobResourceContents:
    data = b64encode(content.data).decode()
    return types.BlobResourceContents(uri=uri, mime_type=resource.mime_type, blob=data, _meta=dict(content.about))


def _plain_resource(resource: Resource) -> types.Resource:
    return types.Resource(
        uri=resource.plain_uri or "",
        name=resource.name,
        title=resource.title,
        description=resource.description,
        mime_type=resource.mime_type,
    )


def _listed(resource: Resource, entry: Entry) -> types.Resource:
    return types.Resource(
        uri=entry.uri,
        name=f"{resource.name} {one_line(entry.title)}",
        title=one_line(entry.title),
        description=entry.description,
        mime_type=JSON_TYPE,
        size=entry.size,
    )


def _cursor(listed: list[Resource], number: int) -> str | None:
    """The cursor to the first page of one of the templates that are listed; None after the last."""
    return encode_cursor("resources", [listed[number].name, ""]) if number < len(listed) else None


def _marked(resource: Resource, content: dict[str, Any]) -> dict[str, Any]:
    """The content with the sentence that what others wrote is theirs, where there may be some. It is a member of the
    JSON, since that is all that a resource is."""
    return {NOTICE: OTHERS_WORDS} | content if resource.others_words else content


def _plain(content: Any) -> Any:
    """Views as JSON without nulls, wherever they stand in a dict or list."""
    if isinstance(content, View):
        return dumped(content)
    if isinstance(content, dict):
        members = cast("dict[str, Any]", content)
        return {name: _plain(value) for name, value in members.items() if value is not None}
    if isinstance(content, list):
        return [_plain(item) for item in cast("list[Any]", content)]
    return content
