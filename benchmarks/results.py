"""Tokens (o200k_base) that a model reads of twenty typical results: `python -m benchmarks.results`."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import structlog
from mcp.client import Client
from rs_bpe.bpe import openai

from mcp_server.app import open_app
from mcp_server.config import load_settings

LONG = "The nightly build of the reporting service fails in the second stage; find out why and mend it. " * 5


class Reader:
    """A client that counts what it is answered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._encoding = openai.o200k_base()
        self.read: dict[str, int] = {}

    async def call(self, what: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool; what its result costs stands under `what`, unless that is empty."""
        result = await self._client.call_tool(tool, arguments)
        if what:
            texts = (getattr(part, "text", None) or part.model_dump_json(exclude_none=True) for part in result.content)
            self.read[what] = sum(len(self._encoding.encode(text)) for text in texts)
        return result.structured_content or {}


async def work(reader: Reader) -> None:
    """A little of everything."""
    call = reader.call
    who = {"description": LONG, "capabilities": [{"name": "python", "version": "3.12"}, {"name": "review"}]}
    await call("agents_register", "agents_register", name="scribe", instance={"label": "laptop"}, tags=["a"], **who)
    await call("", "agents_register", name="painter", **who)
    chain = [{"title": f"Step {n}", "description": LONG, "depends_on": [f"#{n - 1}"] if n else []} for n in range(20)]
    made = await call("tasks_create, 20 tasks", "tasks_create", tasks=chain)
    first = made["tasks"][0]["id"]
    await call("tasks_find, a list of 20", "tasks_find")
    await call("tasks_find, one", "tasks_find", task_id=first)
    claim = (await call("tasks_claim", "tasks_claim", agent_id="scribe"))["claims"][0]
    held = {"task_id": first, "lease_token": claim["lease_token"]}
    await call("tasks_report", "tasks_report", **held, progress={"percent": 50, "step": "second stage"})
    await call("tasks_finish", "tasks_finish", **held, outcome="completed", result={"found": LONG})
    await call(
        "tasks_control", "tasks_control", task_ids=[made["tasks"][5]["id"]], action="set_priority", priority="high"
    )
    await call("state_set", "state_set", namespace="notes", key="today", value={"found": LONG})
    await call("state_get", "state_get", namespace="notes", key="today")
    await call("", "state_set", namespace="notes", key="today", value={"found": LONG, "by": "painter"})
    await call("state_set, a conflict", "state_set", namespace="notes", key="today", value={"a": 1}, expected_version=1)
    await call("state_history", "state_history", namespace="notes", key="today")
    await call("locks_acquire", "locks_acquire", name="src/app.py")
    await call("messages_send", "messages_send", to=["painter"], subject="Done", body=LONG)
    await call("messages_read", "messages_read", agent_id="painter")
    await call("email_send", "email_send", to=["ann@example.org"], subject="Done", text=LONG)
    await call("approvals_request", "approvals_request", title="Delete it", action=LONG, approvers=["ann@example.org"])
    await call("agents_find, a list of 2", "agents_find")
    await call("agents_control", "agents_control", agent_id="painter", action="pause")
    await call("events_read, a list of 20", "events_read")
    await call("tasks_create, a misspelt argument", "tasks_create", tasks=[{"titel": "x"}])


async def main() -> None:
    """Count, and print a table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(database=f"sqlite:///{Path(folder) / 'desk.db'}")
        async with open_app(settings) as app, Client(app.server) as client:
            reader = Reader(client)
            await work(reader)
    for what, tokens in reader.read.items():
        print(f"{tokens:6} {what}")
    print(f"{sum(reader.read.values()):6} together")


if __name__ == "__main__":
    asyncio.run(main())
