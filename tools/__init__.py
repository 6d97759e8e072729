"""What a model can do: the catalogue of tools, as data."""

from tools import agents, approvals, email, events, locks, messages, state, tasks
from tools.spec import AnyTool

TOOLS: tuple[AnyTool, ...] = (
    *agents.TOOLS,
    *tasks.TOOLS,
    *state.TOOLS,
    *locks.TOOLS,
    *email.TOOLS,
    *approvals.TOOLS,
    *messages.TOOLS,
    *events.TOOLS,
)
TOOLSETS: tuple[str, ...] = tuple(dict.fromkeys(tool.toolset for tool in TOOLS))
