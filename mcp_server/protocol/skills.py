"""`skills/*`: the extension `io.modelcontextprotocol/skills`, by which clients learn of the skills that are served as
resources."""

from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND

from mcp_server.kernel.authority import Permission
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.quoting import named
from mcp_server.protocol.caching import LASTS
from mcp_server.protocol.seam import RequestContext, Seam, protocol_error
from resources.skills import SKILLS

EXTENSION = "io.modelcontextprotocol/skills"


class SkillParams(types.RequestParams):
    """Which skill, by the URI of its `SKILL.md`."""

    uri: str


class Skills:
    """The skills of this server, to whoever may see tasks."""

    def __init__(self, seam: Seam) -> None:
        self._seam = seam

    async def list_skills(self, ctx: RequestContext, params: types.PaginatedRequestParams | None) -> dict[str, Any]:
        """All of them, each with the digests of its files."""
        del params
        self._require(ctx)
        return {"resultType": "complete", "skills": [skill.entry() for skill in SKILLS], **LASTS}

    async def get_skill(self, ctx: RequestContext, params: SkillParams) -> dict[str, Any]:
        """One of them.

        Raises:
            MCPError: there is none of that URI.
        """
        self._require(ctx)
        skill = next((skill for skill in SKILLS if skill.uri == params.uri), None)
        if skill is None:
            known = ", ".join(one.uri for one in SKILLS)
            message = f"There is no skill {named(params.uri)}. This server has: {known}."
            raise MCPError(code=INVALID_PARAMS, message=message, data={"uri": params.uri})
        return {"resultType": "complete", "skill": skill.entry(), **LASTS}

    def _require(self, ctx: RequestContext) -> None:
        reached = self._seam.reached(ctx)
        if reached is not None and "tasks" not in reached:
            raise MCPError(code=METHOD_NOT_FOUND, message="Method not found", data=ctx.method)
        try:
            self._seam.actor_of(ctx).require(Permission.TASKS_READ)
        except OpsError as error:
            raise protocol_error(error, "skills") from error
