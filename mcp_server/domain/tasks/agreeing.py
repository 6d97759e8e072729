"""How the arguments of the queue's tools go together."""

from collections.abc import Collection, Mapping, Set
from typing import Any, cast

from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.kernel.checks import refuse
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.near import folded
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.together import LIKE, not_together

BESIDE = ("agent_id", "priority", "run_at", "schedule")
"""What `edit` takes beside `changes`."""
EDITS = (*BESIDE, "changes")
_TAKES: Mapping[str, tuple[str, ...]] = {
    "assign": ("agent_id",),
    "set_priority": ("priority",),
    "reschedule": ("run_at", "schedule"),
    "edit": EDITS,
}
"""What an action takes; it needs one of them. Others take none."""

_SUCH_AS = {
    "assign": ", an agent's name or id, or null for anybody",
    "edit": ", which holds what is to be different, such as {title, description, input}",
    "reschedule": ", a time such as in 2 hours, or {cron, timezone}",
    "set_priority": ", one of low, normal, high, critical",
}
_OF_A_FINISH = {
    "task_id": "the task's id",
    "lease_token": "the text that tasks_claim gave",
    "outcome": "one of completed, failed (needed unless `result` or `error` is there)",
}
_OUTCOME_OF = {"result": "completed", "error": "failed"}


def _members(given: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}


def with_outcome(given: Any) -> Any:
    """Arguments of a finish with its outcome: a result alone is that of a completed attempt, and an error alone that of
    a failed one."""
    said = _members(given)
    outcomes = [outcome for name, outcome in _OUTCOME_OF.items() if said.get(name) is not None]
    is_unsaid = said.get("outcome") is None and len(outcomes) == 1
    return said | {"outcome": outcomes[0]} if is_unsaid else given


def require_outcome(outcome: str, result: Any, error: Any) -> None:
    """Refuse a finish that says something else than its outcome takes.

    Raises:
        ValidationFailed: saying what that is.
    """
    if (outcome == "failed") == (error is None):
        change: dict[str, Any] = {"error": LIKE} if error is None else {"outcome": "failed"}
        raise not_together("outcome 'failed' needs `error`, and only 'failed' takes it.", result=None, **change)
    if outcome == "failed" and result is not None:
        raise not_together("A failed attempt has no `result`; put what it found into error.message.", result=None)


def require_one_or_several(said: Collection[str]) -> None:
    """Refuse a finish that is neither of one attempt nor of several, or of both.

    Args:
        said: the names of the arguments that were given.

    Raises:
        ValidationFailed: saying what is missing, or what does not go together.
    """
    if "tasks" in said:
        _require_alone(dict.fromkeys(name for name in said if name != "tasks"))
        return
    missing: dict[str, Any] = {name: LIKE for name in _OF_A_FINISH if name not in said}
    if missing:
        raise not_together(f"Missing: {', '.join(f'`{name}`, {_OF_A_FINISH[name]}' for name in missing)}.", **missing)


def _require_alone(beside: dict[str, Any]) -> None:
    """Refuse what stands beside `tasks`."""
    if "also" in beside:
        raise ValidationFailed(
            "`also` lands with one attempt; each of `tasks` lands for itself.",
            next="Have all land together by commit: a call of tasks_finish with these `tasks`, then those of `also`. "
            "Or finish one on its own with `also`, and the others by `tasks`.",
        )
    if beside:
        several = ", ".join(map("`{}`".format, beside))
        raise not_together(f"`tasks` stands alone: put {several} into one of its members.", **beside)


def require_taken(action: str, said: Set[str]) -> None:
    """Refuse an action that something else is said of than it takes.

    Raises:
        ValidationFailed: saying what that is.
    """
    takes = _TAKES.get(action, ())
    found = [_not_taken(action, name) for name in sorted(said - set(takes))]
    refuse([*found, *([_needs(action, takes)] if takes and not said & set(takes) else [])])


def _not_taken(action: str, name: str) -> ValidationFailed:
    why = f"`{name}` is taken by {_takers(name)}, not by {action}."
    if name == "changes":  # without it the call would be another one
        return ValidationFailed(why, next=f"Edit first, then {action}: two calls, or both as one by commit.")
    left_out: dict[str, Any] = {name: None}
    return not_together(why, **left_out)


def _takers(name: str) -> str:
    return " and ".join(action for action, taken in _TAKES.items() if name in taken)


def _needs(action: str, takes: tuple[str, ...]) -> ValidationFailed:
    """What is to be different is not made up: a call that could be sent as it stands would change the task to that."""
    names = " or ".join(map("`{}`".format, takes))
    return ValidationFailed(f"{action} needs {names}{_SUCH_AS.get(action, '')}")


def require_readiness(ready: bool | None, blocked: bool, status: str | None) -> None:
    """Refuse a search for what is ready, or is not, of which nothing can be so.

    Raises:
        ValidationFailed: saying what does not go together.
    """
    if ready and (blocked or status not in (None, "queued")):
        other = "blocked" if blocked else f"status={quoted(status or '')}"
        raise not_together(
            f"`ready` means queued, which is not {other}. Leave one of them out.", blocked=None, status=None
        )
    if ready is False and status in TERMINAL:
        means = "`ready` false means not ended, and not to be claimed now"
        raise not_together(f"{means}, which is not status={quoted(status)}. Leave one of them out.", ready=None)


def as_a_rest(given: Any) -> Any:
    """Arguments of an action: a pause that has an end is a rest until then, which reschedule does."""
    said = _members(given)
    if folded(str(said.get("action"))) != "pause" or said.get("run_at") is None:
        return given
    # A pause itself ends by resume alone, so nothing else can be meant.
    return said | {"action": "reschedule"}


def by_what_it_waits_for(given: Any) -> Any:
    """Arguments of a search: `ready` and `blocked` are what some statuses come to; who takes them for a status means
    them."""
    said = _members(given)
    word = folded(str(said.get("status")))
    if word not in ("ready", "blocked"):
        return given
    return {name: value for name, value in said.items() if name != "status"} | {word: True}
