"""Words that are near to what is meant: named in a refusal, and taken for nothing. Data, and nothing else."""

HINTS = {
    "active": ("running",),
    "asap": ("critical", "urgent"),
    "blocked": ("pending",),
    "change": ("edit",),
    "close": ("cancel", "discard"),
    "closed": ("completed", "cancelled"),
    "complete": ("completed", "terminal"),
    "completed": ("terminal",),
    "critical": ("urgent",),
    "delete": ("cancel", "discard", "destroy"),
    "dead": ("failed",),
    "declined": ("rejected",),
    "denied": ("rejected",),
    "done": ("completed", "approved", "terminal"),
    "error": ("failed",),
    "finished": ("completed", "terminal"),
    "granted": ("approved",),
    "highest": ("critical", "urgent"),
    "hold": ("pause",),
    "important": ("high",),
    "in_progress": ("running",),
    "kill": ("cancel", "terminate"),
    "medium": ("normal",),
    "modify": ("edit",),
    "offline": ("terminated",),
    "online": ("active", "idle"),
    "open": ("pending", "queued"),
    "p0": ("critical",),
    "p1": ("critical", "high"),
    "p2": ("high", "normal"),
    "p3": ("normal", "low"),
    "p4": ("low",),
    "pending": ("waiting", "queued"),
    "ready": ("queued",),
    "reassign": ("assign",),
    "remove": ("delete", "destroy", "discard"),
    "retire": ("drain", "terminate"),
    "reopen": ("retry", "resume"),
    "requeue": ("retry",),
    "restart": ("retry", "start"),
    "scheduled": ("queued", "pending"),
    "set": ("replace", "add"),
    **dict.fromkeys(("inc", "incr", "increase", "decrement", "sum"), ("increment",)),
    "start": ("resume",),
    "stop": ("cancel", "pause", "drain"),
    "success": ("completed",),
    "todo": ("queued", "pending"),
    "undo": ("rollback",),
    "unpause": ("resume",),
    "update": ("edit",),
    "urgent": ("critical",),
    "waiting": ("pending",),
    "write": ("exclusive",),
    "read": ("shared",),
}
"""Words that others have for a choice. They are named where they can be meant; none is taken for it."""


ALIKE = {
    "ack": ("ack_within_seconds",),
    "args": ("input",),
    "config": ("input",),
    "kwargs": ("input",),
    "ack_by": ("ack_within_seconds",),
    "ack_deadline": ("ack_within_seconds",),
    "ack_until": ("ack_within_seconds",),
    "agent": ("to", "actor"),
    "ack_required": ("ack_within_seconds",),
    "agent_id": ("to", "as_agent"),
    "attempts": ("retry",),
    "backoff": ("delay_seconds",),
    "cause_of": ("led_to",),
    "caused_by": ("led_to",),
    "content": ("description", "title"),
    "cost": ("usage",),
    "deadline": ("ack_within_seconds", "expires_in_seconds"),
    **dict.fromkeys(("delay", "delay_seconds", "countdown"), ("run_at", "send_at")),
    "description": ("action", "details"),
    "details": ("description",),
    "due": ("ack_within_seconds", "expires_in_seconds"),
    "due_at": ("ack_within_seconds", "expires_in_seconds"),
    "due_date": ("ack_within_seconds", "expires_in_seconds"),
    "exclusive": ("mode",),
    "expires": ("ttl_seconds", "expires_in_seconds"),
    "expiry": ("expires_in_seconds", "ttl_seconds"),
    "file": ("name",),
    "from": ("from_version", "since", "as_agent"),
    "from_agent": ("as_agent",),
    "id": ("thread_id",),
    "if_match": ("expected_version",),
    "inbox": ("agent_id",),
    "instructions": ("description",),
    "max_attempts": ("retry",),
    "last": ("limit",),
    "message": ("action",),
    "message_id": ("thread_id", "acknowledge", "email_id"),
    "mine": ("agent_id",),
    "name": ("agent_id",),
    "order": ("newest_first",),
    "output": ("result",),
    "seq": ("led_to",),
    "sort": ("newest_first",),
    "must_ack": ("ack_within_seconds",),
    "metadata": ("input", "details", "tags"),
    "owner": ("agent_id",),
    "path": ("name",),
    "pattern": ("prefix", "text"),
    "prompt": ("description",),
    "require_ack": ("ack_within_seconds",),
    "requires_ack": ("ack_within_seconds",),
    "resource": ("name",),
    "role": ("kind", "description"),
    "sender": ("as_agent",),
    "shared": ("mode",),
    "text": ("action",),
    "time": ("run_at", "send_at"),
    "timeout": ("timeout_seconds", "wait_seconds", "expires_in_seconds"),
    "to": ("until",),
    "tokens": ("usage",),
    "user": ("actor", "approvers"),
    "version": ("expected_version",),
    "when": ("run_at", "send_at"),
}
"""Names that say something near to one that the place takes; they are named, and not taken for it."""


ELSEWHERE = {
    **dict.fromkeys(
        ("order", "order_by", "sort", "sort_by"), "a list comes in one order; narrow it, or go on by cursor"
    ),
    **dict.fromkeys(
        ("offset", "page", "skip", "start_index"), "a list goes on by the next_cursor of the answer before"
    ),
    **dict.fromkeys(("dry_run", "preview", "simulate"), "commit(calls, dry_run=true) tries a write and lands nothing"),
    "approval_id": "what waits for a person's yes goes into calls of approvals_request, which runs it then",
}
"""What no place takes, and what does it, where the place itself has nothing to say of it."""

WORDS = frozenset(
    (
        *("status", "state", "name", "id", "role", "args", "kwargs", "retries", "max_retries", "every", "interval"),
        *("tail", "offset", "page", "skip", "approvers", "approver", "eta", "countdown", "deadline", "due"),
    )
)
"""Names with a meaning of their own beside those of the tables here: who writes one did not mistype another."""

SAFETIES = frozenset(
    (
        *("dry_run", "dryrun", "preview", "preview_only", "simulate", "plan_only", "check_only", "validate_only"),
        *("expected_version", "base_version", "if_match", "if_version", "if_absent", "if_not_exists", "only_if"),
        *("plan_hash", "lease_token", "idempotency_key", "approval_id", "require_approval", "requires_approval"),
        *("needs_approval", "confirm", "what_if", "approvers", "approver", "reviewers"),
        *("to_agent", "deadline", "due", "due_at", "due_date", "due_by"),
    )
)
"""Without which a call does more than was asked for, or later: no call is shown that leaves one of them out."""
