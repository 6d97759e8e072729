"""The registry's entry, the desktop bundle's manifest and the script that makes both for a release."""

import json
import re
import zipfile
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from mcp_server.config import Settings
from mcp_server.config.words import Word, words
from scripts import release

ROOT = release.ROOT
ENTRY: dict[str, Any] = json.loads((ROOT / "server.json").read_text("utf-8"))
BUNDLE: dict[str, Any] = json.loads(release.MANIFEST.read_text("utf-8"))
SETTINGS = {word.variable: word for word in words(Settings).values() if not word.from_file_only}
OWNER = ENTRY["name"].partition("/")[0].removeprefix("io.github.")


def choices(word: Word) -> list[str] | None:
    if isinstance(word.kind, type) and issubclass(word.kind, Enum):
        return [str(member.value) for member in word.kind]
    return list(get_args(word.kind)) if get_origin(word.kind) is Literal else None


def variables(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [variable for package in entry["packages"] for variable in package.get("environmentVariables", [])]


def require_sound(entry: dict[str, Any]) -> None:
    """The rules of schema 2025-12-11 and of the registry that an entry like ours can break."""
    assert set(entry) <= {"$schema", "name", "title", "description", "version", "repository", "packages"}
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", entry["name"]) and 3 <= len(entry["name"]) <= 200
    assert 1 <= len(entry["description"]) <= 100 and 1 <= len(entry["title"]) <= 100
    assert re.fullmatch(r"\d+\.\d+\.\d+([-.]?\w+)*", entry["version"])
    for package in entry["packages"]:
        require_sound_package(package)


def require_sound_package(package: dict[str, Any]) -> None:
    kind = package["registryType"]
    assert package["transport"] == {"type": "stdio"}
    assert ("version" in package) == (kind != "oci"), "an image's version stands in its tag"
    assert not package.get("runtimeArguments") or "runtimeHint" in package
    if kind == "mcpb":
        assert re.fullmatch(r"https://github\.com/[^?#]*mcp[^?#]*\.mcpb", package["identifier"])
        assert re.fullmatch(r"[a-f0-9]{64}", package["fileSha256"])
    if kind == "oci":
        assert re.fullmatch(r"ghcr\.io/[a-z0-9._/-]+:\d+\.\d+\.\d+", package["identifier"])
    for argument in (*package.get("runtimeArguments", ()), *package.get("packageArguments", ())):
        wanted = {"named": "name", "positional": "value"}
        assert wanted[argument["type"]] in argument


def test_the_registrys_entry_keeps_the_registrys_rules():
    require_sound(ENTRY)
    assert ENTRY["$schema"].endswith("/2025-12-11/server.schema.json")


def test_every_file_that_names_a_version_names_the_packages():
    assert list(release.disagreeing(release.version())) == []
    assert len(list(release.disagreeing("9.9.9"))) == 8


def test_the_readme_proves_whose_package_it_is():
    assert f"<!-- mcp-name: {ENTRY['name']} -->" in (ROOT / "README.md").read_text("utf-8").splitlines()


@pytest.mark.parametrize("variable", variables(ENTRY), ids=lambda variable: variable["name"])
def test_a_variable_of_the_entry_is_a_setting_and_says_what_the_code_says(variable: dict[str, Any]):
    word = SETTINGS[variable["name"]]
    assert variable["description"] == word.field.description
    assert variable["isRequired"] is False and variable.get("choices") == choices(word)
    assert (variable.get("format") == "boolean") == (word.kind is bool)
    default = word.field.default
    said = default.value if isinstance(default, Enum) else default
    assert variable.get("default") == (None if said in (None, "") else str(said).lower())
    # The database's address may hold a password, although it has a flag.
    assert variable["isSecret"] == (word.secret or word.name == "database")


def test_the_bundle_gives_the_server_every_value_that_it_asks_for_and_no_other():
    given = BUNDLE["server"]["mcp_config"]["env"]
    assert {value: SETTINGS[name].name for name, value in given.items()} == {
        f"${{user_config.{name}}}": name for name in BUNDLE["user_config"]
    }
    for asked in BUNDLE["user_config"].values():
        assert asked["description"] and asked["title"] and asked["required"] is False
        # A client leaves the placeholder where there is no default; an empty variable counts as not given.
        assert asked["default"] == ""


def test_the_bundle_is_what_uv_starts():
    server = BUNDLE["server"]
    assert (BUNDLE["manifest_version"], server["type"]) == ("0.4", "uv")
    assert (ROOT / server["entry_point"]).is_file()
    config = server["mcp_config"]
    assert config["command"] == "uv" and config["args"][:3] == ["run", "--directory", "${__dirname}"]
    assert config["args"][-2:] == [release.NAME, "serve"]


def test_a_bundle_holds_what_the_server_needs_and_nothing_for_development(tmp_path: Path):
    bundle = release.packed(tmp_path / "new" / "folder")
    with zipfile.ZipFile(bundle) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["version"] == release.version() and manifest["name"] in bundle.name
    assert {name.partition("/")[0] for name in names} == {"manifest.json", *release.BESIDE, *release.PACKAGES}
    assert "mcp_server/domain/tasks/queries.sql" in names and "resources/skills/worker-loop/SKILL.md" in names
    assert not [name for name in names if name.endswith(".pyc")]
    again = release.packed(tmp_path / "again")
    assert again.read_bytes() == bundle.read_bytes(), "the same files make the same bundle"


def test_the_entry_of_a_release_names_bundle_and_image(tmp_path: Path):
    release.packed(tmp_path)
    entry = json.loads(release.registered(tmp_path, f"{OWNER}/Desk-mcp").read_text("utf-8"))
    require_sound(entry)
    assert [package["registryType"] for package in entry["packages"]] == ["pypi", "mcpb", "oci"]
    assert entry["packages"][2]["identifier"] == f"ghcr.io/{OWNER}/desk-mcp:{release.version()}"
    assert entry["repository"] == {"url": f"https://github.com/{OWNER}/Desk-mcp", "source": "github"}


def test_a_release_from_elsewhere_or_without_a_bundle_has_no_entry(tmp_path: Path):
    with pytest.raises(SystemExit, match="rename it"):
        release.registered(tmp_path, "somebody/fork")
    with pytest.raises(SystemExit, match="pack it first"):
        release.registered(tmp_path, f"{OWNER}/desk")


def test_the_script_says_how_it_is_called_and_fails_where_versions_disagree(capsys: pytest.CaptureFixture[str]):
    assert release.main([]) == 2
    assert release.main(["check", f"v{release.version()}"]) == 0
    assert release.main(["check", "v9.9.9"]) == 1
    assert "server.json says" in capsys.readouterr().out
