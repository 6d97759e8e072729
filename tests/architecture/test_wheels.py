"""Whatever is compiled has a wheel on every platform that we say we run on: few machines there can compile.

`wheels.json` holds what the index had on the day that it names; `python scripts/wheels.py` renews it.
"""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms, parse_tag

from mcp_server.persistence.sqlite.library import remedy

HERE = Path(__file__).parent
COMPILED: list[dict[str, Any]] = json.loads((HERE / "wheels.json").read_text())["packages"]
PROJECT = tomllib.loads((HERE.parent.parent / "pyproject.toml").read_text())["project"]
NEEDS_NO_COMPILER = {"google-crc32c", "markupsafe", "pyyaml"}
"""These do without their compiled part where there is none: pip builds them of their source alone."""
NEWER_MACOS = {"av"}
"""These have wheels for macOS 14, and for none before, on Apple's own processors: docs/platforms.md says so."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")


def linux(machine: str, libc: str) -> list[str]:
    """Of glibc from 2.28 on, which is of 2018; of musl from 1.2 on, of 2020."""
    if libc == "musl":
        return [f"musllinux_1_{minor}_{machine}" for minor in (2, 1)]
    return [f"manylinux_2_{minor}_{machine}" for minor in range(28, 16, -1)] + [f"manylinux2014_{machine}"]


PLATFORMS = {
    "Linux x86_64, glibc": ("linux", "x86_64", linux("x86_64", "glibc")),
    "Linux x86_64, musl": ("linux", "x86_64", linux("x86_64", "musl")),
    "Linux aarch64, glibc": ("linux", "aarch64", linux("aarch64", "glibc")),
    "Linux aarch64, musl": ("linux", "aarch64", linux("aarch64", "musl")),
    "macOS arm64": ("darwin", "arm64", list(mac_platforms((13, 0), "arm64"))),
    "macOS x86_64": ("darwin", "x86_64", list(mac_platforms((13, 0), "x86_64"))),
    "Windows amd64": ("win32", "AMD64", ["win_amd64"]),
    "Windows arm64": ("win32", "ARM64", ["win_arm64"]),
    "Windows x86": ("win32", "x86", ["win32"]),
}
SYSTEMS = {"linux": ("Linux", "posix"), "darwin": ("Darwin", "posix"), "win32": ("Windows", "nt")}


def environment(platform: str, python: str) -> dict[str, str]:
    system, machine, _ = PLATFORMS[platform]
    name, os_name = SYSTEMS[system]
    return {
        "sys_platform": system,
        "platform_machine": machine,
        "platform_system": name,
        "os_name": os_name,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def taken(platform: str, python: str, there: list[str] | None = None) -> set[Tag]:
    """The tags of wheels that pip takes there."""
    major, minor = map(int, python.split("."))
    there = there or PLATFORMS[platform][2]
    return {
        *cpython_tags((major, minor), [f"cp{major}{minor}"], there),
        *compatible_tags((major, minor), f"cp{major}{minor}", there),
    }


def wanted(platform: str, python: str) -> Iterator[dict[str, Any]]:
    """What is compiled and asked for there."""
    there = environment(platform, python)
    for package in COMPILED:
        if holds(package["markers"], there) and holds(package["where"] or [""], there):
            yield package


def holds(markers: list[str], there: dict[str, str]) -> bool:
    """Whether one of the markers does."""
    return any(not marker or Marker(marker).evaluate(there) for marker in markers)


def has_wheel(package: dict[str, Any], tags: set[Tag]) -> bool:
    return any(parse_tag(wheel) & tags for wheel in package["wheels"])


def lacking(platform: str, python: str) -> set[str]:
    tags = taken(platform, python)
    return {package["name"] for package in wanted(platform, python) if not has_wheel(package, tags)}


def extra(name: str, platform: str) -> list[str]:
    """What an extra brings there."""
    there = environment(platform, "3.11")
    asked = map(Requirement, PROJECT["optional-dependencies"][name])
    return [one.name for one in asked if one.marker is None or one.marker.evaluate(there)]


def direct(name: str, platform: str, python: str) -> list[Requirement]:
    """What pyproject.toml says of a package there."""
    there = environment(platform, python)
    asked = map(Requirement, PROJECT["dependencies"])
    return [one for one in asked if one.name == name and (one.marker is None or one.marker.evaluate(there))]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_whatever_is_compiled_has_a_wheel_there(platform: str, python: str):
    asked = {package["name"] for package in wanted(platform, python)}
    assert {"pydantic-core", "cryptography", "pyyaml", "httptools"} <= asked
    newer = NEWER_MACOS if platform == "macOS arm64" else set[str]()
    assert lacking(platform, python) <= NEEDS_NO_COMPILER | newer


@pytest.mark.parametrize("python", PYTHONS)
def test_calls_can_be_installed_wherever_the_extra_brings_them(python: str):
    newer = taken("macOS arm64", python, list(mac_platforms((14, 0), "arm64")))
    assert all(has_wheel(one, newer) for one in wanted("macOS arm64", python) if one["name"] in NEWER_MACOS)
    assert [platform for platform in PLATFORMS if not extra("calls", platform)] == ["Windows x86"]
    assert "av" not in {package["name"] for package in wanted("Windows x86", python)}
    assert {"av", "pylibsrtp", "google-crc32c"} <= {one["name"] for one in wanted("Linux aarch64, musl", python)}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_one_sqlite_library_comes_to_each_platform_and_it_is_the_first_that_has_a_wheel(platform: str, python: str):
    asked = [name for name in ("pysqlite3", "apsw") if direct(name, platform, python)]
    (pysqlite3,) = (package for package in COMPILED if package["name"] == "pysqlite3")
    assert asked == ["pysqlite3" if has_wheel(pysqlite3, taken(platform, python)) else "apsw"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_advised_where_the_library_is_unsafe_can_be_installed_there(platform: str):
    system, machine, _ = PLATFORMS[platform]
    advised = remedy(system, machine).removeprefix("Install ").partition(" ")[0]
    for python in PYTHONS[:3]:
        assert direct(advised, platform, python), advised


@pytest.mark.parametrize("platform", PLATFORMS)
def test_of_each_package_one_version_is_asked_for(platform: str):
    assert len(direct("cryptography", platform, "3.11")) == 1
    names = [package["name"] for package in wanted(platform, "3.11")]
    assert len(names) == len(set(names))


def test_the_list_is_of_what_is_declared():
    """It was renewed since a compiled package was declared, or another version of one."""
    listed = {package["name"] for package in COMPILED}
    assert {"apsw", "pysqlite3", "uvloop", "httptools", "psycopg-binary", "markupsafe"} <= listed
    for requirement in map(Requirement, PROJECT["dependencies"]):
        versions = [package["version"] for package in COMPILED if package["name"] == requirement.name]
        assert not versions or any(version in requirement.specifier for version in versions), requirement
