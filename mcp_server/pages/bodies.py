"""Bodies of plain HTTP requests, as far as they are wanted."""

from starlette.requests import Request


async def read_body(request: Request, bytes_max: int) -> bytes | None:
    """A request's body; None where it is longer than wanted. No more than that is read."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            return None
    return body
