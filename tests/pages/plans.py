"""A long plan that waits for a person, and the link to its page."""

from mcp_server.domain.approvals.model import ApprovalPolicy
from mcp_server.domain.approvals.rules import Rule
from mcp_server.domain.deployments.policy import DeploymentPolicy
from tests.domain.deployments.played import Stage
from tests.world import World

STEPS = 50
LONG = "long-" + "x" * 180
"""A word that fits no phone."""


async def planned(world: World, address: str, who: str) -> tuple[str, str]:
    """The hash of a plan of fifty steps, and where who is asked decides about it."""
    rule = Rule(tool="deployments_apply", approvers=(who,))
    stage = Stage(world, DeploymentPolicy(rules=(rule,)), ApprovalPolicy(links_base=address))
    world.desk = stage.desk
    services = [{"name": f"service-{number}", "replicas": 2} for number in range(STEPS)]
    services[0]["env"] = {"OPTIONS": LONG}
    await stage.define(services=services)
    plan = await stage.plan()
    applied = await stage.apply(plan)
    assert applied.deployment.run is not None and applied.deployment.run.approval_id is not None
    url = await stage.desk.approvals.link(applied.deployment.run.approval_id, who)
    assert url is not None
    return plan.hash, url
