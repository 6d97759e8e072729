"""How scaling is wired into the house. It has no tables: rules and numbers stand with the agents."""

from mcp_server.domain.agents.hooks import AGENT_CHANGED, AGENT_ENDED
from mcp_server.domain.processes.hooks import PROCESS_CHANGED, PROCESSES_SEEN
from mcp_server.domain.scaling.transactions import changed, left, process_changed, seen
from mcp_server.kernel.area import Area

AREA = Area(
    name="scaling",
    toolset="agents",
    hears=(
        AGENT_CHANGED.heard_by(changed),
        AGENT_ENDED.heard_by(left),
        PROCESS_CHANGED.heard_by(process_changed),
        PROCESSES_SEEN.heard_by(seen),
    ),
)
