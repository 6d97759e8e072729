"""What is said of the attempts of a task."""

from collections.abc import Sequence

from mcp_server.domain.tasks.views import AttemptView
from tools.spec import counted


def say_attempts(attempts: Sequence[AttemptView]) -> str:
    """How often it was tried, and how long that took together."""
    took = [one.took_seconds for one in attempts if one.took_seconds is not None]
    return f" {counted(len(took), 'attempt')} took {sum(took):g} s together." if took else ""
