"""What deploying a Worker to Cloudflare would do, in words; what is refused; who answers how many of the requests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcp_server.domain.deployments.configuration import Service
from mcp_server.domain.deployments.targets import Facts, Step
from mcp_server.integrations.cloudflare.reach import wanted_of
from mcp_server.integrations.cloudflare.scripts import Share
from mcp_server.integrations.workers.model import Worker, digest
from mcp_server.kernel.errors import ValidationFailed


def require_deployable(worker: Worker) -> None:
    """Refuse what this desk does not make at Cloudflare.

    Raises:
        ValidationFailed: naming each.
    """
    beyond = [f"{kind} {name}" for name, kind in worker.beyond.items()]
    if beyond:
        raise ValidationFailed(
            f"The target cloudflare does not deploy {'; '.join(beyond)}.",
            next="Leave them out, or let the operator declare a target with wrangler.",
            details={"unsupported": beyond},
        )


def steps_of(service: Service, worker: Worker, here: Facts, uploaded: str | None = None) -> Iterator[Step]:
    """What would be done about one Worker, of which `here` is there now, and of which a version is uploaded already
    where it goes back to that."""
    if uploaded is None:
        size = f"{len(worker.modules)} modules, {sum(map(len, worker.modules.values()))} bytes"
        yield Step("upload" if here["exists"] else "create", f"Worker {worker.name}", f"{size}, {digest(worker)[:12]}")
        yield from _bindings(worker)
    else:
        yield Step("go back", f"Worker {worker.name}", f"to version {uploaded}, with the bindings that it has")
    yield from _unbound(worker, here)
    yield Step("share", f"{service.percent} % of the requests of {worker.name}")
    if sorted(worker.crons) != here.get("crons", []):
        yield Step("schedule", worker.name, ", ".join(worker.crons) or "nothing")
    if here.get("workers_dev", False) != wanted_of(worker).workers_dev:
        yield Step("turn on" if wanted_of(worker).workers_dev else "turn off", f"workers.dev of {worker.name}")
    yield from _addresses(worker, here["routes"])


def gone_of(name: str, here: Facts) -> Iterator[Step]:
    """What would be done to have one Worker gone."""
    yield from (Step("take away", f"{pattern} of {name}") for pattern, owner in here["routes"].items() if owner == name)
    yield Step("delete", f"Worker {name}")


def warnings_of(service: Service, worker: Worker, here: Facts, is_taken: bool) -> list[str]:
    """What a person should know beside the steps."""
    found = [f"{worker.name} is there already, and was not brought live by this deployment."] if is_taken else []
    owners = {route.pattern: here["routes"].get(route.pattern) for route in worker.routes}
    taken = {pattern: owner for pattern, owner in owners.items() if owner not in (None, worker.name)}
    found += [f"{pattern} is answered by {owner or 'no Worker, on purpose'} now." for pattern, owner in taken.items()]
    if service.percent < 100:
        found.append(
            f"Checks of {service.name} may be answered by the version before: it is shared {service.percent} %."
        )
    return found


def shares_of(version: str, percent: int, before: Sequence[Sequence[Any]]) -> list[Share]:
    """The new version answers its part of the requests, and the one that answered most before the rest."""
    others = [Share(*one) for one in before if one[0] != version]
    if percent == 100 or not others:
        return [Share(version, 100.0)]
    most = max(others, key=lambda one: one.percent)
    return [Share(version, float(percent)), Share(most.version_id, 100.0 - percent)]


def _bindings(worker: Worker) -> Iterator[Step]:
    yield from (Step("bind", f"{one.binding} of {worker.name}", f"KV {one.id or one.namespace}") for one in worker.kv)
    yield from (Step("bind", f"{one.binding} of {worker.name}", f"D1 {one.id}") for one in worker.d1)
    yield from (Step("set", f"secret {name} of {worker.name}") for name in worker.secrets)
    if worker.assets is not None:
        yield Step("serve", f"{len(worker.assets.files)} assets of {worker.name}", f"{worker.assets.size} bytes")


def _unbound(worker: Worker, here: Facts) -> Iterator[Step]:
    """What is bound there now, perhaps by hand, and would not be any more."""
    names = worker.bound()
    there: Sequence[Facts] = here.get("settings", {}).get("bindings", [])
    gone = [one for one in there if one["name"] not in names]
    yield from (Step("unbind", f"{one['name']} of {worker.name}", one["type"].replace("_", " ")) for one in gone)


def _addresses(worker: Worker, owners: Mapping[str, str | None]) -> Iterator[Step]:
    wanted = {route.pattern for route in worker.routes}
    ours = {pattern for pattern, owner in owners.items() if owner == worker.name}
    yield from (Step("route", f"{pattern} to {worker.name}") for pattern in sorted(wanted - ours))
    yield from (Step("take away", f"{pattern} of {worker.name}") for pattern in sorted(ours - wanted))
