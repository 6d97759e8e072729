"""The moments of agents at which other areas do their part."""

from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Hook

AGENT_ENDED: Hook[[Origin, str, str], list[str]] = Hook("agent ended")
"""Told with the agent's id and why; answered with the ids of the tasks that went back to the queue."""

INSTANCE_LOST: Hook[[Origin, str], None] = Hook("instance lost")
"""Told with the instance's id."""
