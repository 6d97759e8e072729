#!/usr/bin/env python3
"""docs/rights.md, made of what roles may and of what tools, resources, methods and events ask for.

python scripts/rights.py    write it anew; a test sees whether that is due
"""

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mcp_server.domain.areas import AREAS  # noqa: E402
from mcp_server.kernel.authority import Permission, Role  # noqa: E402
from mcp_server.protocol.offer import METHODS  # noqa: E402
from resources import RESOURCES  # noqa: E402
from tools import TOOLS  # noqa: E402

PAGE = ROOT / "docs" / "rights.md"
HEAD = """# Who may what

Roles are sets of permissions; a key may be narrower than its role ([people](people.md)). A permission opens what stands
beside it; some tools ask for more where a call does more, and say so when they refuse. This page is made of the code by
`python scripts/rights.py`.
"""
BESIDE: Mapping[Permission, str] = {
    Permission.AGENTS_CONTROL: "others' agents: to speak as them, to drain, pause and delete them",
    Permission.TASKS_CONTROL: "others' tasks",
    Permission.TASKS_APPROVE: "answers to approvals, as a person",
    Permission.LOCKS_CONTROL: "others' locks, by force",
    Permission.MESSAGES_CONTROL: "everybody's messages",
    Permission.EMAILS_CONTROL: "everybody's mails",
    Permission.APPROVALS_CONTROL: "everybody's questions",
    Permission.PEOPLE_READ: "`user list`, `key list`",
    Permission.PEOPLE_CONTROL: "`user add`, `set`, `disable`, `enable`; `key create`, `rotate`, `revoke`",
}


def page() -> str:
    """The whole page."""
    opens = _opens()
    roles = " | ".join(role.value for role in Role)
    rows = [f"| permission | {roles} | opens |\n|---|{'---|' * (len(Role) + 1)}"]
    for permission in Permission:
        may = " | ".join("x" if permission in role.permissions else "" for role in Role)
        rows.append(f"| `{permission.value}` | {may} | {'; '.join(opens[permission])} |")
    return "\n".join([HEAD, *rows]) + "\n"


def _opens() -> dict[Permission, list[str]]:
    named = defaultdict[Permission, list[str]](list)
    for tool in TOOLS:
        named[tool.permission].append(f"`{tool.name}`")
    for resource in RESOURCES:
        named[resource.permission].append(f"`{resource.uri_template.split('{?')[0]}`")
    for method in METHODS:
        named[method.permission].append(f"`{method.name}`")
    opens = defaultdict[Permission, list[str]](list, {what: [", ".join(names)] for what, names in named.items()})
    events = defaultdict[Permission, list[str]](list)
    for aggregate in AREAS.aggregates.values():
        events[aggregate.seen_by].append(f"`{aggregate.type}`")
    for permission, kinds in events.items():
        opens[permission].append(f"events of {', '.join(kinds)}")
    for permission, words in BESIDE.items():
        opens[permission].append(words)
    return opens


if __name__ == "__main__":
    PAGE.write_text(page())
