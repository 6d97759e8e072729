#!/usr/bin/env python3
"""Renew tests/architecture/wheels.json: the wheels that the index has of each compiled package which we install.

    python scripts/wheels.py

uv resolves pyproject.toml for every platform, in a folder that is thrown away; its lock lists the wheels.
"""

import datetime
import json
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests" / "architecture" / "wheels.json"


def resolved() -> list[dict[str, Any]]:
    """Every package of the lock."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "pyproject.toml", folder)
        subprocess.run(["uv", "lock", "-q", "--project", folder], check=True)
        return tomllib.loads((Path(folder) / "uv.lock").read_text("utf-8"))["package"]


def tags(package: dict[str, Any]) -> list[str]:
    """The tags of its wheels: `cp311-cp311-win_amd64`; those of free-threaded Pythons aside."""
    names = [wheel["url"].rpartition("/")[2].removesuffix(".whl") for wheel in package.get("wheels", [])]
    found = {"-".join(name.split("-")[-3:]) for name in names}
    return sorted(tag for tag in found if not tag.split("-")[1].endswith("t"))


def needed(packages: list[dict[str, Any]]) -> dict[tuple[str, str], set[str]]:
    """What an installation with every extra comes to, by name and version, and the markers under which it is asked for.

    Where a package is resolved to several versions, whoever asks for it names one.
    """
    by_name = {package["name"]: package for package in packages}
    by_version = {(package["name"], package["version"]): package for package in packages}
    project = by_name["data-mcp-server-agent"]
    asked = [*project["dependencies"], *(one for some in project["optional-dependencies"].values() for one in some)]
    found: dict[tuple[str, str], set[str]] = {}
    while asked:
        one = asked.pop()
        key = (one["name"], one.get("version", by_name[one["name"]]["version"]))
        seen = key in found
        found.setdefault(key, set()).add(one.get("marker", ""))
        package = by_version[key]
        asked += [] if seen else package.get("dependencies", [])
        for extra in one.get("extra", []):
            more = package["optional-dependencies"][extra]
            asked += [{**another, "marker": both(one.get("marker"), another.get("marker"))} for another in more]
    return found


def both(*markers: str | None) -> str:
    """The marker for where all of these hold."""
    return " and ".join(f"({marker})" for marker in markers if marker)


def main() -> None:
    """Write the file."""
    packages = resolved()
    wheels = {(package["name"], package["version"]): tags(package) for package in packages}
    # A dependency of a dependency says nothing of where that one is asked for; the version does, if there are several.
    where = {(package["name"], package["version"]): package.get("resolution-markers", []) for package in packages}
    compiled = [
        {"name": key[0], "version": key[1], "markers": sorted(markers), "where": where[key], "wheels": wheels[key]}
        for key, markers in sorted(needed(packages).items())
        if not any(tag.endswith("-none-any") for tag in wheels[key])
    ]
    told = {"read_on": datetime.date.today().isoformat(), "renew": "python scripts/wheels.py", "packages": compiled}
    TARGET.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
