"""Static files that a Worker's project brings along, as plain data. Source: Cloudflare's static assets reference."""

import base64
import hashlib
import mimetypes
from pathlib import Path
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


class Asset(Frozen):
    """One file as it is uploaded."""

    content: bytes
    ending: str

    @property
    def encoded(self) -> str:
        """Its content as base64."""
        return base64.b64encode(self.content).decode()

    @property
    def hash(self) -> str:
        """What tells it apart, of 32 hex digits: two files of one content and ending are one."""
        return hashlib.sha256(f"{self.encoded}{self.ending}".encode()).hexdigest()[:32]

    @property
    def type(self) -> str:
        """The media type under which it is served."""
        kind = mimetypes.guess_type(f"x{self.ending}")[0] or "application/null"
        return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def uploads_of(assets: Assets) -> dict[str, Asset]:
    """What is uploaded, by path."""
    return {path: Asset(content=content, ending=Path(path).suffix) for path, content in assets.files.items()}
