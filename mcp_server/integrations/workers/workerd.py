"""A Worker on this machine: Cloudflare's runtime on loopback, started once in a folder, and found again there."""

import re
from collections.abc import Mapping
from pathlib import Path

from mcp_server.integrations.workers.capnp import SOCKET, Backend, config, variable
from mcp_server.integrations.workers.model import Worker
from mcp_server.integrations.workers.place import Place
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.quoting import named, quoted

START_SECONDS_MAX = 10.0
_FAILED = re.compile(r"^.*(?:error|failed|[Uu]ncaught).*$", re.MULTILINE)


async def serve(
    program: Path, worker: Worker, place: Place, secrets: Mapping[str, str], backend: Backend | None = None
) -> str:
    """Serve a Worker on loopback, where it answered before or on a free port; where it answers. What runs in its place
    already is left as it is.

    Args:
        program: workerd.
        worker: what to serve.
        place: where, of nothing else.
        secrets: the value of each of its secrets.
        backend: of its KV bindings.

    Raises:
        ValidationFailed: it cannot be served by workerd, a secret is missing, or its code does not start.
        Unavailable: no process can be started.
    """
    variables = environment(worker, secrets)
    for listen in dict.fromkeys((_listened(place), "127.0.0.1:0")):  # where it was before, unless that is taken by now
        text = config(worker, backend, listen)
        if not place.is_running:
            place.write("config.capnp", text)
        argv = [str(program), "serve", "--control-fd={control}", str(place.folder / "config.capnp"), "config"]
        port = await place.start(argv, variables, SOCKET, START_SECONDS_MAX)
        if port is not None:
            place.write("listened", f"127.0.0.1:{port}")
            return f"http://127.0.0.1:{port}"
        await place.stop(grace_seconds=0)
    raise _unstarted(place.log())


def _listened(place: Place) -> str:
    try:
        return (place.folder / "listened").read_text()
    except OSError:
        return "127.0.0.1:0"


def address(place: Place) -> str | None:
    """Where the Worker of a place answers; None where none runs."""
    port = place.port(SOCKET) if place.is_running else None
    return None if port is None else f"http://127.0.0.1:{port}"


def environment(worker: Worker, secrets: Mapping[str, str]) -> dict[str, str]:
    """The variables of a Worker's process: its own secrets and nothing of ours.

    Raises:
        ValidationFailed: a secret has no value; all such are named.
    """
    missing = [name for name in worker.secrets if name not in secrets]
    if missing:
        raise ValidationFailed(
            f"The Worker's secrets {', '.join(map(named, missing))} have no value.",
            next="Name in the deployment's secrets where each comes from.",
            details={"missing": missing},
        )
    return {variable(name): secrets[name] for name in worker.secrets}


def _unstarted(said: str) -> ValidationFailed:
    found = _FAILED.search(said)
    return ValidationFailed(
        f"workerd does not serve the Worker; it said {quoted(found[0] if found else said, 300)}.",
        next="Correct the Worker.",
        details={"log": said[-4000:]},
    )
