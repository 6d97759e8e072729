"""The desk: every service of one server, loaded when it is first asked for. An area that is not named here is reached
by `get`."""

from typing import TYPE_CHECKING

from mcp_server.kernel.areas import Areas
from mcp_server.kernel.call import Context
from mcp_server.kernel.loops import Loops
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Feed

if TYPE_CHECKING:
    from mcp_server.domain.agents.service import AgentService
    from mcp_server.domain.approvals.service import ApprovalService
    from mcp_server.domain.calls.service import CallService
    from mcp_server.domain.deployments.service import DeploymentService
    from mcp_server.domain.email.service import EmailService
    from mcp_server.domain.events.service import EventService
    from mcp_server.domain.housekeeping import Housekeeping
    from mcp_server.domain.locks.service import LockService
    from mcp_server.domain.messages.service import MessageService
    from mcp_server.domain.state.service import StateService
    from mcp_server.domain.tasks.service import TaskService
    from mcp_server.domain.tasks.system import SystemTasks


class Desk(Services):
    """What tools and resources call. Each service is made from its class when it is first asked for."""

    def __init__(self, context: Context, areas: Areas, version: str, *options: object) -> None:
        super().__init__(context, areas, *options)
        self.areas = areas
        self.version = version

    @property
    def is_read_only(self) -> bool:
        """Whether the store cannot be written, so that nothing beside requests runs."""
        return self.context.database.is_read_only

    async def log_held_back(self, seconds: float | None = None) -> dict[str, str] | None:
        """Who keeps the newest events out of the log, and what to do; None where nobody has for so long, or for a
        while."""
        holder = await self.context.database.log_holder(seconds)
        return None if holder is None else {"by": holder.session, "remedy": holder.remedy}

    async def amiss(self) -> str | None:
        """What keeps everything from being written, where the database's files are not what they were."""
        return await self.context.database.amiss()

    def end_waits(self) -> None:
        """Let what waits for a change answer with what there is: the server ends."""
        self.context.database.feed.end_waits()

    @property
    def agents(self) -> "AgentService":
        """The registry of agents."""
        from mcp_server.domain.agents.service import AgentService

        return self.get(AgentService)

    @property
    def tasks(self) -> "TaskService":
        """The task queue."""
        from mcp_server.domain.tasks.service import TaskService

        return self.get(TaskService)

    @property
    def state(self) -> "StateService":
        """Versioned documents."""
        from mcp_server.domain.state.service import StateService

        return self.get(StateService)

    @property
    def locks(self) -> "LockService":
        """Named locks."""
        from mcp_server.domain.locks.service import LockService

        return self.get(LockService)

    @property
    def messages(self) -> "MessageService":
        """Messages between agents."""
        from mcp_server.domain.messages.service import MessageService

        return self.get(MessageService)

    @property
    def deployments(self) -> "DeploymentService":
        """What runs elsewhere."""
        from mcp_server.domain.deployments.service import DeploymentService

        return self.get(DeploymentService)

    @property
    def emails(self) -> "EmailService":
        """The outbox."""
        from mcp_server.domain.email.service import EmailService

        return self.get(EmailService)

    @property
    def approvals(self) -> "ApprovalService":
        """Questions to people."""
        from mcp_server.domain.approvals.service import ApprovalService

        return self.get(ApprovalService)

    @property
    def calls(self) -> "CallService":
        """Calls with people."""
        from mcp_server.domain.calls.service import CallService

        return self.get(CallService)

    @property
    def events(self) -> "EventService":
        """The trail."""
        from mcp_server.domain.events.service import EventService

        return self.get(EventService)

    @property
    def housekeeping(self) -> "Housekeeping":
        """What time makes due."""
        from mcp_server.domain.housekeeping import Housekeeping

        return self.get(Housekeeping)

    @property
    def system(self) -> "SystemTasks":
        """The server's own tasks."""
        from mcp_server.domain.tasks.system import SystemTasks

        return self.get(SystemTasks)

    @property
    def changes(self) -> Feed:
        """Tells of changes, whichever process made them."""
        return self.context.database.feed

    @property
    def loops(self) -> Loops:
        """How this process's background loops are."""
        return self.context.database.loops

    @property
    def engine(self) -> str:
        """`sqlite` or `postgres`."""
        return self.context.database.engine
