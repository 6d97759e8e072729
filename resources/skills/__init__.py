"""Skills: ways of working for agents, a folder each as the Agent Skills format has it. Clients read them as resources;
`protocol/skills.py` lists them for the Skills extension."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.json_text import sha256_text
from resources.spec import Resource

MARKDOWN = "text/markdown"
NAMES = ("worker-loop", "planner", "operator")
_FRONTMATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True)
class Skill:
    """One skill: the folder of its name, which holds one file."""

    name: str

    @property
    def uri(self) -> str:
        """Where its file is read."""
        return f"skill://{self.name}/SKILL.md"

    @cached_property
    def text(self) -> str:
        """Its file as it is."""
        return (Path(__file__).parent / self.name / "SKILL.md").read_bytes().decode()

    @cached_property
    def frontmatter(self) -> dict[str, Any]:
        """What stands before its text."""
        import yaml  # a start must not wait for it

        found = _FRONTMATTER.match(self.text)
        assert found is not None, f"{self.name} has a frontmatter"
        return yaml.safe_load(found[1])

    def entry(self) -> dict[str, Any]:
        """As the extension tells of it: with each file's digest and size."""
        file = {"uri": self.uri, "digest": f"sha256:{sha256_text(self.text)}", "size": len(self.text.encode())}
        return {"uri": self.uri, "frontmatter": self.frontmatter, "resources": [file]}


def _reader(skill: Skill) -> Callable[[Desk, Call, Mapping[str, str]], Awaitable[str]]:
    async def read(desk: Desk, call: Call, parameters: Mapping[str, str]) -> str:
        del desk, call, parameters
        return skill.text

    return read


SKILLS = tuple(map(Skill, NAMES))
RESOURCES = tuple(
    Resource(
        uri_template=skill.uri,
        name=f"skill {skill.name}",
        title=f"Skill: {skill.name.replace('-', ' ')}",
        description="A way of working, for agents.",
        toolset="tasks",
        permission=Permission.TASKS_READ,
        read=_reader(skill),
        others_words=False,
        mime_type=MARKDOWN,
        lasts=lambda _: True,
    )
    for skill in SKILLS
)
