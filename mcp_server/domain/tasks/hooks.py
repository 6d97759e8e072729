"""The moments of a task at which other areas do their part. Each is told with the origin and the task as it is then."""

from collections.abc import Sequence

from mcp_server.domain.tasks.model import Task
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Hook

TASK_GATED: Hook[[Origin, Task], None] = Hook("task gated")
"""A task came to be that needs an approval and brings its own question."""

TASK_APPROVED: Hook[[Origin, Task], None] = Hook("task approved")
TASK_ENDED: Hook[[Origin, Task], None] = Hook("task ended")
TASK_CHANGED: Hook[[Origin, Task], None] = Hook("task changed")
"""A task on which people are to decide is not what it was when they were asked."""

TASK_MOVED: Hook[[Origin, Task], bool] = Hook("task moved")
"""A task of the server's own is to start at another time, which is not written yet: whose it is refuses, or does its
part and says so. What nobody says is its own stays where it is."""

TASK_RETRIED: Hook[[Origin, Task], None] = Hook("task retried")

ENDINGS_LEFT: Hook[[Origin, Sequence[str]], None] = Hook("endings left")
"""Told with the ids of tasks that have ended, with more hanging on them than one transaction goes on with."""
