"""Why a call cannot be one of several, and what to do instead."""

from collections.abc import Sequence

from mcp_server.kernel.errors import OpsError, ValidationFailed
from mcp_server.kernel.quoting import named
from mcp_server.kernel.refusing import PROBLEMS
from tools import KNOWN

_CAN = "These can: "
_ON_ITS_OWN = "call it on its own, before or after"
_INSTEAD = {
    "approvals_request": "ask first on its own, and name what it answers in `depends_on` of a task made here; or give "
    "it these calls, which it makes once people have said yes",
}
"""Of tools that are left out, what to do where that is more than to call them."""

_WHY = {
    "messages_read": "only writes that neither wait nor ask can, and it takes messages out of an inbox; what it "
    "acknowledges is told the sender at once",
    "tasks_claim": "only writes that neither wait nor ask can, and who claims has to know what it got",
}
"""Of tools that change something, why they are left out nevertheless."""


class NotComposable(ValidationFailed):
    """A call that cannot be one of several, whatever the others are."""


def with_one_list(found: Sequence[OpsError]) -> Sequence[OpsError]:
    """Several refusals, of which the first alone lists what can be one of several: that is the same for all."""
    for error in [one for one in found if _CAN in one.message][1:]:
        error.message = error.wrong
    return found


def is_of_itself(error: OpsError) -> bool:
    """Whether a call is refused whatever the others are."""
    return PROBLEMS in error.details or isinstance(error, NotComposable)


def no_part(name: str, there: Sequence[str]) -> NotComposable:
    """The refusal of a tool that is none of those which can be one of several calls here."""
    from mcp_server.protocol.other_names import tools_like  # 0.2 MB of names

    known = name in KNOWN and not KNOWN[name].composable
    why = "no such tool is offered here"
    if name == "commit":
        why = "these land together as they are"
    elif known:
        why = f"{_WHY.get(name, 'only writes that neither wait nor ask can')}; {_INSTEAD.get(name, _ON_ITS_OWN)}"
    alike = [] if known else tools_like(name, there)
    can = "" if known else f"Did you mean {', '.join(alike)}?" if alike else f"{_CAN}{', '.join(there)}."
    inside = "Put the calls that it holds here themselves, in its place."
    return NotComposable(
        f"{named(name)} cannot be one of several calls: {why}.", next=inside if name == "commit" else can
    )


def read_before(document: str, number: int) -> ValidationFailed:
    """The refusal to read what is only being written."""
    return ValidationFailed(
        f"The document {named(document)} is written by call {number} of these, and this call would read it before that "
        "has landed.",
        next="Give what it holds itself (content_base64, value); or write it first on its own, then make this call.",
        details={"document": document, "written_by_call": number},
    )


def not_composable(name: str, why: str, instead: str) -> NotComposable:
    """The refusal of one call of a tool that may be one of several otherwise."""
    return NotComposable(f"This call of {name} cannot be one of several: {why}.", next=instead)
