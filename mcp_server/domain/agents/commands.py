"""What is asked of agents, and what is said of them."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mcp_server.kernel.arguments import Listing
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import RawJson, dump_json, json_list
from mcp_server.kernel.meaning import LAUNCHER, AgentName, Meant
from mcp_server.kernel.searching import Sought
from mcp_server.kernel.together import not_together
from mcp_server.kernel.values import Frozen, Line, Text, Word

Lifecycle = Literal["active", "paused", "draining", "terminated"]
AgentStatus = Annotated[
    Literal["initializing", "active", "idle", "busy", "scaling", "maintenance", "error", "terminated"],
    Meant(
        also={
            "paused": "maintenance",
            "draining": "maintenance",
            "resting": "maintenance",
            "working": "active",
            "running": "active",
            "free": "idle",
            "available": "idle",
            "starting": "initializing",
            "failed": "error",
            "left": "terminated",
            "gone": "terminated",
        }
    ),
]
AgentAction = Annotated[
    Literal["pause", "resume", "drain", "terminate", "delete"],
    Meant(also={"suspend": "pause", "unpause": "resume", "continue": "resume", "kill": "terminate"}),
]
INSTANCES_MAX = 1000


class Capability(Frozen):
    """Something an agent can do. A task may ask for `name` or for `name@version`."""

    name: Word = Field(examples=["python"])
    version: Word | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        """`python@3.12` as tasks ask for it."""
        said: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {"name": given}
        text = said["name"] if said.keys() == {"name"} else None
        name, at, version = text.partition("@") if isinstance(text, str) else ("", "", "")
        return {"name": name, "version": version} if at else cast("Any", given)


def _of_a_map(given: Any) -> Any:
    """`{"python": "3.12"}` for several, by their names."""
    said: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    if not said or "name" in said or not all(isinstance(version, str) for version in said.values()):
        return cast("Any", given)
    return [{"name": name, "version": version} if version else {"name": name} for name, version in said.items()]


class InstanceSpec(Frozen):
    """A running process or LLM session of an agent, as it introduces itself."""

    label: Line = Field(examples=["laptop"])
    host: Line | None = None
    pid: int | None = Field(default=None, ge=1)


class BudgetSpec(Frozen):
    """What an agent may use in one calendar month (UTC), by the usage reported when tasks are finished."""

    tokens_per_month: int | None = Field(default=None, ge=1, le=10**15, examples=[1_000_000])
    cost_usd_per_month: float | None = Field(default=None, gt=0, le=10**9, allow_inf_nan=False)
    warn_at: float = Field(default=0.8, gt=0, le=1)

    def used_share(self, tokens: int, cost_usd: float) -> float:
        """The larger share of the two limits that is used up: 1.0 means that nothing is left."""
        by_tokens = 0.0 if self.tokens_per_month is None else tokens / self.tokens_per_month
        by_cost = 0.0 if self.cost_usd_per_month is None else cost_usd / self.cost_usd_per_month
        return max(by_tokens, by_cost)


Argument = Annotated[str, Field(max_length=200)] | int


class LauncherUse(Frozen):
    """A launcher that the operator declared, with values for what it leaves open."""

    name: Annotated[Word, LAUNCHER]
    arguments: dict[Word, Argument] = Field(default={}, max_length=32)


class ScalingSpec(Frozen):
    """How many instances there are to be: as many as the work asks for, within bounds."""

    min: int = Field(default=0, ge=0, le=INSTANCES_MAX)
    max: int = Field(ge=1, le=INSTANCES_MAX, examples=[4])
    target_ready_per_instance: float = Field(default=1, gt=0, le=10_000, allow_inf_nan=False)
    up_delay_seconds: float = Field(default=0, ge=0, le=86_400, allow_inf_nan=False)
    down_delay_seconds: float = Field(default=60, ge=0, le=86_400, allow_inf_nan=False)

    @model_validator(mode="after")
    def _min_is_not_over_max(self) -> Self:
        if self.min > self.max:
            raise not_together(f"`min` ({self.min}) must not be over `max` ({self.max}).", min=self.max, max=self.min)
        return self

    def within(self, instances: int) -> int:
        """The nearest number that is allowed."""
        return max(self.min, min(self.max, instances))


_LIKE_AN_ID = re.compile(r"(agent|instance)_[a-z0-9]{12}")


def is_id(text: str) -> bool:
    """Whether a text is an agent's or an instance's id rather than a name."""
    return _LIKE_AN_ID.fullmatch(text) is not None


def _no_id(name: str) -> str:
    if is_id(name):
        raise ValidationFailed(f"{name} looks like an id, so it cannot be a name.", next="Choose another name.")
    return name


class AgentSpec(Frozen):
    """What is said of an agent when it registers."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        "id": "it is given one, and goes by its name as well",
        **dict.fromkeys(
            ("status", "state"),
            "an agent's status follows from what it does; agents_control(action='pause', 'resume', ...) changes that",
        ),
    }

    name: Annotated[Word, AfterValidator(_no_id)] = Field(examples=["scribe"])
    kind: Word = "llm"
    description: Text = ""
    capabilities: Annotated[tuple[Capability, ...], BeforeValidator(_of_a_map)] = Field(default=(), max_length=64)
    max_concurrent_tasks: int = Field(default=1, ge=1, le=1000)
    tags: tuple[Word, ...] = Field(default=(), max_length=32)
    budget: BudgetSpec | None = None
    launcher: LauncherUse | None = Field(default=None, description="One the operator declared; runs the instances")
    scaling: ScalingSpec | None = None

    def said(self) -> set[str]:
        """The fields that were given; null is as good as not given."""
        fields = self.model_fields_set & AgentSpec.model_fields.keys() - {"name"}
        return {name for name in fields if getattr(self, name) is not None}

    def columns(self) -> dict[str, Any]:
        """The spec as stored columns."""
        offered = [c.model_dump(exclude_none=True) for c in self.capabilities]
        return {
            "name": self.name,
            "kind": self.kind,
            "description": self.description,
            "capabilities": RawJson(dump_json(offered)),
            "skills": RawJson(dump_json(skills(self.capabilities))),
            "max_concurrent_tasks": self.max_concurrent_tasks,
            "tags": json_list(self.tags),
            "budget": _json_or_none(self.budget),
            "launcher": _json_or_none(self.launcher),
            "scaling": _json_or_none(self.scaling),
        }


def _json_or_none(spec: Frozen | None) -> RawJson | None:
    return None if spec is None else RawJson(spec.model_dump_json(exclude_none=True))


def skills(capabilities: tuple[Capability, ...]) -> list[str]:
    """Every way a task may ask for these capabilities: `name`, and `name@version` where there is one."""
    names = {c.name for c in capabilities}
    return sorted(names | {f"{c.name}@{c.version}" for c in capabilities if c.version})


class Register(AgentSpec):
    """An agent registers, perhaps with the process or session that speaks for it."""

    instance: InstanceSpec | None = Field(default=None, description="This session or process")


_AT_ONCE = (
    "it is done at once; for later, tasks_create(tasks=[{title, run_at, input}]) has an agent that may control agents "
    "make this call then, and cancelling that task calls it off"
)
_NO_END = (
    "nothing but action='resume' ends a pause; tasks_create(tasks=[{title, run_at, input}]) has an agent do so then"
)


class ControlAgent(Frozen):
    """An agent is moved through its lifecycle; one that leaves or rests may hand over what it holds."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("at", "from", "run_at", "starts_at", "start_at", "since", "delay_seconds", "when"), _AT_ONCE),
        **dict.fromkeys(("until", "to", "ends_at", "resume_at", "duration_seconds", "for_seconds"), _NO_END),
    }

    agent_id: AgentName
    action: AgentAction
    to_agent: AgentName | None = None
    reason: Line | None = None

    @model_validator(mode="after")
    def _hands_over_what_it_leaves(self) -> Self:
        if self.to_agent is not None and self.action == "resume":
            raise not_together(
                "`to_agent` takes over from an agent that leaves or rests, and this one works again.",
                next="What it gave away comes back by tasks_control(action='assign'), locks_release(to_agent=...).",
                to_agent=None,
            )
        return self

    def leaves(self) -> bool:
        """Whether nobody works as the agent afterwards."""
        return self.action in ("terminate", "delete")


class FindAgents(Listing):
    """Agents are listed, narrowed by what is given."""

    name: str | None = None
    status: AgentStatus | None = None
    capability: Sought | None = None
    tag: Sought | None = None
