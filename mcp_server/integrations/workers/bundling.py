"""From a project's entry to a Worker's modules: npm's esbuild where it is there; without it, an entry that imports
nothing of its own stands for itself."""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mcp_server.integrations.groups import end_group
from mcp_server.integrations.workers.binaries import find_esbuild
from mcp_server.integrations.workers.model import kind_of
from mcp_server.integrations.workers.project import Project
from mcp_server.kernel.errors import Unavailable, ValidationFailed
from mcp_server.kernel.quoting import quoted

BUNDLE_SECONDS_MAX = 60.0
_IMPORTS = re.compile(
    r"""\b(?:(?:from|import)\s{0,9}\(?\s{0,9}(?:'([^'\n]{1,200})'|"([^"\n]{1,200})")|(?:import|require)\s{0,9}\()"""
)
"""What names another module; what it wrongly takes for that is only bundled for nothing."""

_BUILT_IN = ("cloudflare:", "node:", "workerd:")
_LOADERS = (".txt=copy", ".html=copy", ".sql=copy", ".wasm=copy", ".bin=copy")
_BUNDLED = ("--bundle", "--format=esm", "--platform=neutral", "--target=es2024", "--main-fields=browser,module,main")
_MODULES, _META = "modules", "inputs.json"
_PLACES = re.compile(r"^\s+(\S.*?):\d+:\d+:$", re.MULTILINE)
_CONDITIONS = "--conditions=workerd,worker,browser"


async def modules_of(
    project: Project, entry: Path, *, bundled: bool, esbuild: Path | None
) -> tuple[str, dict[str, bytes]]:
    """A Worker's modules and the name of the main one.

    Args:
        project: whose they are.
        entry: the file that is the entry.
        bundled: whether its imports are to be bundled into it.
        esbuild: the program; None to look for it.

    Raises:
        Unavailable: it must be bundled, and esbuild is not there.
        PermissionDenied: it is made of files that lie elsewhere.
        ValidationFailed: it cannot be bundled; the message is esbuild's.
    """
    source = await asyncio.to_thread(entry.read_bytes)
    if not needs_bundling(entry.name, source):
        return entry.name, {entry.name: source}
    if not bundled:
        return await asyncio.to_thread(_as_they_are, project, entry)
    try:
        program = find_esbuild(esbuild, [project.folder])
    except Unavailable as error:
        raise Unavailable(f"{entry.name} imports other modules, and must be bundled. {error.message}") from None
    with TemporaryDirectory(prefix="datamcp-bundle-") as out:
        await _bundle(program, project, entry, Path(out))
        return "worker.js", await asyncio.to_thread(_files, Path(out) / _MODULES)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def needs_bundling(name: str, source: bytes) -> bool:
    """Whether an entry is more than JavaScript that imports nothing but what the runtime brings."""
    if kind_of(name) != "esm":
        return True
    found = _IMPORTS.finditer(source.decode("utf-8", "replace"))
    return not all((one[1] or one[2] or "").startswith(_BUILT_IN) for one in found)


def _as_they_are(project: Project, entry: Path) -> tuple[str, dict[str, bytes]]:
    """`no_bundle`: every module beside the entry, by its relative name."""
    paths = list(filter(_is_module, entry.parent.rglob("*")))
    if entry not in paths or len(paths) > 1000:
        raise ValidationFailed(
            f"{entry.parent} holds {len(paths)} files.", next="Keep only the Worker's modules there."
        )
    project.require_inside(paths)
    return entry.name, {path.relative_to(entry.parent).as_posix(): path.read_bytes() for path in paths}


def _is_module(path: Path) -> bool:
    return path.is_file() and "node_modules" not in path.parts


async def _bundle(program: Path, project: Project, entry: Path, out: Path) -> None:
    loaders = [f"--loader:{loader}" for loader in _LOADERS]
    external = [f"--external:{prefix}*" for prefix in _BUILT_IN]
    made = [f"--outfile={out / _MODULES / 'worker.js'}", f"--metafile={out / _META}", "--log-level=warning"]
    argv = [str(program), str(entry), *_BUNDLED, _CONDITIONS, *loaders, *external, *made]
    code, said = await _run(argv, project.folder, _environment())
    if code != 0:
        project.require_inside(_PLACES.findall(said))  # what it says quotes the file
        raise ValidationFailed(
            f"esbuild cannot bundle {entry.name}: {quoted(said.strip(), 500)}.",
            next="Correct the source, or install what it imports with npm.",
            details={"said": said[-4000:]},
        )
    inputs: dict[str, Any] = json.loads(await asyncio.to_thread((out / _META).read_bytes))["inputs"]
    project.require_inside(name for name in inputs if (project.folder / name).exists())


async def _run(argv: list[str], folder: Path, env: Mapping[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        umask=0o077,
    )
    try:
        async with asyncio.timeout(BUNDLE_SECONDS_MAX):
            _, said = await process.communicate()
    except TimeoutError:
        return None, f"it took longer than {BUNDLE_SECONDS_MAX:g} seconds"
    finally:
        end_group(process)  # the bundler itself starts nothing
    return process.returncode, said.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    """What the bundler needs to run; Windows runs little without the second."""
    return {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
