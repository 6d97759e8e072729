"""What clients send their hooks, after their documents; and a hook run within the test's own process."""

import json
from pathlib import Path
from typing import Any

from mcp_server.hooks.answers import Answer
from mcp_server.hooks.clients import EVENTS
from mcp_server.hooks.entry import moment_of
from mcp_server.hooks.events import answered
from tests.world import World

SESSION = "5f0c7a1e-0000-4000-8000-000000000001"


def stdin(client: str, moment: str, folder: Path, file: str = "src/app.py", session: str = SESSION) -> dict[str, Any]:
    """The data of one event as the client's document has it."""
    event = EVENTS[client].get(moment, moment)
    common: dict[str, Any] = {
        "session_id": session,
        "transcript_path": f"{folder}/transcript.jsonl",
        "cwd": str(folder),
        "hook_event_name": event,
    }
    if client == "cursor":
        common = {
            "conversation_id": session,
            "generation_id": "g1",
            "model": "m",
            "hook_event_name": event,
            "cursor_version": "3.7.21",
            "workspace_roots": [str(folder)],
            "user_email": None,
        }
    elif client == "vscode":
        common = {
            "timestamp": "2026-11-26T08:00:00.000Z",
            "cwd": str(folder),
            "sessionId": session,
            "hookEventName": event,
            "transcript_path": "/t",
        }
    elif client == "gemini":
        common["timestamp"] = "2026-11-26T08:00:00Z"
    return common | _OF[client].get(moment, _says())(str(folder / file))


def _edit(tool: str, **arguments: Any) -> Any:
    return lambda path: {
        "tool_name": tool,
        "tool_use_id": "toolu_1",
        "tool_input": {name: path if value is ... else value for name, value in arguments.items()},
    }


def _patch(path: str) -> dict[str, Any]:
    text = f"*** Begin Patch\n*** Update File: {path}\n@@\n-a\n+b\n*** End Patch"
    return {"turn_id": "t1", "tool_name": "apply_patch", "tool_use_id": "c1", "tool_input": {"command": text}}


def _says(**what: Any) -> Any:
    return lambda _: what


_STOPS = {"stop_hook_active": False, "last_assistant_message": "Done."}
_OF: dict[str, dict[str, Any]] = {
    "claude-code": {
        "start": _says(source="startup", model="m"),
        "edit": _edit("Edit", file_path=..., old_string="a", new_string="b"),
        "prompt": _says(prompt="go on", permission_mode="default"),
        "stop": _says(**_STOPS, permission_mode="default", background_tasks=[], session_crons=[]),
        "end": _says(reason="prompt_input_exit"),
        "wait": _says(**_STOPS),
    },
    "codex": {
        "start": _says(source="startup", model="m", permission_mode="default"),
        "edit": _patch,
        "prompt": _says(turn_id="t1", prompt="go on"),
        "stop": _says(**_STOPS, turn_id="t1", model="m", permission_mode="default"),
        "end": _says(reason="exit"),
    },
    "gemini": {
        "start": _says(source="startup"),
        "edit": _edit("write_file", file_path=..., content="b"),
        "prompt": _says(prompt="go on"),
        "stop": _says(prompt="go on", prompt_response="Done.", stop_hook_active=False),
        "end": _says(reason="exit"),
    },
    "cursor": {
        "start": _says(is_background_agent=False, composer_mode="agent"),
        "edit": _edit("Write", file_path=..., content="b"),
        "stop": _says(status="completed", loop_count=0),
        "end": _says(reason="completed", duration_ms=1),
    },
    "vscode": {
        "start": _says(source="new"),
        "edit": _edit("editFiles", files=["src/app.py"]),
        "stop": _says(stop_hook_active=False),
    },
}


def asked(world: World, client: str, moment: str, payload: Any, agent: str | None = None, **environment: str) -> Answer:
    """A hook's answer, in this process, at the world's time."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    moment = moment_of(moment, client) or moment
    flags = {"client": client, "database": world.url} | ({} if agent is None else {"agent": agent})
    return answered(moment, flags, text, environment, world.clock)


def text_of(answer: Answer) -> str:
    """The one text in an answer, in whichever form."""
    if answer.code == 2:
        return answer.err

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for part in value.values() for text in texts(part)]
        return [value] if isinstance(value, str) else []

    return max(texts(json.loads(answer.out or "{}")), key=len, default="")
