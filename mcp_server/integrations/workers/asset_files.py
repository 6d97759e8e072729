"""The static files in a project's folder, read as a Worker's assets, or refused."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mcp_server.integrations.workers.assets import FILES_MAX, RULES, Assets
from mcp_server.integrations.workers.project import Project
from mcp_server.kernel.complaints import complaints
from mcp_server.kernel.errors import LimitExceeded, ValidationFailed

BYTES_MAX = 5 * 1024 * 1024
"""What all files may weigh together: each revision keeps them."""

_REFUSED = frozenset((".assetsignore", "_worker.js", "_routes.json"))
"""Files that mean something to wrangler, and that this desk would serve."""


def read_assets(project: Project, said: Mapping[str, Any]) -> Assets:
    """What a project's `assets` names.

    Raises:
        ValidationFailed: it says what this desk would not do.
        PermissionDenied: files lie outside of the folders whose projects may be deployed.
        LimitExceeded: they are too many, or too large.
    """
    folder = _directory(project, said.get("directory"))
    paths = list(_paths(project, folder))
    _require_plain(paths)
    _require_small(paths)
    rules = {RULES[path.name]: path.read_text("utf-8", "replace") for path in paths if _is_rule(folder, path)}
    how = {name: value for name, value in said.items() if name != "directory"}
    return _made(how | rules | {"files": dict(_files(folder, paths))})


def _directory(project: Project, name: Any) -> Path:
    folder = project.folder / str(name)
    if not isinstance(name, str) or not folder.is_dir():
        raise ValidationFailed("its assets name no directory that is there.", next='Say {"directory": "./public"}.')
    project.require_inside([folder])
    return folder


def _paths(project: Project, folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if not path.is_dir():
            project.require_inside([path])
            yield path


def _files(folder: Path, paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        if not _is_rule(folder, path):
            yield f"/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _is_rule(folder: Path, path: Path) -> bool:
    return path.parent == folder and path.name in RULES


def _require_plain(paths: list[Path]) -> None:
    refused = sorted(_REFUSED & {path.name for path in paths})
    if refused:
        raise ValidationFailed(
            f"its assets hold {', '.join(refused)}, which is not read here.",
            next="Leave it out, or deploy with wrangler by a target of the operator's.",
        )


def _require_small(paths: list[Path]) -> None:
    size = sum(path.stat().st_size for path in paths)
    if len(paths) > FILES_MAX or size > BYTES_MAX:
        raise LimitExceeded(
            f"its assets are {len(paths)} files of {size} bytes; at most {FILES_MAX} of {BYTES_MAX} are deployed.",
            next="Leave some out, or deploy with wrangler by a target of the operator's.",
            details={"files": len(paths), "bytes": size, "files_max": FILES_MAX, "bytes_max": BYTES_MAX},
        )


def _made(said: dict[str, Any]) -> Assets:
    try:
        return Assets.model_validate(said)
    except ValidationError as error:
        raise ValidationFailed(f"its assets: {complaints(error)}.", next="Mend its project's file.") from None
