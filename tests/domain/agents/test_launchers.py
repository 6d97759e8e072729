"""A model fills in what a launcher leaves open, and nothing else of the command is the model's."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.config import load_settings
from mcp_server.deploying import launchers
from mcp_server.domain.agents.commands import LauncherUse
from mcp_server.domain.agents.launchers import ArgumentRule, Launcher, Launchers
from mcp_server.kernel.errors import OpsError, ValidationFailed

EXAMPLES = Path(__file__).parent.parent.parent.parent / "examples"
KNOWN = {"agent_id": "agent_a", "agent_name": "fleet", "agent_kind": "llm", "instance": "supervised-0", "slot": 0}
IT = Launcher(
    ("run", "--name={agent_name}", "{path}", "{{{level}}}"),
    arguments={"path": ArgumentRule(), "level": ArgumentRule("int", minimum=1, maximum=9, default=3)},
)
LAUNCHERS = Launchers({"it": IT})


def test_what_is_left_open_is_filled_in_and_doubled_braces_are_braces():
    assert IT.filled({"path": "a.b"}, KNOWN) == ("run", "--name=fleet", "a.b", "{3}")
    assert IT.filled({"path": "{level}", "level": 9}, KNOWN) == ("run", "--name=fleet", "{level}", "{9}")


@given(st.text(max_size=80))
def test_whatever_is_filled_in_stays_one_argument_and_never_looks_like_an_option(text: str):
    use = LauncherUse.model_construct(name="it", arguments={"path": text})
    try:
        LAUNCHERS.check(use)
    except OpsError as error:
        assert error.code == "validation"
        return
    argv = IT.filled(use.arguments, KNOWN)
    assert argv == ("run", "--name=fleet", text, "{3}")
    assert text and not text.startswith("-") and "\n" not in text and "\x00" not in text and "/" not in text


@given(st.dictionaries(st.text(max_size=10), st.one_of(st.text(max_size=10), st.integers()), max_size=4))
def test_any_arguments_either_fit_all_or_are_refused(arguments: dict[str, str | int]):
    try:
        LAUNCHERS.check(LauncherUse.model_construct(name="it", arguments=arguments))
    except ValidationFailed:
        return
    assert set(arguments) <= {"path", "level"} and "path" in arguments


@pytest.mark.parametrize("value", ["", "-rf", "a b", "a/b", "$(x)", "a;b", "a\nb", 5])
def test_a_text_is_a_plain_word_unless_the_operator_says_more(value: str | int):
    with pytest.raises(ValidationFailed):
        LAUNCHERS.check(LauncherUse.model_construct(name="it", arguments={"path": value}))


def test_a_pattern_of_the_operators_lets_no_option_through_either():
    wide = Launchers({"it": Launcher(("run", "{x}"), arguments={"x": ArgumentRule(pattern=".*")})})
    wide.check(LauncherUse(name="it", arguments={"x": "a b/c"}))
    with pytest.raises(ValidationFailed):
        wide.check(LauncherUse(name="it", arguments={"x": "--config=/etc/passwd"}))
    with pytest.raises(ValidationFailed):
        wide.check(LauncherUse(name="it", arguments={"x": "a\nb"}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('argv = ["run", "{wat}"]', "argv names {wat}, which [arguments] does not declare"),
        ('argv = ["run", "}"]', "argv names {}}"),
        ("argv = []", "it takes at least 1"),
        ('argv = ["x"]\n[launchers.it.arguments.slot]\ntype = "int"', "the desk fills it in itself"),
        ('argv = ["x"]\n[launchers.it.arguments.c]\ntype = "choice"', "a choice needs `choices`"),
        ('argv = ["x"]\n[launchers.it.arguments.c]\npattern = "("\ndefault = "x"', "no regular expression"),
        ('argv = ["x"]\n[launchers.it.arguments.c]\npattern = "("', "no regular expression"),
        ('argv = ["x"]\n[launchers.it.arguments.c]\ndefault = "-x"', "its default is not text that matches"),
        ('argv = ["x"]\n[launchers.it.arguments.c]', "its argument c: its command does not name it"),
        (
            'argv = ["x", "{c}"]\n[launchers.it.arguments.c]\nchoices = ["a", "b"]',
            "its argument c: `choices` counts for nothing, since its type is text",
        ),
        (
            'argv = ["x", "{c}"]\n[launchers.it.arguments.c]\ntype = "choice"\nchoices = ["a"]\npattern = "b"',
            "`pattern` counts for nothing, since its type is choice",
        ),
        ('argv = ["x", "{c}"]\n[launchers.it.arguments.c]\nmaximum = 9', "`maximum` counts for nothing"),
        (
            'argv = ["x", "{c}"]\n[launchers.it.arguments.c]\ntype = "int"\nminimum = 9\nmaximum = 1',
            "no number is from 9 to 1",
        ),
        ('argv = [""]', "its program has no name"),
        ('argv = ["x", "a\\u0000b"]', "a word of its command holds a NUL"),
        ('argv = ["x"]\nenv = { "A=B" = "1" }', "A=B in its env is no variable"),
        ('argv = ["x"]\nenv = { A = "env:" }', "A in its env refers to nothing"),
        ('argv = "sleep 5"', 'it.argv: it takes a list, such as ["one", "two"]'),
        ('argv = ["x"]\nshell = true', "There is no setting launchers.it.shell"),
        ('argv = ["x"]\nstop_signal = "SIGKILL"', "launchers"),
    ],
)
def test_a_launcher_that_makes_no_sense_is_refused_at_the_start(tmp_path, text: str, says: str):
    config = tmp_path / "desk.toml"
    config.write_text(f"[launchers.it]\n{text}\n")
    with pytest.raises(ValidationFailed) as refused:
        launchers(load_settings(config=config))
    assert says in refused.value.message


def test_the_example_makes_sense():
    declared = launchers(load_settings(config=EXAMPLES / "launchers.toml"))
    declared.check(LauncherUse(name="python-worker", arguments={"kind": "index"}))
    argv = declared.known["python-worker"].filled({}, KNOWN)
    assert argv[:5] == ("data-mcp-server-agent", "worker", "fleet", "--kind", "count")
    assert (EXAMPLES / argv[-1].removeprefix("examples/")).is_file()


def test_the_launchers_that_the_documentation_shows_make_sense(tmp_path):
    text = (EXAMPLES.parent / "docs" / "launchers.md").read_text()
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)):
        config = tmp_path / f"{number}.toml"
        config.write_text(block)
        assert launchers(load_settings(config=config)).known


def test_where_there_are_no_process_groups_launchers_are_refused(tmp_path, monkeypatch):
    config = tmp_path / "desk.toml"
    config.write_text('[launchers.it]\nargv = ["x"]\n')
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ValidationFailed, match="Launchers need Linux or macOS"):
        launchers(load_settings(config=config))
    assert launchers(load_settings()).known == {}


def test_what_the_file_says_of_a_launcher_is_what_is_declared(tmp_path):
    config = tmp_path / "desk.toml"
    config.write_text(
        '[launchers.it]\nargv = ["run", "{kind}"]\ncwd = "/srv"\nstop_signal = "SIGINT"\ngrace_seconds = 3\n'
        'share_database = true\n[launchers.it.env]\nKEY = "env:KEY"\n[launchers.it.limits]\nmemory_mb = 2\n'
        'cpu_seconds = 3\nopen_files = 40\n[launchers.it.arguments.kind]\ntype = "choice"\nchoices = ["a", "b"]\n'
    )
    it = launchers(load_settings(config=config)).known["it"]
    assert (it.argv, it.cwd, it.share_database, dict(it.env)) == (("run", "{kind}"), "/srv", True, {"KEY": "env:KEY"})
    assert (it.stop.signal, it.stop.grace_seconds) == ("SIGINT", 3)
    assert (it.limits.memory_bytes, it.limits.cpu_seconds, it.limits.open_files) == (2 * 2**20, 3, 40)
    assert it.arguments["kind"].says() == "one of a, b"
    assert "KEY" not in repr(it), "what may be secret is not shown by accident"
