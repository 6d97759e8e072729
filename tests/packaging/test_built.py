"""Wheel, sdist and desktop bundle: what is in them, and that they work where nothing else is."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts import release
from tests.packaging.programs import MCPB, ROOT, UV, needs_mcpb, needs_uv
from tests.processes import INITIALIZE

CODE = (".py", ".pyc")
AT_THE_TOP = {"mcp_server", "tools", "resources"}


def run(*command: str | Path, cwd: Path = ROOT, **more: Any) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, folder: Path, source: Path = ROOT) -> Path:
    """Build with the backend that is installed: nothing is downloaded."""
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder, cwd=source)
    (built,) = folder.iterdir()
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    """What is in a wheel, but its list of itself."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def data_files() -> set[str]:
    """What the packages hold beside code: statements, migrations, templates, skills, markers of types."""
    paths = (path for package in AT_THE_TOP for path in (ROOT / package).rglob("*"))
    return {path.relative_to(ROOT).as_posix() for path in paths if path.is_file() and path.suffix not in CODE}


def talk(command: Iterable[str | Path], cwd: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """What a server answers to a handshake and one call over stdio."""
    call = {"name": "state_set", "arguments": {"namespace": "n", "key": "k", "value": 1}}
    messages = [
        {"id": 1, "method": "initialize", "params": INITIALIZE},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": call},
    ]
    process = subprocess.Popen(
        [*map(str, command)],
        cwd=cwd,
        env={**environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        for message in messages:
            process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
            process.stdin.flush()
        answers = dict[int, dict[str, Any]]()
        while 2 not in answers and (line := process.stdout.readline()):
            answer = json.loads(line)
            answers[answer.get("id")] = answer
        process.stdin.close()
    assert answers[1]["result"]["serverInfo"]["name"]
    return answers[2]["result"]["structuredContent"]


def clean(folder: Path) -> dict[str, str]:
    """An environment in which nothing of this one is found, with a home of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "UV_CACHE_DIR", "LANG") if name in os.environ}
    kept |= {
        name: value for name, value in os.environ.items() if "CERT" in name or name.endswith(("_INDEX", "_INDEX_URL"))
    }
    return kept | {"HOME": str(folder), "UV_CACHE_DIR": kept.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


def test_no_dependency_brings_a_package_of_our_names():
    from importlib.metadata import distributions

    taken = {
        (file.parts[0], distribution.name)
        for distribution in distributions()
        if distribution.name != release.NAME
        for file in distribution.files or ()
        if file.parts[0] in AT_THE_TOP
    }
    assert not taken


@pytest.mark.slow
def test_a_wheel_holds_the_packages_with_their_data_and_nothing_for_development(wheel: Path):
    held = set(contents(wheel))
    assert {name.partition("/")[0] for name in held} == {
        *AT_THE_TOP,
        f"data_mcp_server_agent-{release.version()}.dist-info",
    }
    assert data_files() <= held
    assert not [name for name in held if "test" in name or name.endswith(".pyc")]


@pytest.mark.slow
def test_the_source_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path):
    import tarfile

    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert contents(build("wheel", tmp_path / "wheel", source)) == contents(wheel)


@pytest.mark.slow
@needs_uv
def test_a_wheel_works_in_an_environment_that_has_nothing_else(wheel: Path, tmp_path: Path):
    environment = clean(tmp_path)
    bin_ = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    run(UV or "", "venv", "-q", "--python", sys.executable, tmp_path / "venv", env=environment)
    locked = ("--constraint", ROOT / "requirements-dev.lock")
    run(UV or "", "pip", "install", "-q", "--python", bin_ / "python", *locked, wheel, env=environment)
    ours = bin_ / "data-mcp-server-agent"
    assert release.version() in run(ours, "--version", cwd=tmp_path, env=environment)
    database = f"sqlite:///{tmp_path / 'desk.db'}"
    answer = talk([ours, "--database", database], tmp_path, environment)
    assert answer["document"]["version"] == 1
    report = json.loads(run(ours, "doctor", "--json", "--database", database, cwd=tmp_path, env=environment))
    assert report["ok"] and report["version"] == release.version()


@pytest.mark.slow
@needs_uv
@needs_mcpb
def test_a_bundle_is_valid_and_starts_where_it_was_unpacked(tmp_path: Path):
    bundle, folder = release.packed(tmp_path), tmp_path / "unpacked"
    assert "passes" in run(MCPB, "validate", release.MANIFEST)
    run(MCPB, "unpack", bundle, folder)
    config = json.loads((folder / "manifest.json").read_text("utf-8"))["server"]["mcp_config"]
    values = {"database": f"sqlite:///{tmp_path / 'desk.db'}", "agent": "", "toolsets": "state"}
    given = {name: _filled(value, values, folder) for name, value in config["env"].items()}
    command = [UV or "", *(_filled(part, values, folder) for part in config["args"])]
    answer = talk(command, tmp_path, clean(tmp_path) | given)
    assert answer["document"]["version"] == 1 and (tmp_path / "desk.db").exists()


def _filled(text: str, values: Mapping[str, str], folder: Path) -> str:
    """A value of the manifest as a desktop client fills it in."""
    for name, value in values.items():
        text = text.replace(f"${{user_config.{name}}}", value)
    return text.replace("${__dirname}", str(folder))
