"""What providers post to this server."""

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mcp_server.domain.desk import Desk
from mcp_server.domain.email.model import OutcomeStatus
from mcp_server.kernel.errors import OpsError, PermissionDenied
from mcp_server.pages.bodies import read_body

BODY_BYTES_MAX = 1024 * 1024
Read = Callable[[bytes, str, str], Sequence[tuple[str, str, OutcomeStatus, str | None]]]
"""Checks a body against its signature and timestamp, and says what it tells: email id, address, status, message."""


def sendgrid_route(desk: Desk, read: Read) -> BaseRoute:
    """SendGrid's signed event webhook."""

    async def events(request: Request) -> Response:
        body = await read_body(request, BODY_BYTES_MAX)
        if body is None:
            return JSONResponse({"error": "too large"}, 413)
        signature = request.headers.get("x-twilio-email-event-webhook-signature", "")
        timestamp = request.headers.get("x-twilio-email-event-webhook-timestamp", "")
        try:
            news = await desk.emails.track(read(body, signature, timestamp))
        except PermissionDenied as error:
            return JSONResponse({"error": error.message}, 403)
        except OpsError as error:
            # SendGrid repeats what was not taken with 2xx.
            return JSONResponse({"error": error.message}, 400 if error.code == "validation" else 503)
        return JSONResponse({"news": news})

    return Route("/webhooks/sendgrid", events, methods=["POST"])
