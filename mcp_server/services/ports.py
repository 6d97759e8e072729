"""What services need of the outside, as Protocols. The composition root passes the real things in.

The `*Transactions` protocols are fulfilled by the modules of `mcp_server.persistence`: each member is a transaction
function whose first argument is the open transaction.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from mcp_server.domain.agents import AgentAction, AgentSpec, InstanceSpec
from mcp_server.domain.approvals import Answer, ApprovalSpec
from mcp_server.domain.email_commands import NewEmail
from mcp_server.domain.emails import Outcome, OutcomeStatus
from mcp_server.domain.events import Origin
from mcp_server.domain.locks import Hold, LockRequest
from mcp_server.domain.messages import MessageSpec
from mcp_server.domain.state import WriteSpec
from mcp_server.domain.state_commands import Patch, Restore, Set
from mcp_server.domain.task_commands import (
    Claim,
    Control,
    ControlOutcome,
    CreateOutcome,
    Finish,
    FinishOutcome,
    GiveUp,
    NewTask,
    Report,
)
from mcp_server.domain.values import Micros

P = ParamSpec("P")
T = TypeVar("T")
Row = Mapping[str, Any]
Clock = Callable[[], Micros]
NewId = Callable[[str], str]
Random = Callable[[], float]


class Listener(Protocol):
    """One waiter's view of the event feed."""

    async def wait(self, seconds: float) -> list[Row]:
        """The events that arrived; an empty list when none did in time."""
        ...

    def take_overflow(self) -> bool:
        """Whether events were dropped since this was last asked."""
        ...


class Feed(Protocol):
    """Wakes whoever waits for a change, whichever process made it."""

    def listen(self, *aggregate_types: str) -> AbstractAsyncContextManager[Listener]:
        """A listener that misses nothing committed after it is entered."""
        ...


class Place(Protocol):
    """A position in the event log."""

    @property
    def xid(self) -> int: ...
    @property
    def seq(self) -> int: ...
    def cursor(self) -> str: ...
    def __lt__(self, other: Any, /) -> bool: ...


class Store(Protocol):
    """The transactional store."""

    @property
    def engine(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def feed(self) -> Feed: ...

    async def write(self, function: Callable[Concatenate[Any, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction function whole; returns only after its commit."""
        ...

    async def write_or(
        self,
        orphaned: Callable[[T], None],
        function: Callable[Concatenate[Any, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`write`, and should the caller be cancelled while its transaction commits, `orphaned` is told the result."""
        ...

    def post(self, function: Callable[Concatenate[Any, P], object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Queue a transaction function whose outcome nobody waits for."""
        ...

    async def fetch_all(self, statement: str, /, *, filters: Iterable[str] = (), **parameters: Any) -> list[Row]:
        """The rows of a named statement."""
        ...

    async def fetch_one(self, statement: str, /, *, filters: Iterable[str] = (), **parameters: Any) -> Row | None:
        """The first row of a named statement, or None."""
        ...


class AgentTransactions(Protocol):
    """See `mcp_server.persistence.agents`."""

    def register(
        self,
        tx: Any,
        origin: Origin,
        agent_id: str,
        spec: AgentSpec,
        instance_id: str,
        instance: InstanceSpec | None,
        keep: bool,
    ) -> tuple[str, str | None, bool]: ...
    def control(self, tx: Any, origin: Origin, agent_id: str, action: AgentAction, reason: str | None) -> int: ...
    def mark_lost(self, tx: Any, origin: Origin) -> int: ...


class TaskTransactions(Protocol):
    """See `mcp_server.persistence.tasks`."""

    def create(self, tx: Any, origin: Origin, new: tuple[NewTask, ...]) -> list[CreateOutcome]: ...
    def report(self, tx: Any, origin: Origin, command: Report) -> dict[str, Any]: ...
    def finish(self, tx: Any, origin: Origin, command: Finish) -> FinishOutcome: ...
    def control(self, tx: Any, origin: Origin, command: Control) -> ControlOutcome: ...
    def give_up(self, tx: Any, origin: Origin, command: GiveUp) -> dict[str, Any]: ...
    def hand_back(self, tx: Any, origin: Origin, agent_id: str, reason: str) -> list[str]: ...


class ClaimTransactions(Protocol):
    """See `mcp_server.persistence.claiming`."""

    def claim(self, tx: Any, origin: Origin, command: Claim) -> list[dict[str, Any]]: ...
    def claim_system(self, tx: Any, origin: Origin, command: Claim) -> list[dict[str, Any]]: ...


class TaskTimers(Protocol):
    """See `mcp_server.persistence.task_timers`."""

    def settle_due(self, tx: Any, origin: Origin, jitter: float, new_id: NewId) -> int: ...
    def archive(self, tx: Any, origin: Origin, before: Micros, limit: int) -> int: ...


class StateTransactions(Protocol):
    """See `mcp_server.persistence.state`."""

    def set_value(self, tx: Any, origin: Origin, command: Set) -> tuple[dict[str, Any], bool]: ...
    def patch(self, tx: Any, origin: Origin, command: Patch) -> dict[str, Any]: ...
    def delete(self, tx: Any, origin: Origin, namespace: str, key: str, spec: WriteSpec) -> dict[str, Any]: ...
    def restore(self, tx: Any, origin: Origin, command: Restore) -> dict[str, Any]: ...
    def expire(self, tx: Any, origin: Origin) -> int: ...


class LockTransactions(Protocol):
    """See `mcp_server.persistence.locks`."""

    def acquire(
        self, tx: Any, origin: Origin, request: LockRequest, wait_until: Micros | None
    ) -> tuple[Hold | None, list[Hold]]: ...
    def leave_line(self, tx: Any, origin: Origin, name: str, owner: str) -> None: ...
    def release(self, tx: Any, origin: Origin, name: str, owner: str, token: int) -> None: ...
    def renew(self, tx: Any, origin: Origin, name: str, owner: str, token: int, seconds: float) -> Hold: ...
    def expire(self, tx: Any, origin: Origin) -> int: ...


class Decided(Protocol):
    """See `mcp_server.persistence.approvals`."""

    @property
    def approval(self) -> dict[str, Any]: ...
    @property
    def task(self) -> dict[str, Any]: ...


class ApprovalTransactions(Protocol):
    """See `mcp_server.persistence.approvals`."""

    def request(
        self, tx: Any, origin: Origin, spec: ApprovalSpec, task_id: str, mails_task_id: str
    ) -> dict[str, Any]: ...
    def request_for_task(
        self, tx: Any, origin: Origin, spec: ApprovalSpec, task_id: str, mails_task_id: str
    ) -> dict[str, Any]: ...
    def answer(self, tx: Any, origin: Origin, approval_id: str, given: Answer, seen_hash: str | None) -> Decided: ...
    def settle_approvals(self, tx: Any, origin: Origin, new_id: NewId) -> int: ...
    def signing_key(self, tx: Any, origin: Origin, name: str, fresh: str) -> str: ...


class QueuedEmail(Protocol):
    """See `mcp_server.persistence.emails`."""

    @property
    def email(self) -> dict[str, Any]: ...
    @property
    def replayed(self) -> bool: ...


class EmailTransactions(Protocol):
    """See `mcp_server.persistence.emails`."""

    def queue(self, tx: Any, origin: Origin, new: NewEmail) -> QueuedEmail: ...
    def begin(self, tx: Any, origin: Origin, email_id: str, token: int) -> dict[str, Any]: ...
    def hand_over(self, tx: Any, origin: Origin, email_id: str, token: int) -> None: ...
    def keep_answer(
        self,
        tx: Any,
        origin: Origin,
        email_id: str,
        outcomes: Mapping[str, Outcome],
        final: bool,
        error: str | None,
    ) -> dict[str, Any]: ...
    def stop(self, tx: Any, origin: Origin, email_id: str, reason: str) -> None: ...
    def track(
        self, tx: Any, origin: Origin, email_id: str, address: str, status: OutcomeStatus, message: str | None
    ) -> bool: ...


class Sent(Protocol):
    """See `mcp_server.persistence.messages`."""

    @property
    def message(self) -> dict[str, Any]: ...
    @property
    def recipients(self) -> list[str]: ...


class MessageTransactions(Protocol):
    """See `mcp_server.persistence.messages`."""

    def send(
        self,
        tx: Any,
        origin: Origin,
        message_id: str,
        spec: MessageSpec,
        to: Sequence[str],
        capabilities: Sequence[str],
    ) -> Sent: ...
    def read(
        self, tx: Any, origin: Origin, agent_id: str, thread_id: str | None, limit: int
    ) -> tuple[Sequence[Row], int]: ...
    def acknowledge(self, tx: Any, origin: Origin, agent_id: str, message_ids: Sequence[str]) -> None: ...
    def miss(self, tx: Any, origin: Origin) -> int: ...


class Thinned(Protocol):
    """See `mcp_server.persistence.event_retention`."""

    @property
    def position(self) -> Place | None: ...
    @property
    def dropped(self) -> int: ...


class EventThinning(Protocol):
    """See `mcp_server.persistence.event_retention`."""

    def begin_thinning(self, tx: Any, origin: Origin, before: Micros) -> Place | None: ...
    def thin_out(self, tx: Any, origin: Origin, after: Any, horizon: Any, limit: int) -> Thinned: ...


class EventLog(Protocol):
    """See `mcp_server.persistence.event_log`."""

    @property
    def START(self) -> Place: ...  # noqa: N802 - a module constant
    @property
    def END(self) -> Place: ...  # noqa: N802 - a module constant

    def parse_cursor(self, cursor: str) -> Place: ...
    def place_of(self, row: Row) -> Place: ...
