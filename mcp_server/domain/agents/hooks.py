"""The moments of agents at which other areas do their part."""

from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.agents.model import Agent
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Hook

AGENT_ENDED: Hook[[Origin, str, str], list[str]] = Hook("agent ended")
"""Told with the agent's id and why; answered with the ids of the tasks that went back to the queue."""

AGENT_HOLDS: Hook[[Origin, str], Holding | None] = Hook("agent holds")
"""Told with the id of an agent that is about to leave; answered with what would stay behind: pinned tasks, locks,
unread messages, open questions. Leases are not: those go back to the queue."""

AGENT_HANDED_OVER: Hook[[Origin, Speaker, Speaker, str | None, bool], Holding | None] = Hook("agent handed over")
"""Told with the agent that leaves or rests, the one that takes over, why, which each thing keeps for that one, and
whether the agent is still at work on a task, for which it keeps its locks; answered with what was handed over. What
else `AGENT_HOLDS` answered is the other's afterwards."""

AGENT_TOLD: Hook[[Origin, Speaker, str, str], None] = Hook("agent told")
"""Told with an agent that is to hear of something, and subject and words of what: it finds them in its inbox."""

INSTANCE_LOST: Hook[[Origin, str], None] = Hook("instance lost")
"""Told with the instance's id."""

INSTANCE_ENDED: Hook[[Origin, str, str, bool], None] = Hook("instance ended")
"""Told with the agent's id, the instance's, and whether it was in order, as when it was asked to end: its process is
known to be gone. `INSTANCE_LOST` is told as well."""

AGENT_CHANGED: Hook[[Origin, Agent], None] = Hook("agent changed")
"""Told with an agent as it is after it was given a launcher, rules of scaling or another lifecycle. Of one that leaves,
`AGENT_ENDED` is told instead."""
