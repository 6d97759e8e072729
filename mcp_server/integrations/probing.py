"""Requests that show whether a service works: what it answered is the evidence."""

import asyncio
from typing import Any
from urllib.parse import urljoin

import httpx2

from mcp_server.domain.deployments.configuration import Probe
from mcp_server.kernel.json_text import storable
from mcp_server.kernel.quoting import quoted

BODY_BYTES_MAX = 256 * 1024
BODY_SHOWN = 300
PAUSE_SECONDS = 0.2
PAUSE_SECONDS_MAX = 3.0


async def probe(url: str, wanted: Probe) -> dict[str, Any]:
    """Ask until the answer is what is wanted, or the attempts are used up; see `Prober`. Redirects are answers."""
    pause, told = PAUSE_SECONDS, dict[str, Any]()
    is_tls = url.startswith("https:")  # else no certificates are loaded, which takes as long as many requests
    async with httpx2.AsyncClient(timeout=wanted.timeout_seconds, trust_env=False, verify=is_tls) as client:
        for attempt in range(1, wanted.attempts + 1):
            told = await _asked(client, urljoin(url, wanted.path), wanted) | {"attempts": attempt}
            if told["ok"] or attempt == wanted.attempts:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, PAUSE_SECONDS_MAX)
    return told


async def _asked(client: httpx2.AsyncClient, url: str, wanted: Probe) -> dict[str, Any]:
    try:
        async with asyncio.timeout(wanted.timeout_seconds), client.stream("GET", url) as answer:
            body = await _start_of(answer)
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        return {"ok": False, "url": url, "said": f"no answer ({type(error).__name__}: {error})"[:300]}
    text = body.decode("utf-8", "replace")
    told = {"url": url, "status": answer.status_code, "body": storable(text, BODY_SHOWN)}
    if answer.status_code != wanted.status:
        return told | {"ok": False, "said": f"status {answer.status_code} instead of {wanted.status}"}
    if wanted.contains is not None and wanted.contains not in text:
        return told | {"ok": False, "said": f"status {answer.status_code} without {quoted(wanted.contains)}"}
    return told | {"ok": True, "said": f"status {answer.status_code}"}


async def _start_of(answer: httpx2.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) >= BODY_BYTES_MAX:
            break
    return body[:BODY_BYTES_MAX]
