"""Static files that a Worker's project brings along, as plain data. Source: Cloudflare's static assets reference."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from mcp_server.integrations.workers.content import Binding, Content
from mcp_server.kernel.values import Frozen

FILES_MAX = 500

RULES = {"_headers": "headers", "_redirects": "redirects"}
"""Files that are rules for the others and are not served."""

AssetPath = Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f]{1,1000}$")]


class Assets(Frozen):
    """Files by the path under which they are served, and how."""

    files: dict[AssetPath, Content] = Field(min_length=1, max_length=FILES_MAX)
    binding: Binding | None = None
    html_handling: Literal["auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"] | None = None
    not_found_handling: Literal["none", "404-page", "single-page-application"] | None = None
    run_worker_first: bool | tuple[str, ...] | None = None
    headers: str | None = None
    redirects: str | None = None

    def config(self) -> dict[str, Any]:
        """How they are served, in Cloudflare's words."""
        said = self.model_dump(include={"html_handling", "not_found_handling", "run_worker_first"}, exclude_none=True)
        rules = {name: getattr(self, member) for name, member in RULES.items()}
        return said | {name: text for name, text in rules.items() if text is not None}

    @property
    def size(self) -> int:
        """What they weigh."""
        return sum(map(len, self.files.values()))
