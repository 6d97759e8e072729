"""Where the programs are that Workers need: workerd and esbuild, which npm installs."""

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mcp_server.kernel.errors import Unavailable, ValidationFailed

_SYSTEMS = {"linux": "linux", "darwin": "darwin", "win32": "windows"}
_MACHINES = {"x86_64": "64", "amd64": "64", "arm64": "arm64", "aarch64": "arm64"}
_ESBUILD = {"linux": "linux", "darwin": "darwin", "win32": "win32"}


def find_workerd(setting: Path | None, projects: Iterable[Path]) -> Path:
    """Cloudflare's runtime: where the setting says, in a project's node_modules, or on PATH.

    Raises:
        ValidationFailed: the setting names no program.
        Unavailable: it is nowhere; how to get it.
    """
    system, machine = _SYSTEMS.get(sys.platform, sys.platform), _machine("64")
    native = f"@cloudflare/workerd-{system}-{machine}/bin/workerd"
    return _find("workerd", "WORKERS_WORKERD", setting, projects, (native, "workerd/bin/workerd"))


def find_esbuild(setting: Path | None, projects: Iterable[Path]) -> Path:
    """The bundler: where the setting says, in a project's node_modules, or on PATH.

    Raises:
        ValidationFailed: the setting names no program.
        Unavailable: it is nowhere; how to get it.
    """
    native = f"@esbuild/{_ESBUILD.get(sys.platform, sys.platform)}-{_machine('x64')}/bin/esbuild"
    return _find("esbuild", "WORKERS_ESBUILD", setting, projects, (native, "esbuild/bin/esbuild"))


def _machine(intel: str) -> str:
    machine = platform.machine().lower()
    found = _MACHINES.get(machine, machine)
    return intel if found == "64" else found


def _find(name: str, word: str, setting: Path | None, projects: Iterable[Path], inside: tuple[str, ...]) -> Path:
    if setting is not None:
        return _set(setting, word)
    found = next(filter(_is_trusted, _inside(projects, inside)), None) or shutil.which(name)
    if found is not None:
        return Path(found)
    raise Unavailable(
        f"{name} is not installed: it is neither in the project's node_modules nor on PATH.",
        next=f"Run `npm install {name}` in the project's folder, or set DATAMCP_{word} to the program.",
        details={"program": name},
    )


def _set(setting: Path, word: str) -> Path:
    if not _is_program(setting):
        raise ValidationFailed(f"DATAMCP_{word}, {setting}, is no program.", next="Correct the setting.")
    return setting


def _inside(projects: Iterable[Path], inside: tuple[str, ...]) -> Iterator[Path]:
    ending = ".exe" if sys.platform == "win32" else ""
    for folder in _modules(projects):
        yield from (folder / f"{path}{ending}" for path in inside)


def _modules(projects: Iterable[Path]) -> Iterator[Path]:
    """The folders of installed packages that a project sees: its own and its parents'."""
    for project in projects:
        for folder in (project, *project.parents):
            if (folder / "node_modules").is_dir():
                yield folder / "node_modules"


def _is_trusted(path: Path) -> bool:
    """Whether it is a program of this user's or of the system's: above a project anybody may have put some."""
    return _is_program(path) and (sys.platform == "win32" or path.stat().st_uid in (0, os.geteuid()))


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
