"""What answers this machine alone."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mcp_server.kernel.hosts import LOOPBACK, Hosts


def only_here(app: WSGIApplication) -> WSGIApplication:
    """The application, but not for pages that reach this machine by a name of theirs (DNS rebinding)."""
    hosts = Hosts(LOOPBACK)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if hosts.admits(environ.get("HTTP_HOST", "")):
            return app(environ, start_response)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain")])
        return [b"This server has no such name."]

    return answer
