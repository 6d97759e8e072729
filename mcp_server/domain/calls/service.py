"""Use cases of calls. The page uses `invitation` and `join`."""

from mcp_server.domain.calls.joining import Invitation, JoinCall, Joined
from mcp_server.kernel.services import Services


class CallService:
    """Open calls, speak in them, join them."""

    def __init__(self, services: Services) -> None:
        self._context = services.context

    async def invitation(self, token: str) -> Invitation:
        """What a link leads to; uses nothing up.

        Raises:
            LinkUnknown: no such link.
            LinkOver: its time is over, or the call has ended.
        """
        raise NotImplementedError

    async def join(self, token: str, command: JoinCall) -> Joined:
        """Take part by a link.

        Raises:
            LinkUnknown: no such link (404).
            LinkUsed: somebody has joined by it, and `resume` is not what that one was given (403).
            LinkOver: its time is over, or the call has ended (410).
            ValidationFailed: the offer is none; the link stays good (400).
            LimitExceeded: too many calls or participants (429).
            Unavailable: the process that holds the call does not answer; the link stays good (503).
        """
        raise NotImplementedError
