"""How tools are listed: as the tests have written it down, and as it is made."""

import json
from pathlib import Path
from typing import Any

import mcp_types as types

import tools
from mcp_server.protocol.schemas import input_schema, output_schema
from tools.spec import AnyTool, Shared


def kept_definitions() -> dict[str, Any]:
    """By name, the tools' definitions as the tests have written them down: to make them takes a second, and 6 MB for
    all that pydantic then knows of every argument and result."""
    lines = Path(tools.__file__ or "").with_name("listed.jsonl").read_text("utf-8").splitlines()
    return {one["name"]: one for one in map(json.loads, lines)}


def definition(tool: AnyTool) -> types.Tool:
    """A tool as clients see it, made of its arguments and its result."""
    hints = tool.hints
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=input_schema(tool.arguments, Shared if tool.writes else None),
        output_schema=output_schema(tool.result),
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=hints.read_only,
            destructive_hint=hints.destructive,
            idempotent_hint=hints.idempotent,
            open_world_hint=hints.open_world,
        ),
    )


def wire(tool: types.Tool) -> dict[str, Any]:
    """A tool as it goes out."""
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)
