"""How each client runs hooks, as data: its events, what it calls its editing tools, and the form of its answers.

Sources and what is unsure of them: docs/wake.md. `configs` makes each client's file from the same table.
"""

from __future__ import annotations

TEXT = "<text>"
"""Where what is told stands in an answer, as JSON."""

STDERR = ""
"""The answer is the text itself on stderr, and exit code 2: so do all read it that also load Claude Code's hooks."""

MOMENTS = {
    "start": "SessionStart",
    "edit": "PreToolUse",
    "prompt": "UserPromptSubmit",
    "stop": "Stop",
    "registered": "PostToolUse",
    "end": "SessionEnd",
    "wait": "Wait",
}
"""What a hook is asked for, and what most clients call that."""

EVENTS = {
    "claude-code": {moment: event for moment, event in MOMENTS.items() if moment != "wait"},
    "codex": {moment: event for moment, event in MOMENTS.items() if moment != "wait"},
    "gemini": {
        "start": "SessionStart",
        "edit": "BeforeTool",
        "prompt": "BeforeAgent",
        "stop": "AfterAgent",
        "registered": "AfterTool",
        "end": "SessionEnd",
    },
    # What Cursor and VS Code are told when a prompt is submitted never reaches the model.
    "cursor": {
        "start": "sessionStart",
        "edit": "preToolUse",
        "stop": "stop",
        "registered": "postToolUse",
        "end": "sessionEnd",
    },
    # VS Code tells of no end.
    "vscode": {"start": "SessionStart", "edit": "PreToolUse", "stop": "Stop", "registered": "PostToolUse"},
}
"""The events of each client that hooks are for."""

_CONTEXT = '{"hookSpecificOutput":{"hookEventName":"%s","additionalContext":' + TEXT + "}}"
_DENY = (
    '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":'
    + TEXT
    + "}}"
)

ANSWERS = {
    "claude-code": {
        "start": _CONTEXT % "SessionStart",
        "edit": STDERR,
        "prompt": _CONTEXT % "UserPromptSubmit",
        "stop": STDERR,
        "wait": STDERR,
    },
    "codex": {
        "start": _CONTEXT % "SessionStart",
        "edit": _DENY,
        "prompt": _CONTEXT % "UserPromptSubmit",
        "stop": '{"decision":"block","reason":' + TEXT + "}",
    },
    "gemini": {
        "start": _CONTEXT % "SessionStart",
        "edit": '{"decision":"deny","reason":' + TEXT + "}",
        "prompt": _CONTEXT % "BeforeAgent",
        "stop": '{"decision":"deny","reason":' + TEXT + "}",
    },
    "cursor": {
        "start": '{"additional_context":' + TEXT + "}",
        "edit": '{"permission":"deny","user_message":' + TEXT + ',"agent_message":' + TEXT + "}",
        "stop": '{"followup_message":' + TEXT + "}",
    },
    "vscode": {
        "start": _CONTEXT % "SessionStart",
        "edit": _DENY,
        "stop": '{"hookSpecificOutput":{"hookEventName":"Stop","decision":"block","reason":' + TEXT + "}}",
    },
}
"""What a client is answered, where there is something to say; else nothing, and exit code 0."""

QUIET = {"gemini": "{}", "cursor": "{}"}
"""What those are answered that expect JSON, where there is nothing to say."""

EDITING = frozenset(
    (
        # Claude Code, Cursor, Codex
        *("edit", "write", "multiedit", "notebookedit", "delete", "apply_patch"),
        # Gemini CLI
        *("write_file", "replace"),
        # VS Code
        *("editfiles", "createfile", "create_file", "insert_edit_into_file", "replace_string_in_file"),
        *("multi_replace_string_in_file", "edit_notebook_file", "copilot_editfiles"),
    )
)
"""Tools that change files, in small letters: VS Code and Cursor run one client's hooks for their own tools."""

PATHS = ("file_path", "notebook_path", "filePath", "path", "target_file", "files", "edits", "replacements")
"""Under which names their arguments say which."""

PATCHES = ("command", "input", "patch", "diff")
"""And under which a patch stands that says it."""

SESSIONS = ("session_id", "sessionId", "conversation_id", "conversationId")
"""What clients call the id of a session."""
