"""What is said of the attempts of a task, those that have ended and the one under way."""

from collections.abc import Sequence

from mcp_server.domain.tasks.views import AttemptView, LeaseView
from tools.spec import counted


def say_attempts(attempts: Sequence[AttemptView]) -> str:
    """How often it was tried, and how long that took together."""
    took = [one.took_seconds for one in attempts if one.took_seconds is not None]
    return f" {counted(len(took), 'attempt')} took {sum(took):g} s together." if took else ""


def say_lying(lease: LeaseView | None) -> str:
    """Why a task that runs lies still, where whoever has it has not been heard of lately."""
    if lease is None or lease.last_seen_seconds_ago is None:
        return ""
    seen = f"its worker was last heard of {lease.last_seen_seconds_ago} s ago"
    return f": {seen}, and has it until {lease.expires_at} without a report"
