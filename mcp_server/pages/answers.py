"""What every page for people answers with: headers that let nobody else frame, keep or follow it, and a notice where it
has nothing to show. A link is a secret: nobody is told where the page was read."""

import hashlib
from base64 import b64encode
from functools import cache
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mcp_server.pages.rendering import render, static_text

DEAD_LINK = "This link does not work"
FAILED = "That did not work"


def closed(policy: str) -> dict[str, str]:
    """The headers of a page, with what its Content-Security-Policy says beyond refusing everything."""
    return {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": f"default-src 'none'; {policy}; frame-ancestors 'none'; base-uri 'none'",
    }


@cache
def form_headers() -> dict[str, str]:
    """Those of a page without script: its style is in it, and its form leads to itself."""
    style_hash = b64encode(hashlib.sha256(static_text("approval.css").encode()).digest()).decode()
    return closed(f"style-src 'sha256-{style_hash}'; form-action 'self'")


def notice(title: str, text: str, status: int) -> Response:
    """A page that says one thing."""
    return HTMLResponse(render("notice.html", title=title, text=text), status, form_headers())


def is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another site sent this."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        return True
    # A proxy in front may change the scheme, so the host alone is compared; `null` comes with no-referrer.
    return origin not in (None, "null") and urlsplit(origin).netloc != request.headers.get("host")
