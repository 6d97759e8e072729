"""Who may answer: the one place where it is decided whether an answer of a person counts."""

from typing import Literal, NamedTuple

from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import PermissionDenied

Via = Literal["client", "command line", "link", "call"]


class Voter(NamedTuple):
    """A person who answers, and how it was proved who that is. Only channels make one.

    Attributes:
        name: of the user, or the mailbox.
        via: the channel.
        proved_by: `session`: the caller is that user, with the right to decide. `link`: a signed link of this person's.
    """

    name: str
    via: Via
    proved_by: Literal["session", "link"]


def user_at(call: Call, via: Via) -> Voter:
    """The user who calls, as voter.

    Raises:
        PermissionDenied: an agent, the server, or a user without the right to decide.
    """
    voter = Voter(call.actor.id, via, "session")
    require_voter(call, voter)
    return voter


def require_voter(call: Call, voter: Voter) -> None:
    """Refuse an answer that is not a person's own.

    Raises:
        PermissionDenied: an agent, the server, another than who is said to answer, or without the right to decide.
    """
    call.actor.require_person()
    if voter.name != call.actor.id:
        raise PermissionDenied(f"{call.actor.label} cannot answer for {voter.name}.", next="Each answers alone.")
    if voter.proved_by == "session":
        call.actor.require(Permission.TASKS_APPROVE)
