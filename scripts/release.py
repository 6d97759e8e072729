#!/usr/bin/env python3
"""What a release consists of beside wheel and sdist; docs/releasing.md says when each is made.

scripts/release.py check v1.2.3           every file that names a version names this one, and the changelog tells of it
scripts/release.py mcpb FOLDER            pack the bundle that desktop clients install by a double click
scripts/release.py registry FOLDER OWNER/REPOSITORY
                                          write the registry's entry: server.json with bundle and image
"""

import hashlib
import json
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAME = "data-mcp-server-agent"
MANIFEST = ROOT / "packaging" / "mcpb" / "manifest.json"
MANIFESTS = (
    MANIFEST,
    ROOT / "plugin" / ".claude-plugin" / "plugin.json",
    ROOT / "plugin" / "clients" / "gemini" / "gemini-extension.json",
)
"""What clients read the version of."""

PACKAGES = ("mcp_server", "tools", "resources")
BESIDE = ("pyproject.toml", "README.md", "LICENSE")
"""What the bundle needs beside the packages: `uv run` builds the project from them."""
MOMENT = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the bundle, so that the same files make the same bundle, with the same hash."""
ENTRY = {"type": "positional", "value": "serve"}


def main(arguments: list[str]) -> int:
    """Do one part; the exit code."""
    match arguments:
        case ["check", tag]:
            wrong = list(disagreeing(tag.removeprefix("v")))
            print("\n".join(wrong) or f"Everything is of version {tag.removeprefix('v')}.")
            return 1 if wrong else 0
        case ["mcpb", folder]:
            print(packed(Path(folder)))
        case ["registry", folder, repository]:
            print(registered(Path(folder), repository))
        case _:
            print(__doc__)
            return 2
    return 0


def version() -> str:
    """The version of the package."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def disagreeing(wanted: str) -> Iterator[str]:
    """What names another version than the one wanted, in words."""
    registry = json.loads((ROOT / "server.json").read_text("utf-8"))
    code = re.search(r'__version__ = "([^"]+)"', (ROOT / "mcp_server" / "__init__.py").read_text("utf-8"))
    named = {
        "pyproject.toml": version(),
        "mcp_server/__init__.py": code[1] if code else "none",
        "server.json": registry["version"],
        "server.json, packages": registry["packages"][0]["version"],
        **{str(path.relative_to(ROOT)): json.loads(path.read_text("utf-8"))["version"] for path in MANIFESTS},
    }
    yield from (f"{place} says {said}, not {wanted}." for place, said in named.items() if said != wanted)
    if f"## [{wanted}]" not in (ROOT / "CHANGELOG.md").read_text("utf-8"):
        yield f"CHANGELOG.md has no section for {wanted}."


def packed(folder: Path) -> Path:
    """Pack the bundle: the manifest and what `uv run` needs, nothing for development."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / f"{NAME}-{version()}.mcpb"
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in contents():
            info = zipfile.ZipInfo(name, MOMENT)
            info.external_attr = 0o644 << 16
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return bundle


def contents() -> list[tuple[str, Path]]:
    """The bundle's files, by their names in it."""
    files = [("manifest.json", MANIFEST), *((name, ROOT / name) for name in BESIDE)]
    for package in PACKAGES:
        paths = sorted((ROOT / package).rglob("*"))
        files += [(path.relative_to(ROOT).as_posix(), path) for path in paths if _belongs(path)]
    return files


def _belongs(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def registered(folder: Path, repository: str) -> Path:
    """Write server.json as the registry takes it: the repository, the bundle and the image are known only now.

    Raises:
        SystemExit: the name of the server belongs to another owner, or no bundle was packed.
    """
    entry: dict[str, Any] = json.loads((ROOT / "server.json").read_text("utf-8"))
    owner = repository.partition("/")[0]
    if entry["name"].partition("/")[0].lower() != f"io.github.{owner}".lower():
        raise SystemExit(f"{entry['name']} can be published by its owner alone, not from {repository}: rename it.")
    (python,) = entry["packages"]
    entry["repository"] = {"url": f"https://github.com/{repository}", "source": "github"}
    entry["packages"] = [python, _bundle(folder, repository, python), _image(repository, python)]
    target = folder / "server.json"
    target.write_text(json.dumps(entry, indent=2) + "\n", "utf-8")
    return target


def _bundle(folder: Path, repository: str, python: dict[str, Any]) -> dict[str, Any]:
    file = folder / f"{NAME}-{python['version']}.mcpb"
    if not file.exists():
        raise SystemExit(f"There is no {file}: pack it first.")
    return {
        "registryType": "mcpb",
        "identifier": f"https://github.com/{repository}/releases/download/v{python['version']}/{file.name}",
        "version": python["version"],
        "fileSha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "transport": {"type": "stdio"},
    }


def _image(repository: str, python: dict[str, Any]) -> dict[str, Any]:
    """The image over stdio: its data in a volume, and nobody asks it over HTTP whether it is well."""
    flags = [{"type": "named", "name": name} for name in ("-i", "--rm", "--init", "--no-healthcheck")]
    return {
        "registryType": "oci",
        "identifier": f"ghcr.io/{repository.lower()}:{python['version']}",
        "runtimeHint": "docker",
        "runtimeArguments": [*flags, {"type": "named", "name": "--volume", "value": f"{NAME}:/data"}],
        "packageArguments": [ENTRY],
        "transport": {"type": "stdio"},
        "environmentVariables": python["environmentVariables"],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
