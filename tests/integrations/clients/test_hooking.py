"""Our hooks come into a client's file and go again, and everything else in it stays."""

import json
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcp_server.hooks.configs import PLACES, UVX, Way, hooks_of
from mcp_server.integrations.clients.hook_files import HOOK_FILES, HookFile, prove
from mcp_server.integrations.clients.hooking import hooked, ours, unhooked
from mcp_server.integrations.clients.machine import place
from mcp_server.integrations.clients.records import BY_KEY
from mcp_server.kernel.errors import Conflict, OpsError, Unavailable
from tests.integrations.clients import documents

each = pytest.mark.parametrize("file", HOOK_FILES.values(), ids=HOOK_FILES)
CODEX, CURSOR = HOOK_FILES["codex"], HOOK_FILES["cursor"]
OTHERS = [{"matcher": "Bash", "hooks": [{"type": "command", "command": "mine hook"}]}, {"command": "a"}, 7, "x", [], {}]


def wanted(file: HookFile, agent: str = "scribe") -> dict[str, Any]:
    return hooks_of(file.client, Way(UVX, ["--agent", agent]))


def with_ours(file: HookFile, before: bytes | None, agent: str = "scribe") -> bytes:
    change = hooked(file, Path("file"), before, wanted(file, agent))
    assert change.after is not None
    return change.after


def without_ours(file: HookFile, before: bytes, *copies: bytes) -> bytes | None:
    return unhooked(file, Path("file"), before, copies).after


@each
def test_hooks_lie_where_the_client_has_them_and_are_what_it_reads(file: HookFile, tmp_path: Path):
    assert file.project == f"{{project}}/{PLACES[file.client]}"
    data = json.loads(with_ours(file, None))
    assert data == wanted(file) and list(data["hooks"]) == list(wanted(file)["hooks"])
    assert ours(data) == wanted(file)["hooks"]
    here = documents.machine(tmp_path, CLAUDE_CONFIG_DIR=str(tmp_path / "moved"))
    places = {key: place(here, one.user) for key, one in HOOK_FILES.items() if one.user is not None}
    assert places["claude-code"] == tmp_path / "moved" / "settings.json" and places.keys() <= BY_KEY.keys()


@each
@pytest.mark.parametrize("text", [None, "", "{}", "{\r\n\t\r\n}", '\ufeff{"version": 1, "a": [1]}', '{"hooks": {}}'])
def test_what_was_there_before_is_there_again_byte_for_byte(file: HookFile, text: str | None):
    before = None if text is None else text.encode()
    there = with_ours(file, before)
    assert with_ours(file, there) == there, "nothing is done twice"
    other = with_ours(file, there, "other")
    assert other != there and b"scribe" not in other
    copies = [there, *([] if before is None else [before])]
    assert without_ours(file, other, *copies) == before
    assert without_ours(file, there, *copies[1:]) == before


def test_others_hooks_comments_and_order_stay():
    text = """{
  // mine
  "version": 1,
  "hooks": {
    "stop": [
      {"command": "notify-send done"}, // loud
    ],
    "afterFileEdit": [{"command": "format"}] /* all */
  }
}
"""
    there = with_ours(CURSOR, text.encode()).decode()
    for part in ("// mine", '{"command": "notify-send done"}, // loud', '[{"command": "format"}], /* all */'):
        assert part in there
    assert there.index("notify-send") < there.index("hook stop --client cursor --agent scribe")
    assert without_ours(CURSOR, there.encode()) == text.encode(), "without a copy, too"
    changed = there.replace("// mine", "// mine, and more").encode()
    assert without_ours(CURSOR, changed, text.encode()) == text.replace("// mine", "// mine, and more").encode()


def test_what_a_person_changed_of_our_hooks_stays_and_what_a_version_before_left_goes():
    data = json.loads(with_ours(CODEX, None))
    data["hooks"]["Stop"][0]["hooks"][0]["timeout"] = 99
    text = json.dumps(data).encode()
    assert with_ours(CODEX, text) == text
    data["hooks"]["Older"] = [{"hooks": [{"type": "command", "command": "/bin/data-mcp-server-agent hook Older"}]}]
    data["hooks"]["Stop"].append({"hooks": [{"type": "command", "command": "python -m mcp_server hook Stop"}]})
    assert json.loads(with_ours(CODEX, json.dumps(data).encode())) == wanted(CODEX)
    by_module = {"hooks": {"Stop": [{"command": "python", "args": ["-m", "mcp_server", "hook", "Stop"]}]}, "x": 1}
    assert json.loads(without_ours(CODEX, json.dumps(by_module).encode()) or b"") == {"x": 1}


def test_other_hooks_keep_their_places_between_ours():
    data = json.loads(with_ours(CODEX, None))
    mine = {"hooks": [{"type": "command", "command": "say", "args": ["data-mcp-server-agent"]}]}
    data["hooks"]["Stop"].append(mine)
    text = json.dumps(data).encode()
    there = json.loads(with_ours(CODEX, text, "other"))
    assert there["hooks"]["Stop"] == [*wanted(CODEX, "other")["hooks"]["Stop"], mine]
    assert json.loads(without_ours(CODEX, text) or b"") == {"hooks": {"Stop": [mine]}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"hooks": [', "no JSON"),
        ("[]", "It is no JSON object"),
        ("null", "It is no JSON object"),
        ('{"hooks": null}', "'hooks' in it is no JSON object"),
        ('{"hooks": [1]}', "'hooks' in it is no JSON object"),
        ('{"hooks": {"Stop": {}}}', "'hooks.Stop' in it is no JSON list"),
        ('{"hooks": {"Stop": null}}', "'hooks.Stop' in it is no JSON list"),
        ('{"hooks": {"Stop": []}, "hooks": {}}', "stands in it 2 times"),
        ('{"hooks": {"Stop": [], "Stop": []}}', "stands in it 2 times"),
        ('{"hooks": {} } // no comments here', "no JSON"),
        ("[" * 100_000, "nested too deeply|no JSON"),
    ],
)
def test_a_file_that_is_not_as_the_client_reads_it_is_left_alone(text: str, why: str):
    with pytest.raises(OpsError, match=why):
        with_ours(CODEX, text.encode())


@pytest.mark.parametrize("data", ["{}".encode("utf-16"), b'{"a": "\xff"}'])
def test_a_file_that_is_not_utf8_is_left_alone(data: bytes):
    with pytest.raises(OpsError, match="not UTF-8"):
        with_ours(CODEX, data)


def test_one_of_ours_in_a_group_with_anothers_is_told_and_left_alone():
    two = [{"type": "command", "command": command} for command in ("data-mcp-server-agent hook Stop", "mine")]
    text = json.dumps({"hooks": {"Stop": [{"hooks": two}]}}).encode()
    for do in (lambda: with_ours(CODEX, text), lambda: without_ours(CODEX, text)):
        with pytest.raises(Conflict, match=r"hooks for Stop stands in one group with another's\. Give each"):
            do()


GROUPS = st.lists(st.sampled_from(OTHERS), max_size=3)
EVENTS = st.dictionaries(st.sampled_from(["stop", "sessionStart", "other", ""]), GROUPS, max_size=3)


@st.composite
def with_hooks(draw: st.DrawFn) -> str:
    """A client's file with hooks of others, or none, and with anything else."""
    data = draw(documents.OBJECTS)
    data.pop("hooks", None)
    data.pop("version", None)
    if draw(st.booleans()):
        data["hooks"] = draw(EVENTS)
    order = draw(st.permutations(list(data)))
    return draw(documents.NOTE) + draw(documents.written({key: data[key] for key in order})) + draw(documents.NOTE)


@pytest.mark.slow
@settings(max_examples=40)
@example('{"a":1,// a note\n"hooks":{}}')
@example('{// a note\n"hooks":{}, "b":2}')
@given(with_hooks())
def test_in_any_file_ours_come_and_go_and_all_else_stays(text: str):
    before = text.encode()
    there = with_ours(CURSOR, before)
    assert with_ours(CURSOR, there) == there
    assert without_ours(CURSOR, there, before) == before
    other = with_ours(CURSOR, there, "other")
    assert without_ours(CURSOR, other, there, before) == before
    left = without_ours(CURSOR, there)
    assert left is not None and b"data-mcp-server-agent hook" not in left


def test_the_first_hook_is_run_through_a_shell_and_what_it_says_on_stderr_counts_against_it():
    asked: list[Any] = []

    def run(words: list[str], **options: Any) -> CompletedProcess[str]:
        asked.append((words, options["input"], options["env"]))
        return CompletedProcess(words, 0, "{}", "")

    times = iter([1.0, 1.5])
    assert prove(wanted(CURSOR), {"PATH": "/bin"}, "linux", run, lambda: next(times)) == 0.5
    start = "uvx data-mcp-server-agent hook sessionStart --client cursor --agent scribe"
    assert asked == [(["/bin/sh", "-c", start], "{}", {"PATH": "/bin"})]
    prove(wanted(CURSOR), {}, "win32", run, lambda: 0.0)
    assert asked[-1][0] == ["cmd", "/c", start]


@pytest.mark.parametrize(
    ("done", "why"),
    [
        (CompletedProcess([], 0, "", "the database is damaged"), "the database is damaged"),
        (CompletedProcess([], 127, "", ""), "exit code 127"),
        (FileNotFoundError("no shell"), "no shell"),
        (TimeoutExpired("sh", 60), "timed out after 60 seconds"),
    ],
)
def test_a_hook_that_does_not_answer_is_told(done: Any, why: str):
    def run(*_: object, **__: object) -> Any:
        if isinstance(done, Exception):
            raise done
        return done

    with pytest.raises(Unavailable, match=f"did not answer as a hook does: .*{why}"):
        prove(wanted(CURSOR), {}, "linux", run, lambda: 0.0)
