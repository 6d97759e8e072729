"""What a value stands for, in words and with one that would do. It stands in the annotation of a type and is said where
a call is refused; no client pays for it in the tool list."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, StringConstraints

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.ids import ALPHABET

ID_CHARACTERS_MAX = 64
_URI = re.compile(r"ops://[a-z]+/([^/?#]+)")
_QUOTES = ('""', "''", "``", "<>")
_LIKE_AN_ID = re.compile(r"([a-z]+)_[a-z0-9]{12}")
_BARE = re.compile(f"[{ALPHABET}]{{12}}")
"""An id without its kind: it has no vowel, so it is no word either."""
_NAMED = ("agent", "deployment")
_TELLS = {
    "agent": "agents_find(agent_id='{}')",
    "instance": "agents_find(agent_id='{}')",
    "task": "tasks_find(task_id='{}')",
    "approval": "approvals_find(approval_id='{}')",
    "email": "email_find(email_id='{}')",
    "message": "messages_read(thread_id='{}')",
    "thread": "messages_read(thread_id='{}')",
    "deployment": "deployments_find(deployment_id='{}')",
    "call": "calls_control(call_id='{}', action='listen')",
}
"""Calls that tell of a thing by its id."""
_HAS_TASK = ("approval", "email")
"""Things that have a task, of which their call tells."""

_LETTERS = "9k2m4p7q8r3t"


@dataclass(frozen=True, slots=True, eq=False)
class Meant:
    """What a type means.

    Attributes:
        words: what is accepted, such as "an agent's name or id".
        example: a value that would do.
        parts: what each of several looks like that stand in one text, divided by commas.
        also: of a choice, other words for its values that mean exactly the same; a yes or no is `true` or `false`.
        instead: of a choice, what does what a word says that is none of its values.
        words_of: what becomes of one text that stands for a list of these; itself where that cannot be told.
    """

    words: str = ""
    example: Any = None
    parts: str | None = None
    also: Mapping[str, str] = field(default_factory=dict[str, str])
    instead: Mapping[str, str] = field(default_factory=dict[str, str])
    words_of: Callable[[str], Any] | None = None


def bare_id(given: Any) -> Any:
    """An id, or a name that stands for one, as it is meant: without spaces and quotes around it, and out of a pasted
    URI (`ops://tasks/task_...`)."""
    if not isinstance(given, str):
        return given
    text = given.strip()
    if len(text) > 2 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip()
    found = _URI.match(text)
    return text if found is None else unquote(found[1])


def task_id(given: Any) -> Any:
    """A task's id as it is meant; an approval's, which is that of its task but for the kind, stands for the task."""
    text = bare_id(given)
    found = _LIKE_AN_ID.fullmatch(text) if isinstance(text, str) else None
    return text if found is None or found[1] != "approval" else f"task_{text.removeprefix('approval_')}"


def _checked_as(*kinds: str) -> Callable[[str], str]:
    """An id of one of these kinds. Where only one can stand, it goes without saying: `9k2m4p7q8r3t` is `call_9k2m...`.
    What has names as well (agents, deployments) may be called so, and is not looked at for that."""

    def check(text: str) -> str:
        if _BARE.fullmatch(text) and kinds[0] not in _NAMED:
            return f"{kinds[0]}_{text}"
        found = _LIKE_AN_ID.fullmatch(text)
        if "," in text and all(_LIKE_AN_ID.fullmatch(part.strip()) for part in text.split(",")):
            raise ValidationFailed(f"{text} is several ids; one stands here, and several in a list")
        if found is None or found[1] in kinds or found[1] not in _TELLS:
            return text
        wanted = " or ".join(f"{kind}_" for kind in kinds)
        tells = "names its task_id" if "task" in kinds and found[1] in _HAS_TASK else "tells of it"
        raise ValidationFailed(
            f"{text} is the id of something else ({found[1]}); here stands one that begins {wanted}; "
            f"{_TELLS[found[1]].format(text)} {tells}"
        )

    return check


def _of_kind(*kinds: str) -> AfterValidator:
    return AfterValidator(_checked_as(*kinds))


def of_a_task(given: Any) -> Any:
    """What may be a task's id; that of another thing is refused, with what tells of it.

    Raises:
        ValidationFailed: it is one.
    """
    return _AS_A_TASK(given) if isinstance(given, str) and _LIKE_AN_ID.fullmatch(given) else given


_AS_A_TASK = _checked_as("task")
_TIDIED = BeforeValidator(bare_id)
_ID_LENGTH = StringConstraints(min_length=1, max_length=ID_CHARACTERS_MAX)

TaskId = Annotated[
    str,
    BeforeValidator(task_id),
    _ID_LENGTH,
    _of_kind("task"),
    Meant("a task's id", f"task_{_LETTERS}", parts=r"^task_[a-z0-9]{12}$"),
]
InstanceId = Annotated[
    str, _TIDIED, _ID_LENGTH, _of_kind("instance"), Meant("an instance's id", f"instance_{_LETTERS}")
]
ApprovalId = Annotated[
    str, _TIDIED, _ID_LENGTH, _of_kind("approval", "task"), Meant("an approval's id", f"approval_{_LETTERS}")
]
EmailId = Annotated[str, _TIDIED, _ID_LENGTH, _of_kind("email", "task"), Meant("an email's id", f"email_{_LETTERS}")]
MessageId = Annotated[
    str,
    _TIDIED,
    _ID_LENGTH,
    _of_kind("message"),
    Meant("a message's id", f"message_{_LETTERS}", parts=r"^message_[a-z0-9]{12}$"),
]
ThreadId = Annotated[
    str, _TIDIED, _ID_LENGTH, _of_kind("thread", "message"), Meant("a thread's id", f"thread_{_LETTERS}")
]
CallId = Annotated[str, _TIDIED, _ID_LENGTH, _of_kind("call"), Meant("a call's id", f"call_{_LETTERS}")]
DeploymentName = Annotated[
    str,
    _TIDIED,
    StringConstraints(min_length=1, max_length=100),
    _of_kind("deployment"),
    Meant("a deployment's id, name or name/environment", "shop/dev"),
]
AGENT = Meant("an agent's name or id", "scribe")
EVENT_TYPE = Meant("a type of event", "task.completed")
TARGET = Meant("where deployments run, a target that this server has", "compose")
LAUNCHER = Meant("a launcher that the operator declared", "worker")


def _as_it_is_told(given: Any) -> Any:
    """An agent as answers tell of who spoke: `agent:scribe via user:local` is `scribe`."""
    text = bare_id(given)
    return text.partition(" via ")[0].removeprefix("agent:") if isinstance(text, str) and " via " in text else text


AgentName = Annotated[str, BeforeValidator(_as_it_is_told), _ID_LENGTH, _of_kind("agent", "instance"), AGENT]
"""An agent by its name or id, or by the id of one of its instances."""
