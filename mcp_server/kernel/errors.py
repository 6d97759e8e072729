"""Every refusal the house can give, as one tree.

    OpsError
    ├── NotFound            not_found
    ├── Conflict            conflict
    ├── LeaseLost           lease_lost
    ├── InvalidTransition   invalid_transition
    ├── AtCapacity          at_capacity
    ├── PermissionDenied    permission_denied
    ├── IdempotencyConflict idempotency_conflict
    ├── ValidationFailed    validation
    ├── LimitExceeded       limit_exceeded
    ├── CursorExpired       cursor_expired
    ├── Busy                busy
    └── Unavailable         unavailable

The codes are public contract. A message says what was wrong and what is true now; `next` is the call to make. It is one
printable line, whatever went into it; what others wrote stands in it in quotes, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from mcp_server.kernel.lines import one_line

TYPE_CHECKING = False  # what hooks load is not to wait for `typing`
if TYPE_CHECKING:
    from typing import Any, ClassVar

_UNCHANGED = "Nothing was changed"
_NOT_LANDED = "Nothing has landed"
"""Of several calls that land together: says the same of all of them, and is said once."""
_LINE_END = re.compile(r"\s*\n\s*")


class OpsError(Exception):
    """A refusal that the caller can act on.

    Attributes:
        code: stable machine code.
        message: what was wrong and what is true now, then what to do next.
        details: the facts behind the message, JSON-ready.
        wrong: what was wrong, alone, for a log: what to do next may be the caller's own call, with all that is in it,
            such as a mail, or the token of its lease.
    """

    code: ClassVar[str] = "unavailable"

    def __init__(self, message: str, *, next: str = "", details: Mapping[str, Any] | None = None) -> None:  # noqa: A002
        self.message = one_line(_LINE_END.sub(" ", f"{message} {next}".strip()))
        self.wrong = one_line(_LINE_END.sub(" ", message.strip()))
        self.details: dict[str, Any] = dict(details or {})
        self._facts: Callable[[], Mapping[str, Any]] | None = None
        super().__init__(self.message)

    def placed(self, where: str, details: Mapping[str, Any]) -> None:
        """Say which of several calls was refused, before the message and in the details beside its own; and that the
        others did not land either."""
        said = len(self.wrong) if self.message.startswith(self.wrong) else 0
        then = self.message[said:]
        landed = then.replace(_UNCHANGED, _NOT_LANDED) if _UNCHANGED in then else f"{then} {_NOT_LANDED}."
        self.message = f"{where}: {self.message[:said]}{landed}"
        self.wrong = f"{where}: {self.wrong}"
        self.details = {**details, **self.details}
        self.args = (self.message,)

    def stands(self) -> None:
        """Say that what was called was done nevertheless: only what came of it is not there to be told."""
        self.message = f"What was called is done and stands; only what came of it cannot be told: {self.message}"
        self.wrong = f"It is done and stands: {self.wrong}"
        self.details = {"landed": True, **self.details}
        self.args = (self.message,)

    @property
    def is_explained(self) -> bool:
        """Whether all details are there."""
        return self._facts is None

    def explain_later(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Have dear details found out by `explain`, when no transaction waits for them."""
        self._facts = facts

    def explain(self) -> None:
        """Find out the details that were put off."""
        if self._facts is not None:
            self.details |= self._facts()
            self._facts = None


class NotFound(OpsError):
    """What was named does not exist."""

    code = "not_found"


class Conflict(OpsError):
    """Somebody else changed the thing first."""

    code = "conflict"


class LeaseLost(OpsError):
    """The lease token is not the current one."""

    code = "lease_lost"


class InvalidTransition(OpsError):
    """The thing's status does not allow this."""

    code = "invalid_transition"


class AtCapacity(OpsError):
    """The agent may not take more work now."""

    code = "at_capacity"


class PermissionDenied(OpsError):
    """The caller's role does not allow this."""

    code = "permission_denied"


class IdempotencyConflict(OpsError):
    """The idempotency key was used for something else."""

    code = "idempotency_conflict"


class ValidationFailed(OpsError, ValueError):
    """The arguments make no sense. A ValueError too, so that pydantic validators may raise it."""

    code = "validation"


class LimitExceeded(OpsError):
    """Larger or more than the limit."""

    code = "limit_exceeded"


class CursorExpired(OpsError):
    """What came after the cursor is no longer kept."""

    code = "cursor_expired"


class Busy(OpsError):
    """The store could not be reached in time; the same call may succeed later."""

    code = "busy"


class Unavailable(OpsError):
    """The store or a part of the server does not work now; a person must act."""

    code = "unavailable"
