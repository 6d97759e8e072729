"""Transaction functions of scaling: from a number of instances to the processes that are wanted."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from mcp_server.domain.agents.commands import InstanceSpec, ScalingSpec
from mcp_server.domain.agents.launchers import Launchers
from mcp_server.domain.agents.model import Agent, gone
from mcp_server.domain.agents.rows import is_known, load_agent, named_agent
from mcp_server.domain.agents.seen import AgentNow, agent_now
from mcp_server.domain.agents.transactions import instance_ended, instance_started, instances_run, introduce_instance
from mcp_server.domain.processes.model import Process, Want
from mcp_server.domain.processes.transactions import forget, processes_of, unwant, want
from mcp_server.domain.scaling.model import Decision, ScaleAgent
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.merging import merged
from mcp_server.kernel.store import Transaction

OWNER = "agent"
"""What the owner of such processes is called."""


class Scaled(NamedTuple):
    """How the agent stands, and what was decided about it."""

    now: AgentNow
    decision: dict[str, Any]


def scale(launchers: Launchers, tx: Transaction, origin: Origin, command: ScaleAgent) -> Scaled:
    """Have so many instances of an agent, or as many as its work asks for by rules. What rests after failures is tried
    again.

    Raises:
        NotFound: there is no such agent.
        InvalidTransition: it has left.
        LimitExceeded: that is more than its launcher allows.
    """
    agent = named_agent(tx, command.agent_id)
    if agent.lifecycle == "terminated":
        raise gone(agent.id, agent.name)
    if agent.launcher is not None:
        launchers.require_number(json.loads(agent.launcher)["name"], command.most)
    before = agent.desired_instances
    policy = None if command.scaling is None else merged(agent.scaling_spec(), command.scaling)
    after, reason = command.model_copy(update={"scaling": policy}).asked_for(before)
    decision = Decision(origin.at, before, after, reason, None, None, origin.actor)
    told = _decided(tx, origin, agent, policy, decision, again=True)
    return Scaled(agent_now(tx, origin, agent.id), told)


def autoscale(tx: Transaction, origin: Origin, agent_id: str, policy: ScalingSpec, decision: Decision) -> bool:
    """Do what was decided, unless the agent is another by now; whether it was done."""
    if not is_known(tx, agent_id):
        return False
    agent = load_agent(tx, agent_id)
    is_so_still = agent.lifecycle == "active" and agent.scaling_spec() == policy
    if not is_so_still or agent.desired_instances != decision.before:
        return False
    _decided(tx, origin, agent, policy, decision)
    return True


def _decided(
    tx: Transaction,
    origin: Origin,
    agent: Agent,
    policy: ScalingSpec | None,
    decision: Decision,
    *,
    again: bool = False,
) -> dict[str, Any]:
    most = 0 if policy is None else policy.max
    told = decision.told(is_started=agent.launcher is not None, capacity=agent.max_concurrent_tasks, most=most)
    new, event = agent.scaled(decision.after, policy, told, origin.at)
    cause = origin.caused_by(tx.record(origin, event))
    _fit(tx, cause, new, again=again)
    return told


def changed(tx: Transaction, origin: Origin, agent: Agent) -> None:
    """An agent was given a launcher, rules, or another lifecycle: its instances follow."""
    policy, before = agent.scaling_spec(), agent.desired_instances
    if policy is not None and policy.within(before) != before:
        reason = f"its rules ask for {policy.min} to {policy.max}"
        decision = Decision(origin.at, before, policy.within(before), reason, None, None, origin.actor)
        _decided(tx, origin, agent, policy, decision)
    elif agent.launcher is not None:
        _fit(tx, origin, agent)


def left(tx: Transaction, origin: Origin, agent_id: str, reason: str) -> list[str]:
    """An agent has left: none of its instances is wanted any more. No task goes back by that alone."""
    for process in processes_of(tx, OWNER, agent_id):
        unwant(tx, origin, process.id, reason)
    return []


def process_changed(tx: Transaction, origin: Origin, process: Process) -> None:
    """The process of an instance has started or ended: so has the instance."""
    if process.owner_kind != OWNER:
        return
    if process.status == "running" and not process.adopted:
        instance_started(tx, origin, process.id, process.host or "", process.pid or 0)
    elif process.pid is None:
        instance_ended(tx, origin, process.id, in_order=not process.wanted)
    if process.status == "stopped" and not is_known(tx, process.owner_id):
        forget(tx, origin, process)


def seen(tx: Transaction, origin: Origin, process_ids: Sequence[str]) -> None:
    """Instances that run are alive, also where their program never calls."""
    instances_run(tx, origin, process_ids)


def _fit(tx: Transaction, origin: Origin, agent: Agent, *, again: bool = False) -> None:
    """Want as many processes as there are to be instances; `again` is to try those at once that rest after failures."""
    places = {place.slot: place for place in processes_of(tx, OWNER, agent.id)}
    number = 0 if agent.launcher is None else agent.desired_instances
    for slot in range(number):
        wanted = _wanted(tx, origin, agent, slot)
        if _is_to_be_told(places.get(slot), wanted, again=again):
            want(tx, origin, wanted)
    for place in places.values():
        if place.slot >= number and place.wanted:
            unwant(tx, origin, place.id, f"{number} instances are wanted")


def _is_to_be_told(place: Process | None, wanted: Want, *, again: bool) -> bool:
    """Whether a place does not know yet that this is wanted there, or is to try at once."""
    if place is None or not place.wanted:
        return True
    told = (place.scope, json.loads(place.spec))
    return told != (wanted.scope, json.loads(wanted.spec)) or (again and place.pid is None)


def _wanted(tx: Transaction, origin: Origin, agent: Agent, slot: int) -> Want:
    use = json.loads(agent.launcher or "{}")
    label = f"supervised-{slot}"
    instance_id = introduce_instance(tx, origin, agent.id, InstanceSpec(label=label))
    known = {"agent_id": agent.id, "agent_name": agent.name, "agent_kind": agent.kind, "instance": label, "slot": slot}
    spec = {"launcher": use["name"], "arguments": use.get("arguments", {}), "known": known}
    return Want(instance_id, OWNER, agent.id, slot, scope_of(use["name"]), RawJson(dump_json(spec)))


def scope_of(launcher: str) -> str:
    """What a supervisor must know to run the instances of a launcher."""
    return f"launcher:{launcher}"
