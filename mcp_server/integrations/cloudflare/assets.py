"""Static files as Cloudflare takes them: by a hash, as base64, with the media type under which they are served."""

import base64
import hashlib
import mimetypes
from pathlib import Path

from mcp_server.integrations.workers.assets import Assets
from mcp_server.kernel.values import Frozen


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
