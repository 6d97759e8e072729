"""The areas of the domain, in the order in which people see them. A new capability is one line here."""

from mcp_server.domain.agents.area import AREA as AGENTS
from mcp_server.domain.approvals.area import AREA as APPROVALS
from mcp_server.domain.calls.area import AREA as CALLS
from mcp_server.domain.commit.area import AREA as COMMIT
from mcp_server.domain.deployments.area import AREA as DEPLOYMENTS
from mcp_server.domain.email.area import AREA as EMAIL
from mcp_server.domain.events.area import AREA as EVENTS
from mcp_server.domain.locks.area import AREA as LOCKS
from mcp_server.domain.messages.area import AREA as MESSAGES
from mcp_server.domain.operating.area import AREA as OPERATING
from mcp_server.domain.people.area import AREA as PEOPLE
from mcp_server.domain.processes.area import AREA as PROCESSES
from mcp_server.domain.scaling.area import AREA as SCALING
from mcp_server.domain.search.area import AREA as SEARCH
from mcp_server.domain.state.area import AREA as STATE
from mcp_server.domain.tasks.area import AREA as TASKS
from mcp_server.kernel.area import Areas

AREAS = Areas(
    *(PEOPLE, AGENTS, PROCESSES, SCALING, TASKS, STATE, LOCKS, DEPLOYMENTS, EMAIL, APPROVALS, MESSAGES, CALLS, EVENTS),
    *(COMMIT, OPERATING, SEARCH),
)
