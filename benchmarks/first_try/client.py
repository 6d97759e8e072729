"""A client over stdio that answers for a person."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 70
OURS = {"DATAMCP_EMAIL_FROM": "desk@example.org"}
HELLO = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "first-try", "version": "1"}}


class Client:
    """One server process, by default ours. `person` is what the person says who is asked."""

    def __init__(
        self,
        folder: Path,
        command: list[str] | None = None,
        program: str = sys.executable,
        settings: Mapping[str, str] = OURS,
    ) -> None:
        default = ["-m", "mcp_server", "--database", f"sqlite:///{folder}/desk.db"]
        self._process = subprocess.Popen(
            [program, *(command or default)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | dict(settings),
            cwd=folder,
        )
        self.person: Any = "yes"
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._id = 0
        threading.Thread(target=self._read, daemon=True).start()
        self.hello = self.request("initialize", HELLO | {"capabilities": {"elicitation": {}}})
        self._send({"method": "notifications/initialized"})

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """A request's whole answer."""
        self._id += 1
        self._send({"id": self._id, "method": method, "params": params})
        return self._answers.get(timeout=ANSWER_SECONDS)

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """A tool's result; an error of the protocol as a result that is one."""
        answer = self.request("tools/call", {"name": tool, "arguments": arguments})
        return answer.get("result") or {"isError": True, "content": [{"text": answer["error"]["message"]}]}

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End of input."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(20)

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "method" not in message:
                self._answers.put(message)
            elif "id" in message:
                self._send({"id": message["id"], "result": self._said(message)})

    def _said(self, message: dict[str, Any]) -> dict[str, Any]:
        """What the person answers to a form: its field of yes and no, or its choice; no reason, which none gave."""
        if message["method"] != "elicitation/create":
            return {}
        schema = message["params"]["requestedSchema"]
        fields, content = schema["properties"], {}
        for name in schema.get("required") or list(fields)[:1]:
            is_choice = fields[name].get("type") == "boolean"
            content[name] = self.person == "yes" if is_choice else self.person
        return {"action": "accept", "content": content}
