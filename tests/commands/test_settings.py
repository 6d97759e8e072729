"""Settings: one model, and its words in every source; what is no setting is refused with what was meant."""

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import click
import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from mcp_server.commands.doctor import run_doctor
from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.serve import serve
from mcp_server.config import Group, Settings, load_settings, read_settings, secret
from mcp_server.config.words import Word, sections, words
from mcp_server.domain.areas import AREAS
from mcp_server.hooks.settings import read_settings as settings_of_hooks
from mcp_server.integrations.references import resolve
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.values import Frozen
from mcp_server.persistence.database import make_backend
from mcp_server.protocol.keys import read_tokens
from mcp_server.runtime.launching import looked_up

WORDS = words(Settings)
LEAVES = [word for word in WORDS.values() if word.name != "config" and not word.from_file_only]


def sample(word: Word) -> Any:
    """A value that is not the default, in the form in which TOML has it."""
    if get_origin(word.kind) is Literal:
        return next(value for value in get_args(word.kind) if value != word.field.default)
    if isinstance(word.kind, type) and issubclass(word.kind, Enum):
        return "viewer"
    least = next((one.ge for one in word.field.metadata if isinstance(one, Ge)), 0)
    return {bool: True, int: 7 + int(least), float: 2.5, str: "text", SecretStr: "hush", Path: "/a/file"}.get(
        word.kind, "a, b"
    )


def value_of(settings: Settings, word: Word) -> Any:
    value: Any = settings.model_dump(by_alias=True)
    for part in word.path:
        value = value[part]
    return value


def toml(word: Word, form: str) -> str:
    value = json.dumps(sample(word))
    if form == "nested":
        *above, last = word.path
        return f"[{'.'.join(above)}]\n{last} = {value}" if above else f"{last} = {value}"
    if form == "nested hyphens":
        *above, last = (part.replace("_", "-") for part in word.path)
        return ".".join([*above, f"{last} = {value}"])
    return f"{word.name.replace('_', '-') if form == 'hyphens' else word.name} = {value}"


HELP = ["-h", "--help"]
"""As under the whole command line: click keeps the first that a command is asked for."""


def flags(*arguments: str) -> dict[str, Any]:
    return serve.make_context("serve", list(arguments), help_option_names=HELP).params


@pytest.mark.parametrize("word", LEAVES, ids=lambda word: word.name)
def test_a_setting_is_the_same_from_every_source(word: Word, tmp_path: Path):
    text = str(sample(word))
    found = [
        read_settings(Settings, {}, {word.variable: text}),
        read_settings(Settings, {}, {word.variable.lower(): text}),
    ]
    for form in ("flat", "hyphens", "nested", "nested hyphens"):
        file = tmp_path / f"{form}.toml"
        file.write_text(toml(word, form))
        found.append(read_settings(Settings, {"config": file}, {}).model_copy(update={"config": None}))
    if word.has_flag:
        found.append(read_settings(Settings, flags(word.flag, *([] if word.kind is bool else [text])), {}))
    assert all(settings == found[0] for settings in found)
    assert value_of(found[0], word) != value_of(Settings(), word)


@pytest.mark.parametrize("word", LEAVES, ids=lambda word: word.name)
def test_flags_win_over_environment_and_environment_over_the_file(word: Word, tmp_path: Path):
    file = tmp_path / "desk.toml"
    file.write_text(toml(word, "nested"))
    here = {"config": file}
    default, said = value_of(Settings(), word), value_of(read_settings(Settings, here, {}), word)
    if default not in (None, (), ""):
        text = str(default.value if isinstance(default, Enum) else default)
        assert value_of(read_settings(Settings, here, {word.variable: text}), word) == default
        assert (
            value_of(read_settings(Settings, here | {word.name: default}, {word.variable: str(sample(word))}), word)
            == default
        )
    assert value_of(read_settings(Settings, here | {word.name: None}, {word.variable: ""}), word) == said


def test_sources_are_merged_setting_by_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tmp_path / "desk.toml"
    config.write_text(
        'role = "viewer"\nuser = "file"\nport = 1\ntoolsets = ["tasks", "state"]\n[smtp]\nhost = "file"\nport = 1'
    )
    monkeypatch.setenv("DATAMCP_CONFIG", str(config))
    monkeypatch.setenv("DATAMCP_USER", "environment")
    monkeypatch.setenv("DATAMCP_PORT", "2")
    monkeypatch.setenv("DATAMCP_SMTP_PORT", "2")
    monkeypatch.setenv("DATAMCP_LOG_LEVEL", "WARNING")
    settings = load_settings(port=3, read_only=None, smtp_tls="tls")
    assert (settings.role.value, settings.user, settings.port, settings.read_only) == (
        "viewer",
        "environment",
        3,
        False,
    )
    assert (settings.toolsets, settings.log.level) == (("tasks", "state"), "warning")
    assert (settings.smtp.host, settings.smtp.port, settings.smtp.tls) == ("file", 2, "tls")
    monkeypatch.setenv("DATAMCP_TOOLSETS", "agents, tasks")
    assert load_settings().toolsets == ("agents", "tasks")


def test_every_setting_is_described_grouped_and_listed_by_the_help_of_serve():
    with click.Context(serve, info_name="serve", help_option_names=HELP) as context:
        told = "".join(serve.get_help(context).split())
    for word in WORDS.values():
        assert word.field.description and word.group is not None, word.name
        assert "".join(word.field.description.split()) in told
        if word.from_file_only:
            assert f"[{word.name}" in told
            continue
        assert (f"{word.flag}" if word.has_flag else word.variable) in told and word.variable in told
        assert word.field.default in (None, (), "", False) or f"default:{_shown(word.field.default)}" in told


def _shown(default: Any) -> str:
    return (
        str(default.value)
        if isinstance(default, Enum)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )


SECRETS = ["smtp_password", "sendgrid_api_key", "cloudflare_api_token", "turn_password"]


def test_secrets_have_no_flag_and_show_nowhere():
    secrets = [word for word in WORDS.values() if word.secret]
    assert [word.name for word in secrets] == SECRETS
    known = {name for param in serve.params for name in param.opts}
    for word in secrets:
        assert word.flag not in known and f"{word.flag}-file" in known
        assert "hush" not in repr(read_settings(Settings, {}, {word.variable: "hush"}))
    with pytest.raises(click.NoSuchOption, match="password"):
        flags("--smtp-password", "hush")


def test_a_command_has_the_settings_of_its_groups_only():
    command = SettingsCommand("x", groups=(Group.STORE,))
    assert [param.name for param in command.params] == [
        "config", "database", "database_schema", "allow_unsafe_sqlite", "log_level", "log_format",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"DATAMCP_READONLY": "1"}, "There is no setting DATAMCP_READONLY; did you mean DATAMCP_READ_ONLY?"),
        ({"DATAMCP_SMTP_HOTS": "h"}, "did you mean DATAMCP_SMTP_HOST?"),
        ({"datamcp_rol": "viewer"}, "There is no setting DATAMCP_ROL; did you mean DATAMCP_ROLE?"),
        ({"DATAMCP_XYZZY": "1"}, "There is no setting DATAMCP_XYZZY. See"),
        ({"DATAMCP_PORT": "99999"}, "DATAMCP_PORT: it takes at most 65535"),
        ({"DATAMCP_CONFIG": "/none.toml"}, "cannot be read"),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused(environment: dict[str, str], says: str):
    with pytest.raises(ValidationFailed) as refused:
        read_settings(Settings, {}, environment)
    assert says in refused.value.message


def test_variables_of_others_and_of_the_house_itself_are_let_be():
    others = {"DATAMCP_TASK_ID": "task_1", "DATAMCP_ATTEMPT": "1", "DATAMCP_READONLY": "", "DATA": "1"}
    assert read_settings(Settings, {}, others) == Settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("readonly = true", "There is no setting readonly in desk.toml; did you mean read_only?"),
        ("smtp-hots = 'h'", "There is no setting smtp-hots in desk.toml; did you mean smtp_host?"),
        ("[smtp]\nhots = 'h'", "There is no setting smtp.hots in desk.toml; did you mean smtp.host?"),
        ("[smpt]\nhost = 'h'", "There is no setting smpt in desk.toml; did you mean smtp?"),
        ("xyzzy = 1", "There is no setting xyzzy in desk.toml. See"),
        ("smtp = 'h'", "smtp in desk.toml must be a table"),
        ("port = 99999", "port in desk.toml: it takes at most 65535"),
        ("[smtp]\nport = 0", "smtp.port in desk.toml: it takes at least 1"),
        ("toolsets = [1]", "toolsets in desk.toml, 0: it takes a text"),
        ("config = 'x'", "config in desk.toml cannot be set in the file that it names"),
        ("read_only = true\nread-only = true", "given twice: as read_only in desk.toml and as read-only in desk.toml"),
        ("smtp_host = 'a'\n[smtp]\nhost = 'b'", "smtp_host is given twice: as smtp_host in desk.toml and as smtp.host"),
        ("not toml", "is not valid TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, says: str):
    config = tmp_path / "desk.toml"
    config.write_text(text)
    with pytest.raises(ValidationFailed) as refused:
        read_settings(Settings, {"config": config}, {})
    assert says in refused.value.message


def test_an_unknown_argument_is_refused_like_any_other_word():
    with pytest.raises(ValidationFailed, match="There is no setting prot; did you mean port"):
        load_settings(prot=1)


@given(st.sampled_from([word.variable for word in LEAVES]), st.data())
def test_a_letter_left_out_is_noticed(variable: str, data: st.DataObject):
    start = len("DATAMCP_")
    gap = data.draw(st.integers(start, len(variable) - 1))
    wrong = variable[:gap] + variable[gap + 1 :]
    with pytest.raises(ValidationFailed) as refused:
        read_settings(Settings, {}, {wrong: "1"})
    # Of two names that differ by a letter, such as STUN and TURN, either may have been meant.
    meant = [
        word.variable for word in LEAVES if wrong in {word.variable[:n] + word.variable[n + 1 :] for n in range(99)}
    ]
    assert any(f"There is no setting {wrong}; did you mean {one}?" in refused.value.message for one in meant)


class Limits(Frozen):
    """A section of a named thing."""

    max_runs: int = Field(default=1, ge=1)


class Launcher(Frozen):
    """A named thing."""

    command: tuple[str, ...]
    limits: Limits = Limits()


class More(Settings):
    """Settings with named things, and a section in a section."""

    launchers: Annotated[dict[str, Launcher], Group.SERVING] = Field(default={}, description="Commands to launch")


def test_named_things_come_from_the_file_alone(tmp_path: Path):
    config = tmp_path / "desk.toml"
    config.write_text(
        'port = 1\n[launchers.a-b]\ncommand = ["run"]\nlimits-max-runs = 2\n[launchers.c]\ncommand = ["x"]'
    )
    found = read_settings(More, {"config": config}, {})
    assert found.port == 1 and found.launchers["c"] == Launcher(command=("x",))
    assert found.launchers["a-b"] == Launcher(command=("run",), limits=Limits(max_runs=2))
    with pytest.raises(ValidationFailed, match="There is no setting DATAMCP_LAUNCHERS"):
        read_settings(More, {}, {"DATAMCP_LAUNCHERS": "{}"})
    command = SettingsCommand("serve", groups=tuple(Group), model=More)
    assert "launchers" not in [param.name for param in command.params]
    with click.Context(command) as context:
        told = " ".join(command.get_help(context).split())
    assert "[launchers.NAME]" in told and "from the TOML file only" in told and "--launchers" not in told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[launchers.c]\ncomand = ['x']",
            "There is no setting launchers.c.comand in desk.toml; did you mean launchers.c.command?",
        ),
        (
            "[launchers.c.limits]\nmax-run = 1",
            "launchers.c.limits.max-run in desk.toml; did you mean launchers.c.limits.max_runs?",
        ),
        ("[launchers.c.limits]\nmax-runs = 0", "launchers in desk.toml, c.command: it is missing"),
        ("[launchers]\nc = 1", "launchers in desk.toml, c: it takes a table of names and values"),
        ("launchers = 1", "launchers in desk.toml: it takes a table of names and values"),
        ("[launchers.c.limits]\nmax-runs = 1\nmax_runs = 1", "limits_max_runs is given twice"),
    ],
)
def test_named_things_that_make_no_sense_are_refused(tmp_path: Path, text: str, says: str):
    config = tmp_path / "desk.toml"
    config.write_text(text)
    with pytest.raises(ValidationFailed) as refused:
        read_settings(More, {"config": config}, {})
    assert says in refused.value.message


def test_no_two_settings_share_a_word():
    paths = [word.path for word in WORDS.values()]
    assert len(set(paths)) == len(paths) and not WORDS.keys() & sections(Settings).keys()


def test_without_a_home_directory_a_place_for_the_database_has_to_be_named(monkeypatch, capsys):
    def nobody(*_: object) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "XDG_DATA_HOME", "DATAMCP_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(ValidationFailed, match="no home directory.*--database sqlite:////absolute"):
        _ = load_settings().database_url
    assert run_doctor({}, as_json=False) == 2
    assert "FAIL settings: This user has no home directory" in capsys.readouterr().out
    for url in ("sqlite:///~/x.db", "sqlite:///~nobody-here/x.db"):
        with pytest.raises(ValidationFailed, match="absolute path"):
            make_backend(url, AREAS)


TOKENS = '[[tokens]]\nid = "ann"\nkind = "user"\nrole = "viewer"\nsha256 = "{}"\n'.format("a" * 64)
READERS: dict[str, tuple[str, Callable[[Path], Any], Any]] = {
    "settings": ("user = 'ann'", lambda file: read_settings(Settings, {"config": file}, {}).user, "ann"),
    "settings of hooks": ("user = 'ann'", lambda file: settings_of_hooks({"config": str(file)}, {}).user, "ann"),
    "a secret of ours": ("hush\r\n", lambda file: secret(None, file, "SMTP_PASSWORD"), "hush"),
    "a secret of a deployment": ("hush\r\n", lambda file: resolve(f"file:{file}"), "hush"),
    "a secret of a launcher": ("hush\r\n", lambda file: looked_up("KEY", f"file:{file}", {}), "hush"),
    "tokens": (TOKENS, lambda file: [one.id for one in read_tokens(file)], ["ann"]),
}
"""What a file holds, what reads it, and what is read."""


@pytest.mark.parametrize("what", READERS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_a_mark_of_byte_order_is_no_part_of_any_file_of_the_operators(tmp_path: Path, what: str, mark: bytes):
    text, read, found = READERS[what]
    (tmp_path / "file").write_bytes(mark + text.encode())
    assert read(tmp_path / "file") == found
