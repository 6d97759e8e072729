"""The promises of Workers on this machine, with the real workerd."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_server.integrations import held, keeper
from mcp_server.integrations.workers.binaries import find_workerd
from mcp_server.integrations.workers.model import Worker
from mcp_server.integrations.workers.place import Place
from mcp_server.integrations.workers.workerd import address, serve
from mcp_server.kernel.errors import Unavailable, ValidationFailed
from tests.integrations.workers.programs import WORKERD, needs_workerd

pytestmark = [pytest.mark.anyio, needs_workerd]
ECHO = "export default { fetch(request, env) { return Response.json(env) } }"


def worker(source: str = ECHO, **more: Any) -> Worker:
    said = {"name": "site", "modules": {"w.js": source}, "main": "w.js", "compatibility_date": "2026-01-01"}
    return Worker.model_validate(said | more)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncGenerator[Place]:
    one = Place(tmp_path / "place")
    yield one
    if one.folder.exists():
        await one.stop(grace_seconds=0)


async def serving(place: Place, one: Worker, **secrets: str) -> str:
    assert WORKERD is not None
    return await serve(WORKERD, one, place, secrets)


async def get(url: str) -> Any:
    async with httpx2.AsyncClient() as client:
        return (await client.get(url)).json()


async def test_a_worker_answers_with_all_that_it_is_bound_to_whatever_its_names_and_texts_are(place: Place):
    hostile = "\".); \\ \x01 é   \U0001f600 \n\r\t '}"
    module = 'import text from "./a é.txt"; export default { fetch(r, env) { return Response.json([env, text]) } }'
    one = worker(
        modules={'m"\\);.js': module, "a é.txt": hostile, "d.bin": {"base64": "AAEC"}},
        main='m"\\);.js',
        vars={"T": hostile, "J": {hostile: [1, None, hostile]}},
        secrets=["KEY"],
    )
    url = await serving(place, one, KEY="hush " + hostile)
    assert await get(url) == [{"T": hostile, "J": {hostile: [1, None, hostile]}, "KEY": "hush " + hostile}, hostile]
    kept = b"".join(path.read_bytes() for path in place.folder.iterdir())
    assert b"hush" not in kept
    assert {path.stat().st_mode & 0o077 for path in place.folder.iterdir() if path.name in ("config.capnp", "log")} == {
        0
    }


async def test_nothing_of_the_servers_environment_reaches_a_worker(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATAMCP_SMTP_PASSWORD", "hush")
    await serving(place, worker())
    assert b"hush" not in Path(f"/proc/{place.pid}/environ").read_bytes()


async def test_what_does_not_start_says_why_and_leaves_nothing_running(place: Place):
    with pytest.raises(ValidationFailed, match="SyntaxError|Unexpected"):
        await serving(place, worker("export default {"))
    assert not place.is_running
    with pytest.raises(ValidationFailed, match="KEY"):
        await serving(place, worker(secrets=["KEY"]))


async def test_a_worker_is_started_once_however_often_and_by_whomever_it_is_asked_for(place: Place):
    urls = await asyncio.gather(*(serving(place, worker()) for _ in range(4)))
    assert len(set(urls)) == 1
    assert urls[0] == await serving(Place(place.folder), worker()) == address(Place(place.folder))


@pytest.mark.slow
async def test_a_worker_outlives_who_started_it_and_is_found_again_and_stopped(place: Place):
    place.write("worker.json", worker().model_dump_json())
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from mcp_server.integrations.workers.model import Worker\n"
        "from mcp_server.integrations.workers.place import Place\n"
        "from mcp_server.integrations.workers.workerd import serve\n"
        "place = Place(Path(sys.argv[1]))\n"
        "one = Worker.model_validate_json((place.folder / 'worker.json').read_text())\n"
        "print(asyncio.run(serve(Path(sys.argv[2]), one, place, {})), flush=True)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place.folder), str(WORKERD)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert address(place) == done.stdout.strip()
    assert await get(done.stdout.strip()) == {}
    await place.stop()
    assert (address(place), place.pid) == (None, None)


async def test_the_lock_tells_who_runs_and_not_a_number_that_another_may_have(place: Place):
    await serving(place, worker())
    await place.stop()
    place.write("pid", str(os.getpid()))
    await place.stop()  # this test still runs
    assert not place.is_running


async def under_way(place: Place) -> None:
    """Until a Worker that says so answers a request."""
    async with asyncio.timeout(60):
        while "under way" not in place.log():
            await asyncio.sleep(0.01)


async def test_a_request_under_way_is_answered_when_a_worker_is_stopped_and_an_endless_loop_is_killed(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    slow = "console.log('under way'); await scheduler.wait(300); return Response.json('done')"
    url = await serving(place, worker(f"export default {{ async fetch() {{ {slow} }} }}"))
    answer = asyncio.create_task(get(url))
    await under_way(place)
    await place.stop()
    assert await answer == "done"
    other = Place(place.folder.parent / "other")
    url = await serving(other, worker("export default { fetch() { console.log('under way'); while (true) {} } }"))
    hangs = asyncio.create_task(get(url))
    await under_way(other)
    await other.stop(grace_seconds=0.1)
    assert not other.is_running
    with pytest.raises(httpx2.HTTPError):
        await hangs


async def test_a_log_that_a_worker_fills_begins_anew_and_the_worker_goes_on_writing(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeper, "OUTPUT_BYTES_MAX", 1000)
    source = "export default { fetch(r, env) { console.log('x'.repeat(2000)); return Response.json(env) } }"
    url = await serving(place, worker(source))
    await get(url)
    async with asyncio.timeout(60):
        while (place.folder / "log").stat().st_size < 2000:
            await asyncio.sleep(0.01)
    place.trim()
    assert place.log().endswith("bytes before this were dropped]\n")
    await get(url)
    async with asyncio.timeout(60):
        while "xxx" not in place.log():
            await asyncio.sleep(0.01)
    assert place.log().startswith("[") and b"\0" not in (place.folder / "log").read_bytes()


async def test_the_log_of_a_worker_is_bounded_when_it_is_read(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(held, "TAIL_BYTES", 100)
    await serving(place, worker())
    with (place.folder / "log").open("a") as log:
        log.write("x" * 1000 + "\x00end")
    assert place.log().endswith("end") and len(place.log()) < 101


def test_where_workerd_is_absent_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="npm install workerd"):
        find_workerd(None, [tmp_path])
    with pytest.raises(ValidationFailed, match="DATAMCP_WORKERS_WORKERD"):
        find_workerd(tmp_path / "none", [])
    deep = tmp_path / "site" / "src"
    program = tmp_path / "node_modules" / "workerd" / "bin" / "workerd"
    program.parent.mkdir(parents=True)
    program.write_text(json.dumps(""))
    program.chmod(0o755)
    assert find_workerd(None, [deep]) == program
    assert find_workerd(program, []) == program


async def test_a_worker_comes_back_where_it_answered_before_unless_that_is_taken_by_now(place: Place):
    url = await serving(place, worker())
    await place.stop()
    assert await serving(place, worker()) == url
    await place.stop()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", int(url.rpartition(":")[2])))
        stranger.listen()
        other = await serving(place, worker())
    assert other != url and await get(other) == {}


async def test_a_worker_reaches_no_private_address(place: Place):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        asks = (
            "export default { async fetch() { try { await fetch('http://127.0.0.1:%d/'); return Response.json('in') }"
        )
        asks += " catch { return Response.json('refused') } } }"
        url = await serving(place, worker(asks % listening.getsockname()[1]))
        assert await get(url) == "refused"
