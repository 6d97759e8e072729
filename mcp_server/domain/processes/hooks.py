"""The moment of a process at which other areas do their part."""

from collections.abc import Sequence

from mcp_server.domain.processes.model import Process
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Hook

PROCESS_CHANGED: Hook[[Origin, Process], None] = Hook("process changed")
"""Told with a process as it is after it was started, adopted, asked to end or has ended."""

PROCESSES_SEEN: Hook[[Origin, Sequence[str]], None] = Hook("processes seen")
"""Told now and then with the ids of those that run."""
