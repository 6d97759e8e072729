"""Names that others have for tools: the call that does what such a name says."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from mcp_server.kernel.near import did_you_mean, folded, near, singular
from mcp_server.kernel.quoting import named

_ADD = ("add", "create", "new", "make", "put", "enqueue", "submit", "push", "schedule")
_SEE = ("list", "get", "find", "show", "read", "query", "search", "fetch", "status", "all", "info", "describe", "view")
_END = ("complete", "finish", "done", "fail", "close", "end")
_CHANGE = ("update", "edit", "modify", "change")
_REMOVE = ("delete", "remove", "drop", "clear")
_WRITE = ("write", "set", "put", "save", "store", "create", "update", "upsert", "add")
_DOCUMENT = ("state", "document", "doc", "memory", "kv")
_EMAIL = ("email", "mail")
_CALLS: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("task", "job"), _ADD, "tasks_create(tasks=[{title}])"),
    (("task", "job"), _SEE, "tasks_find()"),
    (("task", "job"), _CHANGE, "tasks_control(action='edit', changes={})"),
    (("task", "job"), ("cancel", "stop", "abort", *_REMOVE), "tasks_control(action='cancel')"),
    (("task", "job"), ("pause", "resume", "retry", "discard"), "tasks_control(action='{}')"),
    (("task", "job"), ("assign", "reassign"), "tasks_control(action='assign', agent_id=...)"),
    (("task", "job"), ("reschedule",), "tasks_control(action='reschedule', run_at=...)"),
    (("schedule",), ("run", "trigger", "fire"), "tasks_control(action='run_now')"),
    (("task", "job"), _END, "tasks_finish(outcome='completed' or 'failed')"),
    (("task", "job"), ("next", "take", "start", "pull", "pop"), "tasks_claim()"),
    (("task", "job"), ("progress", "heartbeat", "extend"), "tasks_report(progress={})"),
    (("agent",), _SEE, "agents_find()"),
    (("agent",), (*_ADD, *_CHANGE), "agents_register()"),
    (("agent",), ("pause", "resume", "drain", "terminate", "delete"), "agents_control(action='{}')"),
    (("agent",), ("remove", "stop", "kill"), "agents_control(action='terminate')"),
    (_DOCUMENT, _REMOVE, "state_set(delete=true)"),
    (_DOCUMENT, _WRITE, "state_set(value=...)"),
    (_DOCUMENT, ("merge", "change", "edit", "modify"), "state_patch(merge_patch={})"),
    (_DOCUMENT, ("list", "search", "query", "keys", "all"), "state_find()"),
    (_DOCUMENT, ("get", "read", "load", "fetch", "show"), "state_get()"),
    (_DOCUMENT, ("version", "diff", "log"), "state_history()"),
    (_DOCUMENT, ("revert", "undo", "rollback"), "state_restore(version=...)"),
    (("lock",), ("", "get", "take", "reserve", "create"), "locks_acquire()"),
    (("lock",), ("list", "show", "status", "check"), "locks_find()"),
    (("lock",), ("free", "unlock", "delete", "remove"), "locks_release()"),
    (("lock",), ("renew", "extend"), "locks_release(renew_seconds=...)"),
    (("unlock",), ("",), "locks_release()"),
    (("message", "inbox"), ("", "list", "get", "receive", "fetch", "show", "check", "find"), "messages_read()"),
    (("message",), ("ack", "acknowledge"), "messages_read(acknowledge=[ids])"),
    (("message",), ("create", "post", "write", "reply"), "messages_send()"),
    (_EMAIL, _SEE, "email_find()"),
    (_EMAIL, ("create", "write", "new"), "email_send()"),
    (_EMAIL, ("template",), "email_find(templates=true)"),
    (("approval",), ("ask", "create", "new"), "approvals_request()"),
    (("approval",), _SEE, "approvals_find()"),
    (("approval",), ("approve", "reject", "vote"), "approvals_decide()"),
    (("approval",), ("cancel", "withdraw", "delete"), "tasks_control(action='cancel') of its task"),
    (("deployment",), _SEE, "deployments_find()"),
    (("deployment",), ("create", "new", "update"), "deployments_define()"),
    (("deployment",), ("rollback", "stop", "start", "destroy"), "deployments_control(action='{}')"),
    (("deploy",), ("",), "deployments_plan(), then deployments_apply(plan_hash=...),"),
    (("event", "log", "audit"), ("", *_SEE), "events_read()"),
    (("transaction", "batch"), ("", "commit", "run"), "commit(calls=[{tool, arguments}])"),
)


def _all() -> Iterator[tuple[frozenset[str], str]]:
    for things, verbs, call in _CALLS:
        for thing, verb in product(things, verbs):
            yield frozenset(filter(None, (thing, verb))), call.format(verb) if "'{}'" in call else call


_BY_WORDS: Mapping[frozenset[str], str] = dict(reversed(list(_all())))


def words_of(name: str) -> frozenset[str]:
    """The words of a name, whatever their order and number."""
    return frozenset(singular(word) for word in folded(name).split("_"))


def does_that(words: Iterable[str], offered: Collection[str]) -> str | None:
    """The call that does what a name of these words says; None where none does, or it is not offered."""
    call = _BY_WORDS.get(frozenset(words))
    return call if call is not None and call.partition("(")[0] in offered else None


def unknown_tool(name: str, offered: Collection[str]) -> MCPError:
    """What is said of a tool that this server does not offer."""
    words = words_of(name)
    same = [one for one in offered if words_of(one) == words]
    does = None if same else does_that(words, offered)
    meant = f"{does} does that." if does else did_you_mean(same or near(folded(name), offered)).rstrip()
    offers = f"This server offers: {', '.join(offered)}."
    # Its name is enough where it is known what was meant.
    return MCPError(
        code=INVALID_PARAMS,
        message=f"Unknown tool: {named(name)}. {meant or offers}",
    )


def tools_like(name: str, offered: Collection[str]) -> list[str]:
    """Tools whose names have the same words, or look alike."""
    words = words_of(name)
    return [one for one in offered if words_of(one) == words] or near(folded(name), offered)
