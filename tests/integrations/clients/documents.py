"""Random documents of each format, as people and programs write them, and machines that are not this one."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from mcp_server.integrations.clients.machine import Machine

BLANK = st.sampled_from(["", " ", "\n", "\r\n", "\t", "\n\n    "])
NOTE = st.sampled_from(["", "", '// a note, with "quotes" and {braces}\n', "/* one, */", "/*\n * several\n */"])
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["mcpServers", "a.b", "//", "/*"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)


def machine(home: Path, platform: str = "linux", which: Mapping[str, str] | None = None, **env: str) -> Machine:
    """A machine with a home of its own and the commands that are given."""
    found: Callable[[str], str | None] = (which or {}).get
    return Machine(platform, home, home / "project", {"HOME": str(home), "PATH": "/usr/bin", **env}, found)


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """A value as JSON with comments, blanks and trailing commas anywhere."""

    def gap() -> str:
        return draw(BLANK) + draw(NOTE) + draw(BLANK)

    def comma(number: int, count: int) -> str:
        return "," if number + 1 < count or draw(st.booleans()) else ""

    if isinstance(value, dict):
        parts = [
            f"{gap()}{json.dumps(key)}{gap()}:{gap()}{draw(written(one))}{gap()}{comma(number, len(value))}"
            for number, (key, one) in enumerate(value.items())
        ]
        return f"{{{''.join(parts)}{gap()}}}"
    if isinstance(value, list):
        parts = [f"{gap()}{draw(written(one))}{gap()}{comma(n, len(value))}" for n, one in enumerate(value)]
        return f"[{''.join(parts)}{gap()}]"
    return json.dumps(value)


VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS.filter(lambda key: key != "mcpServers"), VALUES, max_size=4)
SERVERS = st.dictionaries(KEYS.filter(lambda key: key != "desk"), st.just({"command": "other"}), min_size=1, max_size=3)


@st.composite
def jsonc(draw: st.DrawFn) -> str:
    """A client's file with other servers, or with none."""
    data = draw(OBJECTS)
    if not data or draw(st.booleans()):
        data["mcpServers"] = draw(SERVERS)
    order = draw(st.permutations(list(data)))
    gaps = draw(BLANK) + draw(NOTE), draw(BLANK) + draw(NOTE)
    return f"{gaps[0]}{draw(written({key: data[key] for key in order}))}{gaps[1]}"


TOML_KEYS = st.from_regex(r"[a-z]{1,4}", fullmatch=True)
TOML_VALUES = st.sampled_from(
    ["1", '"x"', "true", "1.5", "nan", "[1, 2]", "[\n  [1],\n  [2], # [no.table]\n]", '"""\n[mcp_servers.desk]\n"""',
     "'''\n[fake]\n'''", "{ a = 1, b = [] }", "2026-01-02", "1979-05-27T07:32:00Z", '"\\u00e9 [x]"']
)  # fmt: skip


@st.composite
def toml(draw: st.DrawFn) -> str:
    """A TOML document with tables in any order, comments, blank lines, either line end, and perhaps no last one."""
    names = draw(st.lists(TOML_KEYS, unique=True, max_size=4))
    tables = [f"[{name}]" for name in names] + [
        f"[mcp_servers.{name}]" for name in draw(st.sets(TOML_KEYS, max_size=2))
    ]
    lines = list[str]()
    for header in ["", *draw(st.permutations(tables))]:
        lines += [draw(st.sampled_from(["", "# about what comes"]))] if draw(st.booleans()) else []
        lines += [f"{header}{draw(st.sampled_from(['', ' # said']))}"] if header else []
        keys = draw(st.lists(TOML_KEYS.filter(lambda key: key not in names), unique=True, max_size=3))
        lines += [f"{'x-' * (not header)}{key} = {draw(TOML_VALUES)}" for key in keys]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n", "\n# the end\n"]))
    return text.replace("\n", end)


YAML_VALUES = st.sampled_from(
    ["1", "text", '"quoted: # no"', "[1, 2]", "{a: 1}", "|\n      several\n      lines", ">-\n      folded", "",
     "\n      - 1\n      # note\n      - two", "\n      deep: 1", "&anchor 5", "'it''s'", "2026-01-02"]
)  # fmt: skip


@st.composite
def yaml(draw: st.DrawFn, *, in_list: bool) -> str:
    """A YAML document of a client, with other servers or without."""
    names = draw(st.lists(TOML_KEYS, unique=True, max_size=3))
    indent = draw(st.sampled_from(["  ", "    "]))
    blocks = [f"{name}: {draw(st.sampled_from(['1', 'text', '[1, 2]', '|' + chr(10) + '  lines']))}" for name in names]
    others = draw(st.lists(TOML_KEYS, unique=True, max_size=3))
    if others and in_list:
        lines = [f"- name: {name}\n    command: {draw(YAML_VALUES)}" for name in others]
        blocks.append("\n".join(["mcpServers:", *[f"  {line}" for line in lines]]))
    elif others:
        lines = [f"{indent}{name}:\n{indent}  cmd: {draw(YAML_VALUES)}" for name in others]
        blocks.append("\n".join(["extensions:", *lines]))
    parts = list[str]()
    for block in draw(st.permutations(blocks)):
        parts += [draw(st.sampled_from(["# a note", ""]))] if draw(st.booleans()) else []
        parts.append(block)
    text = "\n".join(parts) + draw(st.sampled_from(["", "\n", "\n\n", "\n# the end\n"]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
