"""Assets at Cloudflare: what it does not have yet is uploaded, in the parts that it asks for."""

from collections.abc import Sequence
from typing import Any

from mcp_server.integrations.cloudflare.assets import Asset, uploads_of
from mcp_server.integrations.cloudflare.calling import BUSY_SECONDS, Calling, CloudFailed
from mcp_server.integrations.workers.assets import Assets

_RAW = {"X-Stainless-Raw-Response": "raw"}
"""How the SDK is told to hand an answer on as it is. Its own method for this sends no media types."""


class AssetUploads:
    """Uploads the assets of Workers. Whatever fails raises `CloudFailed`; what arrived need not be sent again."""

    def __init__(self, calling: Calling) -> None:
        """Nothing is sent yet."""
        self._calling = calling

    async def token(self, worker: str, assets: Assets) -> str:
        """What a version names its assets by. Where all of them are there, that is what the session is told."""
        uploads = uploads_of(assets)
        session = await self._begun(worker, uploads)
        by_hash = {one.hash: one for one in uploads.values()}
        token = None if session["buckets"] else session["jwt"]
        for part in session["buckets"]:
            token = await self._sent(session["jwt"], [by_hash[name] for name in part]) or token
        if token is None:
            raise CloudFailed("unknown", "Cloudflare took the assets, and told no token for them", None, BUSY_SECONDS)
        return token

    async def _begun(self, worker: str, uploads: dict[str, Asset]) -> dict[str, Any]:
        """A session: its token, and the hashes of what is missing there, in parts."""
        manifest = {path: {"hash": one.hash, "size": len(one.content)} for path, one in uploads.items()}
        begin = self._calling.sdk.workers.scripts.assets.upload.with_raw_response.create
        session: dict[str, Any] = await self._calling.result(begin, worker, manifest=manifest)
        return session | {"buckets": session.get("buckets") or []}

    async def _sent(self, session: str, part: Sequence[Asset]) -> str | None:
        """Send a part; with the last one, the token of all."""
        files = [(one.hash, (one.hash, one.encoded.encode(), one.type)) for one in part]
        told: dict[str, Any] | None = await self._calling.result(self._post, session=session, files=files)
        return None if told is None else told.get("jwt")

    async def _post(self, *, account_id: str, session: str, files: Any) -> Any:
        """One request of a session, which counts by the session's token and not by the account's."""
        headers = _RAW | {"Authorization": f"Bearer {session}", "Content-Type": "multipart/form-data"}
        return await self._calling.sdk.post(
            f"/accounts/{account_id}/workers/assets/upload",
            cast_to=object,
            files=files,
            options={"headers": headers, "params": {"base64": "true"}},
        )
