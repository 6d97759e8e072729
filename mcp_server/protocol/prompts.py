"""`prompts/*`: ways of working that a person can start from the client's menu."""

from collections.abc import Mapping
from urllib.parse import quote

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from mcp_server.kernel.authority import Permission
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.quoting import named
from mcp_server.protocol.offer import Offer
from mcp_server.protocol.prompt_catalogue import PromptSpec
from mcp_server.protocol.seam import RequestContext, Seam, protocol_error
from tools import KNOWN

_DRAWN = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='#246' stroke-width='2'>"
    "<path d='M3 8h18M5 8v11m14-11v11M8 8V4h8v4m-8 5l2 2 4-4'/></svg>"
)
ICON = types.Icon(
    src=f"data:image/svg+xml,{quote(_DRAWN, safe='')}",  # strict clients refuse a list with one blank in a URI
    mime_type="image/svg+xml",
    sizes=["any"],
)
"""A desk with a tick on it."""


class Prompts:
    """The prompts that this server offers. A caller that may not use all the tools of one has no use for it."""

    def __init__(self, seam: Seam, offer: Offer) -> None:
        self._seam = seam
        self._offer = offer

    async def list_prompts(
        self, ctx: RequestContext, params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        """The prompts that the caller can use."""
        del params
        actor = self._seam.actor_of(ctx)
        return types.ListPromptsResult(
            prompts=[_listed(spec) for spec in self._offered(ctx).values() if _needs(spec) <= actor.permissions]
        )

    async def get_prompt(self, ctx: RequestContext, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        """One prompt, filled in.

        Raises:
            MCPError: unknown prompt, unknown argument, a required argument is missing, or the caller lacks a right.
        """
        offered = self._offered(ctx)
        spec = offered.get(params.name)
        if spec is None:
            names = ", ".join(offered)
            meant = did_you_mean(near(params.name, offered))
            message = f"Unknown prompt: {named(params.name)}. {meant}This server offers: {names}."
            raise MCPError(code=INVALID_PARAMS, message=message)
        try:
            for permission in sorted(_needs(spec)):
                self._seam.actor_of(ctx).require(permission)
        except OpsError as error:
            raise protocol_error(error, spec.name) from error
        given = params.arguments or {}
        _require_right(spec, given)
        text = spec.render(given)
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.GetPromptResult(description=spec.description, messages=[message])

    def _offered(self, ctx: RequestContext) -> dict[str, PromptSpec]:
        return {spec.name: spec for spec in self._offer.within(self._seam.reached(ctx)).prompts}


def _needs(spec: PromptSpec) -> set[Permission]:
    return {KNOWN[name].permission for name in spec.tools}


def _listed(spec: PromptSpec) -> types.Prompt:
    return types.Prompt(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        icons=[ICON],
        arguments=[
            types.PromptArgument(name=a.name, description=a.description, required=a.required) for a in spec.arguments
        ],
    )


def _require_right(spec: PromptSpec, given: Mapping[str, str]) -> None:
    known = {argument.name for argument in spec.arguments}
    wrong = [f"missing {a.name}" for a in spec.arguments if a.required and not given.get(a.name)]
    wrong += [f"unknown {named(name)}" for name in sorted(given.keys() - known)]
    if wrong:
        takes = ", ".join(
            f"{a.name} ({a.description.lower()}{'' if a.required else ', optional'})" for a in spec.arguments
        )
        message = f"Prompt {spec.name}: {', '.join(wrong)}. It takes: {takes}."
        raise MCPError(code=INVALID_PARAMS, message=message)
