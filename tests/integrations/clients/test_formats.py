"""Files of clients are changed so that everything else stays, byte for byte, and what cannot be is left alone."""

import json
import tomllib
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mcp_server.integrations.clients.formats import changed, entries, format_of
from mcp_server.kernel.errors import ValidationFailed
from tests.integrations.clients import documents

ENTRY = {"command": "uvx", "args": ["data-mcp-server-agent"], "env": {"DATAMCP_AGENT": "scribe"}}
NEWER = {**ENTRY, "env": {"DATAMCP_AGENT": "other", "MORE": "\x7f \u2028 \"'\\"}}


def path_of(name: str) -> tuple[str, ...]:
    return {"toml": ("mcp_servers",), "yaml": ("extensions",)}.get(name, ("mcpServers",))


def servers(name: str, text: str) -> str:
    """What the servers of a text are; as text, since not a number is not itself."""
    format_ = format_of(name)
    return repr(entries(format_, format_.read(text), path_of(name)))


def added_and_removed(name: str, text: str) -> None:
    """Adding, changing and removing leave the text as it was, and every other server as it was meanwhile."""
    assume_is_well(name, text)
    format_, path = format_of(name), path_of(name)
    entry = {"name": "desk", **ENTRY} if name == "yaml list" else ENTRY
    newer = {"name": "desk", **NEWER} if name == "yaml list" else NEWER
    before = entries(format_, format_.read(text), path)
    assume("desk" not in before)
    there = changed(format_, text, path, "desk", entry)
    assert servers(name, there) == repr({**before, "desk": entry})
    assert changed(format_, there, path, "desk", entry) == there, "nothing is done twice"
    assert changed(format_, there, path, "desk", None) == text
    again = changed(format_, there, path, "desk", newer)
    assert servers(name, again) == repr({**before, "desk": newer})
    assert servers(name, changed(format_, again, path, "desk", None)) == repr(before)


def assume_is_well(name: str, text: str) -> None:
    """Random TOML and YAML may say a thing twice; and behind a block of text, a line end at the end says something."""
    try:
        if name == "toml":
            tomllib.loads(text)
        elif name.startswith("yaml"):
            assume(repr(pyyaml.safe_load(text)) == repr(pyyaml.safe_load(f"{text}\n")))
    except (pyyaml.YAMLError, tomllib.TOMLDecodeError):
        assume(False)


DOCUMENTS = st.one_of(
    st.tuples(st.just("jsonc"), documents.jsonc()),
    st.tuples(st.just("toml"), documents.toml()),
    st.tuples(st.just("yaml"), documents.yaml(in_list=False)),
    st.tuples(st.just("yaml list"), documents.yaml(in_list=True)),
)


@pytest.mark.slow
@settings(max_examples=60)
@given(DOCUMENTS)
def test_any_document_is_as_it_was_after_adding_and_removing(document: tuple[str, str]):
    added_and_removed(*document)


@pytest.mark.slow
@settings(max_examples=800)
@given(DOCUMENTS)
def test_very_many_documents_are_as_they_were_after_adding_and_removing(document: tuple[str, str]):
    added_and_removed(*document)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("json", '{"mcpServers": {}, // none\n}', "no JSON"),
        ("json", '{"a": 1,}', "no JSON"),
        ("jsonc", '{"a": 1,,}', "no JSON: .* in line 1"),
        ("jsonc", '{,}', "no JSON"),
        ("jsonc", '/* one\n two */ {\n"a": x}', "no JSON: .* in line 3"),
        ("jsonc", '{"a": "never ends}', "no JSON"),
        ("jsonc", '{"a": 1 /* never ends }', "no JSON"),
        ("jsonc", "[]", "does not hold servers"),
        ("jsonc", '"text"', "does not hold servers"),
        ("jsonc", '{"mcpServers": []}', "'mcpServers' in it does not hold servers"),
        ("jsonc", '{"mcpServers": "x"}', "does not hold servers"),
        ("jsonc", '{"mcpServers": null}', "no JSON object"),
        ("jsonc", '{"mcpServers": {"a": {}}, "mcpServers": {"b": {}}}', "stands in it 2 times"),
        ("toml", "a = ", "no TOML"),
        ("toml", "a = 1\na = 2", "no TOML"),
        ("toml", "mcp_servers = []", "does not hold servers"),
        ("toml", "mcp_servers = { other = { command = 'x' } }", "cannot be changed without"),
        ("toml", "[[mcp_servers]]\na = 1", "does not hold servers"),
        ("yaml", "a: [", "no YAML"),
        ("yaml", "a: 1\n\tb: 2", "no YAML"),
        ("yaml", "a: !!python/object:os.system 1", "no YAML"),
        ("yaml", "a: 1\n---\nb: 2", "no YAML"),
        ("yaml", "- a", "does not hold servers"),
        ("yaml", "{a: 1}", "no mapping in lines"),
        ("yaml", "extensions: {a: {cmd: x}}", "another form"),
        ("yaml", "extensions: []", "does not hold servers"),
        ("yaml", "extensions:\n  a: {}\nextensions:\n  b: {}\n", "stands in it 2 times"),
        ("yaml", "a: |\n  text", "cannot be changed without"),
        ("yaml list", "mcpServers:\n  a: {}\n", "does not hold servers"),
        ("yaml list", "mcpServers: [{name: a}]", "another form"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_safely_is_refused_with_the_reason(name: str, text: str, why: str):
    format_, path = format_of(name), path_of(name)
    with pytest.raises(ValidationFailed, match=why):
        entries(format_, format_.read(text), path)
        changed(format_, text, path, "desk", ENTRY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "deep"),
    [
        ("json", '{{"a": {}}}'.format("[" * 100_000 + "]" * 100_000)),
        ("jsonc", '{{"a": {}}}'.format("[" * 100_000 + "]" * 100_000)),
        ("toml", "a = " + "[" * 100_000 + "]" * 100_000),
        ("yaml", "a: " + "[" * 2_000 + "]" * 2_000),
    ],
    ids=["json", "jsonc", "toml", "yaml"],
)
def test_what_is_nested_too_deeply_is_refused(name: str, deep: str):
    with pytest.raises(ValidationFailed, match="nested too deeply"):
        changed(format_of(name), deep, path_of(name), "desk", ENTRY)


@pytest.mark.parametrize("depth", range(150, 1000, 50))
@pytest.mark.parametrize("name", ["jsonc", "toml"])
def test_depth_is_either_followed_or_refused(name: str, depth: int):
    deep = "[" * depth + "]" * depth
    text = f"a = {deep}\n" if name == "toml" else f'{{"a": {deep}}}'
    try:
        after = changed(format_of(name), text, path_of(name), "desk", ENTRY)
    except ValidationFailed as refused:
        assert "nested too deeply" in refused.message
    else:
        assert deep in after


@pytest.mark.parametrize("text", ["", " \n", "\n\n\t\n"])
@pytest.mark.parametrize("name", ["json", "jsonc", "toml", "yaml", "yaml list"])
def test_an_empty_file_gets_the_server_alone(name: str, text: str):
    if "\t" in text and "yaml" in name:
        pytest.skip("a tab is no YAML")
    entry: dict[str, Any] = {"name": "desk", **ENTRY} if name == "yaml list" else ENTRY
    after = changed(format_of(name), text, path_of(name), "desk", entry)
    assert servers(name, after) == repr({"desk": entry})
    assert format_of(name).read(changed(format_of(name), after, path_of(name), "desk", None)) == {}


def test_comments_order_indentation_and_line_ends_of_json_stay():
    text = (
        '// mine\r\n{\r\n\t"z": 1, // last\r\n\t"mcpServers": {\r\n'
        '\t\t"other": {"command": "x"}, // theirs\r\n\t},\r\n}\r\n'
    )
    after = changed(format_of("jsonc"), text, ("mcpServers",), "desk", {"command": "uvx"})
    added = '\r\n\t\t"desk": {\r\n\t\t\t"command": "uvx"\r\n\t\t},'
    assert after == text.replace("// theirs", f"// theirs{added}")


def test_only_what_differs_of_an_entry_is_changed():
    text = '{"mcpServers": {"desk": {\n  "command": "old", // by hand\n  "args": ["a"],\n  "disabled": true}}}'
    after = changed(
        format_of("jsonc"), text, ("mcpServers",), "desk", {"command": "new", "args": ["a"], "disabled": True}
    )
    assert after == text.replace("old", "new")


def test_a_table_that_only_looks_like_one_is_no_table():
    text = 'a = """\n[mcp_servers.desk]\n"""\n\n[mcp_servers.desk.env]\nA = "b"\n# of next\n[next]\n'
    after = changed(format_of("toml"), text, ("mcp_servers",), "desk", None)
    assert after == 'a = """\n[mcp_servers.desk]\n"""\n# of next\n[next]\n'


def test_a_table_with_tables_inside_is_replaced_whole():
    text = '[mcp_servers.desk]\ncommand = "x"\n[mcp_servers.other]\na = 1\n[mcp_servers.desk.env]\nA = "b"\n[z]\n'
    after = changed(format_of("toml"), text, ("mcp_servers",), "desk", {"command": "y", "env": {"A": "c"}, "n": 1.5})
    assert after.startswith(
        '[mcp_servers.desk]\ncommand = "y"\nenv = { A = "c" }\nn = 1.5\n[mcp_servers.other]\na = 1\n[z]'
    )


def test_inline_tables_of_ours_are_left_alone():
    text = 'mcp_servers.desk = { command = "x" }\n'
    with pytest.raises(ValidationFailed, match=r"without a \[table\]"):
        changed(format_of("toml"), text, ("mcp_servers",), "desk", {"command": "y"})


@pytest.mark.parametrize("nothing", ["", " {}", " null", " ~", " # none"])
def test_a_key_of_servers_that_holds_none_is_filled(nothing: str):
    after = changed(format_of("yaml"), f"a: 1\nextensions:{nothing}\nb: 2\n", ("extensions",), "desk", ENTRY)
    assert after.endswith("      DATAMCP_AGENT: scribe\nb: 2\n") and servers("yaml", after) == repr({"desk": ENTRY})


@pytest.mark.parametrize(
    "text",
    [
        "extensions:\n  a: &x\n    b: *x\n",
        "a: &a\n  b: 1\nextensions:\n  c: *a # note\n",
        "extensions:\n  c: &c {d: 1}\n",
    ],
)
def test_anchors_and_aliases_stay(text: str):
    there = changed(format_of("yaml"), text, ("extensions",), "desk", ENTRY)
    assert there.startswith(text) and changed(format_of("yaml"), there, ("extensions",), "desk", None) == text


def test_a_large_file_is_changed_in_a_moment():
    text = json.dumps({"history": [{"display": "x" * 50, "n": n} for n in range(10_000)]}, indent=2)
    after = changed(format_of("jsonc"), text, ("mcpServers",), "desk", ENTRY)
    assert changed(format_of("jsonc"), after, ("mcpServers",), "desk", None) == text
