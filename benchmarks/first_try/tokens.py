"""Tokens (o200k_base) that a model reads and writes for three jobs through this desk and two peers in one run: npm's
`task-master-ai` and PyPI's `fleetwright`. The list of tools (names, descriptions, input schemas), arguments of calls
and the texts of results are added up. Needs npm's and PyPI's registries; a gigabyte of disk for task-master.

    python -m benchmarks.first_try.tokens [--peers FOLDER]

--peers keeps what is installed for another run.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rs_bpe.bpe import openai

from benchmarks.first_try.client import Client

NPM, PYPI = "task-master-ai@0.43.1", "fleetwright==0.25.0"
TITLES = [f"Check page {n} of the manual" for n in range(20)]
ENCODING = openai.o200k_base()


class Desk(Protocol):
    """What the jobs need of a desk; each method is one or a few calls."""

    def create(self, titles: list[str], after: dict[int, list[int]]) -> None: ...
    def look(self) -> None: ...
    def take(self) -> Any: ...
    def finish(self, work: Any) -> None: ...
    def fail(self, work: Any) -> None: ...
    def again(self, work: Any) -> None: ...


class Counted:
    """A client whose calls are counted."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.calls = self.asked = self.told = 0
        tools = client.request("tools/list", {})["result"]["tools"]
        parts = (f"{one['name']}\n{one.get('description', '')}\n{compact(one['inputSchema'])}" for one in tools)
        self.listed = sum(map(tokens, parts))

    def __call__(self, tool: str, **arguments: Any) -> str:
        result = self._client.call(tool, arguments)
        text = "\n".join(one.get("text", "") for one in result["content"])
        assert not result.get("isError"), f"{tool}: {text}"
        self.calls += 1
        self.asked += tokens(f"{tool} {compact(arguments)}")
        self.told += tokens(text)
        return text


def tokens(text: str) -> int:
    """How many tokens a text has."""
    return len(ENCODING.encode(text))


def compact(value: Any) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def value_in(text: str) -> Any:
    """The JSON that a text ends with."""
    return json.loads(text[text.index("{") :])


class Ours:
    """This desk."""

    def __init__(self, call: Counted) -> None:
        self._call = call

    def create(self, titles: list[str], after: dict[int, list[int]]) -> None:
        tasks = [{"title": title} for title in titles]
        for number, before in after.items():
            tasks[number] |= {"depends_on": [f"#{one}" for one in before]}
        self._call("tasks_create", tasks=tasks)

    def look(self) -> None:
        self._call("tasks_find")

    def take(self) -> Any:
        return value_in(self._call("tasks_claim"))["claims"][0]

    def finish(self, work: Any) -> None:
        self._call("tasks_finish", **self._lease(work), outcome="completed", result={"pages": 1})

    def fail(self, work: Any) -> None:
        error = {"message": "the page is gone", "retryable": False}
        self._call("tasks_finish", **self._lease(work), outcome="failed", error=error)

    def again(self, work: Any) -> None:
        self._call("tasks_control", task_ids=[work["task"]["id"]], action="retry")

    @staticmethod
    def _lease(work: Any) -> dict[str, str]:
        return {"task_id": work["task"]["id"], "lease_token": work["lease_token"]}


class TaskMaster:
    """npm `task-master-ai`; each task is added by a call of its own, and there is no failing but a status."""

    def __init__(self, call: Counted, folder: Path) -> None:
        self._call, self._root = call, {"projectRoot": str(folder)}
        call("initialize_project", **self._root, skipInstall=True, initGit=False, storeTasksInGit=False, yes=True)
        (folder / ".taskmaster/tasks").mkdir(parents=True, exist_ok=True)
        (folder / ".taskmaster/tasks/tasks.json").write_text('{"master": {"tasks": [], "metadata": {}}}')

    def create(self, titles: list[str], after: dict[int, list[int]]) -> None:
        for number, title in enumerate(titles):
            before = ",".join(str(one + 1) for one in after.get(number, ()))
            more = {"dependencies": before} if before else {}
            self._call("add_task", **self._root, title=title, description=title, **more)

    def look(self) -> None:
        self._call("get_tasks", **self._root)

    def take(self) -> Any:
        text = self._call("next_task", **self._root)
        found = re.search(r'"nextTask":\s*\{\s*"id":\s*"?(\d+)', text)
        assert found is not None, text
        self._status(found[1], "in-progress")
        return found[1]

    def finish(self, work: Any) -> None:
        self._status(work, "done")

    def fail(self, work: Any) -> None:
        self._status(work, "blocked")

    def again(self, work: Any) -> None:
        self._status(work, "pending")

    def _status(self, work: Any, status: str) -> None:
        self._call("set_task_status", **self._root, id=work, status=status)


class Fleetwright:
    """PyPI `fleetwright`; it knows no dependencies, so its jobs are done without."""

    def __init__(self, call: Counted) -> None:
        self._call = call
        self._run = re.search(r"run[-_\w]*", call("start_run", label="manual"))
        call("define_kind", kind="check", instructions="Check the page.", done_when="It is checked.")

    def create(self, titles: list[str], after: dict[int, list[int]]) -> None:
        del after
        self._call("add_jobs", kind="check", names=titles)

    def look(self) -> None:
        self._call("job_status")

    def take(self) -> Any:
        found = re.search(r'"unit_id":\s*"([^"]+)"', self._call("claim_job", kind="check"))
        assert found is not None
        return found[1]

    def finish(self, work: Any) -> None:
        self._call("finish_job", unit_id=work, result={"pages": 1})

    def fail(self, work: Any) -> None:
        self._call("fail_job", unit_id=work, note="the page is gone")

    def again(self, work: Any) -> None:
        """It retries by itself."""


def twenty(desk: Desk) -> None:
    """Twenty tasks, ten of them after another; take and finish each; see all before and after."""
    desk.create(TITLES, {number: [number - 10] for number in range(10, 20)})
    desk.look()
    for _ in TITLES:
        desk.finish(desk.take())
    desk.look()


def diamond(desk: Desk) -> None:
    """One, then two at once, then one that waits for both."""
    desk.create(TITLES[:4], {1: [0], 2: [0], 3: [1, 2]})
    for _ in range(4):
        desk.look()
        desk.finish(desk.take())
    desk.look()


def repaired(desk: Desk) -> None:
    """One of five fails for good, is found, tried again and done."""
    desk.create(TITLES[:5], {})
    work = desk.take()
    desk.fail(work)
    desk.look()
    desk.again(work)
    for _ in range(5):
        desk.finish(desk.take())
    desk.look()


JOBS = (twenty, diamond, repaired)


class Served(NamedTuple):
    """A server: its name, how its calls are made, its command, and what its environment says."""

    name: str
    calls: Callable[[Counted, Path], Any]
    arguments: list[str]
    program: str
    settings: Mapping[str, str] = {}


def desks(peers: Path) -> Iterator[Served]:
    """Ours and the peers."""
    own = ["-m", "mcp_server", "--database", "sqlite:///desk.db"]
    named = {"DATAMCP_AGENT": "ann"}  # as `install` writes it
    yield Served("ours", lambda call, _: Ours(call), own, sys.executable, named)
    entry = peers / "node_modules/.bin/task-master-mcp"
    yield Served("task-master", TaskMaster, [], str(entry), {"TASK_MASTER_TOOLS": "standard"})
    yield Served("fleetwright", lambda call, _: Fleetwright(call), ["serve"], str(peers / "python/bin/fleetwright"))


def install(peers: Path) -> None:
    """Both peers, unless they are there."""
    if not (peers / "node_modules").exists():
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(peers), NPM], check=True
        )
    if not (peers / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(peers / "python")], check=True)
        subprocess.run([str(peers / "python/bin/python"), "-m", "pip", "install", "-q", PYPI], check=True)


def measured(job: Any, desk: Served) -> dict[str, int]:
    """One job through one desk."""
    with tempfile.TemporaryDirectory() as name:
        client = Client(Path(name), desk.arguments, desk.program, desk.settings)
        call = Counted(client)
        job(desk.calls(call, Path(name)))
        client.close()
    total = call.listed + call.asked + call.told
    return {"calls": call.calls, "list": call.listed, "asked": call.asked, "told": call.told, "total": total}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        peers = (options.peers or Path(name)).absolute()
        peers.mkdir(parents=True, exist_ok=True)
        install(peers)
        figures = {job.__name__: {desk.name: measured(job, desk) for desk in desks(peers)} for job in JOBS}
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
