"""Carrying out a run: one phase after the other, each written down before it is tried and after it is done. Whoever
goes on after a crash looks first; whoever comes late is refused by the lease."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from mcp_server.domain.deployments import transactions
from mcp_server.domain.deployments.configuration import Config, Probe
from mcp_server.domain.deployments.hiding import Secrets
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.runs import OPEN, TRIES_MAX, Run, RunStatus
from mcp_server.domain.deployments.targets import Facts, Phase, PhaseFailed, Subject, Target, Targets, Work
from mcp_server.domain.deployments.transactions import Attempt
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import Conflict, LeaseLost, OpsError
from mcp_server.kernel.handling import HandlerFailed, Job
from mcp_server.kernel.json_text import storable
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import Micros


class Rollout:
    """Carries out runs, each as its task's handler."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self.targets = services.option(Targets)

    async def carry_out(self, job: Job) -> Facts:
        """Do what is left of a run; what it came to.

        Raises:
            HandlerFailed: it did not work, or will be tried again.
            LeaseLost: somebody else carries it out now.
        """
        one = _One(self, job, await self.write(transactions.attempt, job.input["run_id"], job.lease_token))
        return await one.carry_out()

    def now(self) -> Micros:
        """What time it is."""
        return self._context.clock()

    async def write(self, function: Any, *args: Any) -> Any:
        """A transaction of the server's own."""
        return await self._database.write(function, self._context.origin(SYSTEM_CALL), *args)


class _One:
    """One attempt of one run."""

    def __init__(self, rollout: Rollout, job: Job, found: Attempt) -> None:
        self._rollout = rollout
        self._job = job
        self._run: Run = found.run
        self._plan: Plan = found.plan
        self._subject = found.deployment.subject(found.run.revision, found.config, found.live_config, found.then)
        self._secrets = Secrets(rollout.targets, self._subject)
        self._here = self._run.id, job.lease_token

    async def carry_out(self) -> Facts:
        if self._run.status not in OPEN:
            raise HandlerFailed(f"It is {self._run.status} already.", "over", retryable=False)
        try:
            target = self._rollout.targets.get(self._subject.target)
        except OpsError as error:
            raise HandlerFailed(error.message, "unavailable", True, 30.0) from error
        if not self._run.has_begun() and self._run.failure is None:
            await self._require_fresh(target)
        while (phase := self._run.next_phase()) is not None:
            await self._do(target, phase)
        return await self._settle()

    async def _require_fresh(self, target: Target) -> None:
        """What was approved may have waited for long: compared once more with what is there."""
        try:
            self._plan.require_same(await self._secrets.told(target.observe(self._subject)))
        except Conflict as error:
            await self._write(transactions.settle, "stale", error.message, None)
            raise HandlerFailed(error.message, "conflict", retryable=False) from error
        except OpsError as error:
            raise HandlerFailed(error.message, error.code, True) from error

    async def _do(self, target: Target, phase: Phase) -> None:
        before = self._run.told().get(phase, {})
        again = before.get("status") == "begun"
        if self._run.is_hopeless(phase, self._rollout.now()):
            await self._give_up(phase, f"{phase} was tried {before['tries']} times, and each attempt broke off.", {})
            return
        self._run = await self._write(transactions.begin_phase, phase)
        await self._job.report(f"{phase} of {self._subject.label}")
        try:
            facts = await self._facts_of(target, self._work(phase, again))
        except PhaseFailed as failed:
            await self._failed(phase, failed)
        else:
            self._run = await self._write(transactions.end_phase, phase, _storable(self._secrets.out_of(facts)))

    async def _facts_of(self, target: Target, work: Work) -> Facts:
        try:
            facts = await target.act(work)
            if work.phase == "check":
                return facts | await self._checked()
            return facts if work.phase != "revert" or facts.get("stopped") else facts | await self._restored()
        except LeaseLost:
            raise
        except OpsError as error:
            raise PhaseFailed(error.message) from error

    async def _failed(self, phase: Phase, failed: PhaseFailed) -> None:
        message = storable(self._secrets.out_of(failed.message))
        tries = self._run.told()[phase]["tries"]
        if failed.retry_after_seconds is not None and tries < TRIES_MAX:
            raise HandlerFailed(f"{phase}: {message}", "deferred", True, failed.retry_after_seconds) from None
        await self._give_up(phase, f"{phase}: {message}", _storable(self._secrets.out_of(failed.facts)))

    async def _give_up(self, phase: Phase, why: str, facts: Facts) -> None:
        if phase == "revert":
            said = f"{(self._run.failure or '').rstrip('.')}. It could not be undone: {why}"
            await self._write(transactions.settle, "failed", said, None)
            raise HandlerFailed(said, "failed", retryable=False)
        self._run = await self._write(transactions.fail_phase, phase, why, facts)

    async def _settle(self) -> Facts:
        run = self._run
        if run.failure is None:
            evidence = run.evidence()
            await self._write(transactions.settle, "succeeded", None, evidence)
            return {"operation": run.operation, "revision": run.revision} | evidence
        # Either it was undone, or nothing was touched before it failed.
        status: RunStatus = "rolled_back" if run.operation in ("apply", "rollback") else "failed"
        await self._write(transactions.settle, status, run.failure, None)
        raise HandlerFailed(f"{status.replace('_', ' ')}: {run.failure}", status, retryable=False)

    async def _checked(self) -> Facts:
        """What the services answered to the requests that show whether they work."""
        done = self._run.done()
        if done.get("deploy", {}).get("rendered"):
            return {}  # nothing runs that could be asked
        urls, wanted = _urls(self._subject, done), _probes(self._subject.config)
        missing = sorted({service for service, _ in wanted if service not in urls})
        if missing:
            raise PhaseFailed(f"Nobody told where {', '.join(missing)} can be reached, so it cannot be checked.")
        return await self._asked(urls, wanted)

    async def _restored(self) -> Facts:
        """What was live before answers again, as far as it is known where: undone is what was seen to be undone."""
        live, config = self._subject.live or {}, self._subject.live_config
        if config is None or live.get("rendered"):
            return {}
        urls = _told_urls(live, config)
        return await self._asked(urls, [(service, probe) for service, probe in _probes(config) if service in urls])

    async def _asked(self, urls: Mapping[str, str], wanted: list[tuple[str, Probe]]) -> Facts:
        found = await asyncio.gather(*(self._rollout.targets.probe(urls[service], probe) for service, probe in wanted))
        told = [_answer(asked, facts) for asked, facts in zip(wanted, found, strict=True)]
        _require_right(told)
        return {"checks": told} if told else {}

    def _work(self, phase: Phase, again: bool) -> Work:
        async def guard() -> None:
            await self._write(transactions.require_held)

        run = self._run
        return Work(
            self._subject, run.operation, phase, run.id, again, run.done(), self._secrets.value, guard, self._job.report
        )

    async def _write(self, function: Any, *args: Any) -> Run:
        return await self._rollout.write(function, *self._here, *args)


def _storable(told: Any) -> Any:
    """Facts whose texts can be stored."""
    if isinstance(told, str):
        return storable(told)
    if isinstance(told, dict):
        return {key: _storable(one) for key, one in cast("dict[str, Any]", told).items()}
    return [_storable(one) for one in cast("list[Any]", told)] if isinstance(told, list) else told


def _probes(config: Config) -> list[tuple[str, Probe]]:
    """What is asked of each service: its checks, else its health."""
    asked = ((service, service.checks or filter(None, (service.health,))) for service in config.services)
    return [(service.name, probe) for service, probes in asked for probe in probes]


def _answer(asked: tuple[str, Probe], facts: Facts) -> Facts:
    return {"service": asked[0], "path": asked[1].path} | facts


def _require_right(told: list[Facts]) -> None:
    wrong = [f"{facts['service']} {facts['path']}: {facts['said']}" for facts in told if not facts["ok"]]
    if wrong:
        why = f"What was asked did not answer as it should: {'; '.join(wrong)}."
        raise PhaseFailed(why, None, {"checks": told})


def _urls(subject: Subject, done: Mapping[str, Facts]) -> dict[str, str]:
    """Where each service can be reached, as the target told: of each, or one for all."""
    return _told_urls(done.get("deploy") or done.get("start") or subject.live or {}, subject.config)


def _told_urls(told: Facts, config: Config) -> dict[str, str]:
    if "urls" in told:
        return told["urls"]
    return {service.name: told["url"] for service in config.services} if told.get("url") else {}
