"""A target and a prober that the test plays, and a desk with them."""

from collections.abc import Callable
from typing import Any

from mcp_server.domain.areas import AREAS
from mcp_server.domain.deployments.configuration import Probe
from mcp_server.domain.deployments.spec import ApplyDeployment, DefineDeployment, PlanDeployment
from mcp_server.domain.deployments.targets import Facts, Outlook, PhaseFailed, Step, Subject, Targets, Work
from mcp_server.domain.deployments.views import AppliedDeployment, DefinedDeployment, PlanView
from mcp_server.domain.desk import Desk
from mcp_server.runtime.system_worker import SystemWorker
from tests.domain.events.test_thinning import desk_with
from tests.world import World

Says = Facts | BaseException | None


class Played:
    """Does what it is told, by phase, in order; then each phase works. Keeps what was done."""

    takes = frozenset({"env", "secrets", "health", "checks", "replicas"})
    operations = frozenset({"apply", "rollback", "destroy", "stop", "start"})

    def __init__(self) -> None:
        self.says: dict[str, list[Says]] = {}
        self.there: Facts = {"exists": False}
        self.done: list[tuple[str, int, bool]] = []
        self.during: Callable[[Work], Any] | None = None
        self.secrets: dict[str, str] = {}

    def check(self, subject: Subject) -> None:
        del subject

    async def observe(self, subject: Subject) -> Facts:
        del subject
        return dict(self.there)

    async def outlook(self, subject: Subject, operation: str, observed: Facts) -> Outlook:
        del observed
        return Outlook([Step(operation, one.name, f"{one.replicas} replicas") for one in subject.config.services], [])

    async def act(self, work: Work) -> Facts:
        await work.guard()
        self.done.append((work.phase, work.subject.revision, work.again))
        self.secrets |= {name: work.secret(name) for name in work.subject.config.secrets}
        if self.during is not None:
            await self.during(work)
        says = self.says.get(work.phase)
        said = says.pop(0) if says else None
        if isinstance(said, BaseException):
            raise said
        if work.phase == "deploy":
            return {"url": "http://played/", "version_id": f"v{work.subject.revision}"} | (said or {})
        return said or {}

    def drift(self, subject: Subject, observed: Facts) -> list[str]:
        del subject
        return [] if observed.get("moved") is None else [f"moved is {observed['moved']}"]

    async def logs(self, subject: Subject) -> str | None:
        return f"log of {subject.label}"

    def phases(self) -> list[str]:
        return [phase for phase, _, _ in self.done]


class Answers:
    """What services answer to the requests that show whether they work."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.bad: set[str] = set()

    async def __call__(self, url: str, probe: Probe) -> Facts:
        self.asked.append((url, probe.path))
        ok = probe.path not in self.bad
        return {"ok": ok, "said": "status 200" if ok else "status 500 instead of 200", "status": 200 if ok else 500}


class Stage:
    """A world whose desk deploys to what the test plays."""

    def __init__(self, world: World, *options: object) -> None:
        self.world = world
        self.target = Played()
        self.answers = Answers()
        targets = Targets({"played": lambda: self.target}, {}, self.answers, lambda reference: f"value of {reference}")
        self.options = (targets, *options)
        self.open_desk(*self.options)

    def open_desk(self, *options: object) -> None:
        """Work at a desk of these options from now on."""
        self.desk: Desk = desk_with(self.world, *options)
        self.worker = SystemWorker(self.desk, AREAS.kinds)

    async def define(self, name: str = "shop", environment: str = "dev", **more: Any) -> DefinedDeployment:
        said = {"services": [{"name": "web"}], "target": "played"} | more
        command = DefineDeployment.model_validate({"name": name, "environment": environment} | said)
        return await self.desk.deployments.define(self.world.call, command)

    async def plan(self, reference: str = "shop", **more: Any) -> PlanView:
        command = PlanDeployment.model_validate({"deployment_id": reference} | more)
        return (await self.desk.deployments.plan(self.world.call, command)).plan

    async def apply(self, plan: PlanView) -> AppliedDeployment:
        command = ApplyDeployment(deployment_id=plan.deployment_id, plan_hash=plan.hash)
        return await self.desk.deployments.apply(self.world.call, command)

    async def work(self, seconds: float = 0.0) -> None:
        """Whatever is due is done."""
        self.world.clock.advance(seconds)
        await self.desk.housekeeping.settle()
        while await self.worker.look():
            await self.worker.idle()

    async def live(self, name: str = "shop", **more: Any) -> DefinedDeployment:
        """One that is defined and brought live."""
        defined = await self.define(name, **more)
        await self.apply(await self.plan(defined.deployment.id))
        await self.work()
        return defined

    async def seen(self, reference: str = "shop") -> Any:
        return await self.desk.deployments.get(self.world.call, reference)


def broken(message: str = "it broke", after: float | None = None) -> PhaseFailed:
    return PhaseFailed(message, after)
