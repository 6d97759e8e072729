"""Which command is written: one that starts what is installed here, and that was seen to start."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mcp_server
from mcp_server.integrations.clients import starting
from mcp_server.integrations.clients.entries import Started
from mcp_server.integrations.clients.records import BY_KEY
from mcp_server.integrations.clients.starting import Package, commands, first_that_starts, minimal_env, this_package
from mcp_server.kernel.errors import Unavailable
from tests.integrations.clients.documents import machine

PROGRAM = "data-mcp-server-agent"
WITH_UV = {"uv": "/opt/bin/uv", "uvx": "/opt/bin/uvx"}
INSTALLED, CHECKOUT = Package(None, None, Path("/venv/bin") / PROGRAM), Package(Path("/src"), None, None)


def first(package: Package, key: str, extra: str | None = None, **env: str) -> tuple[str, ...]:
    return next(commands(machine(Path("/home"), which=WITH_UV, **env), package, BY_KEY[key], extra))


def test_an_installed_package_is_started_by_uvx_with_its_whole_path_where_a_client_needs_that():
    assert first(INSTALLED, "claude-code") == ("uvx", PROGRAM)
    assert first(INSTALLED, "claude-desktop") == ("/opt/bin/uvx", PROGRAM)
    assert first(INSTALLED, "cursor", "postgres") == ("/opt/bin/uvx", "--from", f"{PROGRAM}[postgres]", PROGRAM)


def test_a_checkout_is_started_by_uv_without_what_develops_it():
    assert first(CHECKOUT, "cursor") == ("/opt/bin/uv", "run", "--no-dev", "--directory", "/src", PROGRAM)
    with_extra = first(CHECKOUT, "claude-code", "postgres", UV="/cache/uv")
    assert with_extra == ("/cache/uv", "run", "--no-dev", "--extra", "postgres", "--directory", "/src", PROGRAM)


def test_what_was_installed_from_elsewhere_is_started_from_there():
    wheel = starting.source_of({"url": "file:///w/x.whl", "archive_info": {}})
    git = starting.source_of({"url": "https://example.org/x", "vcs_info": {"vcs": "git", "commit_id": "abc"}})
    assert first(INSTALLED._replace(source=wheel), "codex")[1:3] == ("--from", f"{PROGRAM} @ file:///w/x.whl")
    assert first(INSTALLED._replace(source=git), "codex")[2] == f"{PROGRAM} @ git+https://example.org/x@abc"


def test_what_a_person_installed_as_a_program_is_started_itself(tmp_path: Path):
    for receipt in ("uv-receipt.toml", "pipx_metadata.json"):
        program = tmp_path / receipt.partition(".")[0] / "bin" / PROGRAM
        program.parent.mkdir(parents=True)
        program.touch()
        assert not this_package(tmp_path / "mcp_server", program).is_tool
        (program.parent.parent / receipt).touch()
        tool = this_package(tmp_path / "mcp_server", program)._replace(source=None)
        assert first(tool, "claude-code") == (str(program),)
        assert first(tool, "claude-code", "postgres")[0] == "uvx", "it may have been installed without"


def test_without_uv_the_program_itself_is_started():
    bare = machine(Path("/home"))
    assert list(commands(bare, INSTALLED, BY_KEY["zed"], None)) == [(str(INSTALLED.program),)]
    with pytest.raises(Unavailable, match=r"Neither uv nor the program was found\. Install uv"):
        first_that_starts(commands(bare, CHECKOUT, BY_KEY["zed"], None), {}, {})


def test_only_a_command_that_starts_is_taken_and_the_others_are_told():
    ran = list[tuple[str, str]]()

    def run(argv: list[str], *, env: dict[str, str], **_: Any) -> Any:
        ran.append((argv[0], env["PATH"]))
        if argv[0] == "gone":
            raise FileNotFoundError("no such file: gone")
        if argv[0] == "slow":
            raise subprocess.TimeoutExpired(argv, 300)
        works = argv[0] == "good" or (argv[0] == "half" and env["PATH"] == "all")
        return SimpleNamespace(returncode=0 if works else 3, stdout=f"{PROGRAM}, version 1", stderr="it broke")

    envs = {"PATH": "all"}, {"PATH": "little"}
    assert first_that_starts(iter([("gone",), ("half",), ("good",)]), *envs, run) == Started(("good",), {})
    assert ran == [("gone", "all"), ("half", "all"), ("half", "little"), ("good", "all"), ("good", "little")]
    with pytest.raises(Unavailable, match=r"gone: no such file.*slow: .*bad: exit code 3, it broke"):
        first_that_starts(iter([("gone",), ("slow",), ("bad",)]), *envs, run)


def test_variables_that_the_network_needs_are_handed_on_only_where_it_needs_them():
    def run(argv: list[str], *, env: dict[str, str], **_: Any) -> Any:
        works = argv[0] == "local" or "SSL_CERT_FILE" in env
        return SimpleNamespace(returncode=0 if works else 2, stdout=PROGRAM, stderr="invalid peer certificate")

    own = {"PATH": "all", "SSL_CERT_FILE": "/certs", "SECRET": "x"}
    assert first_that_starts(iter([("local",)]), own, {"PATH": "little"}, run) == Started(("local",), {})
    certs = {"SSL_CERT_FILE": "/certs"}
    assert first_that_starts(iter([("uvx",)]), own, {"PATH": "little"}, run) == Started(("uvx",), certs)


def test_a_server_is_tried_with_as_little_as_its_client_gives_it():
    here = machine(Path("/home"), SECRET="x", LANG="C", XDG_DATA_HOME="/x")
    assert minimal_env(here, BY_KEY["codex"]) == {
        "HOME": "/home",
        "LANG": "C",
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
    }
    assert minimal_env(here, BY_KEY["gemini-cli"])["PATH"] == "/usr/bin"
    windows = machine(Path("/home"), "win32", APPDATA="/a")
    assert minimal_env(windows, BY_KEY["cursor"]) == {"HOME": "/home", "APPDATA": "/a", "PATH": "/usr/bin"}


def test_how_the_package_is_here_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ours = Path(mcp_server.__path__[0])
    program = tmp_path / "archive-v0" / "bin" / PROGRAM
    program.parent.mkdir(parents=True)
    program.touch()
    assert this_package(ours, program)._replace(source=None) == Package(ours.parent, None, None), (
        "uvx's cache is no place"
    )
    kept = tmp_path / PROGRAM
    kept.touch()
    assert this_package(tmp_path / "mcp_server", kept)._replace(source=None) == Package(None, None, kept)
    monkeypatch.setattr(starting, "PROGRAM", "not-installed-here")
    assert this_package(tmp_path / "mcp_server", tmp_path / "none") == Package(None, None, None)
