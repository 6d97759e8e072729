"""The tool of scaling."""

from typing import Any

from mcp_server.domain.agents.commands import ScalingSpec
from mcp_server.domain.approvals.rules import Form
from mcp_server.domain.scaling.model import ScaleAgent
from mcp_server.domain.scaling.service import ScaledAgent, ScalingService
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.quoting import named
from tools.spec import UPDATE, Part, Tool


def _say(result: ScaledAgent) -> str:
    decision = result.decision
    started = "" if decision["starts_instances"] else "; people start them"
    return f"Agent {result.agent.name} is to have {decision['to']} instances, {decision['from']} before{started}."


def _says(args: ScaleAgent) -> str:
    scaling = args.scaling
    wanted = f"{args.desired_instances}" if scaling is None else _bounds(scaling)
    return f"Have {wanted} instances of agent {named(args.agent_id)}."


def _bounds(scaling: ScalingSpec) -> str:
    """Where no least is said, it stays what it is."""
    least = "at most" if "min" not in scaling.model_fields_set else f"between {scaling.min} and"
    return f"{least} {scaling.max}"


def _as_registration(args: ScaleAgent, said: dict[str, Any]) -> list[Form]:
    """How many instances an agent has is said when it registers, too."""
    scaled = {"name": args.agent_id, "scaling": said["scaling"]}
    return [] if args.scaling is None else [Form("agents_register", scaled, alters=True)]


TOOLS = (
    Tool(
        name="agents_scale",
        title="Scale an agent",
        description="Have so many instances of an agent, or as many as its ready tasks ask for (scaling). "
        "Without a launcher they are asked for, not started.",
        toolset="agents",
        permission=Permission.AGENTS_CONTROL,
        hints=UPDATE,
        arguments=ScaleAgent,
        result=ScaledAgent,
        write=lambda desk: desk.get(ScalingService).scale,
        part=Part(_says, refers={"agent_id": "agent"}, forms=_as_registration),
        say=_say,
    ),
)
