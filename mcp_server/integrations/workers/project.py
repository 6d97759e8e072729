"""A project's folder, and how far what belongs to it may lie."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mcp_server.kernel.errors import PermissionDenied
from mcp_server.kernel.quoting import quoted


class Project(NamedTuple):
    """A project's folder, and the folders beyond which nothing of it may be read: links and imports lead anywhere."""

    folder: Path
    roots: Sequence[Path]

    def require_inside(self, names: Iterable[str | Path]) -> None:
        """Refuse files that lie elsewhere, wherever links lead.

        Raises:
            PermissionDenied: naming the first of them.
        """
        for name in names:
            path = (self.folder / name).resolve()
            if not any(path.is_relative_to(root.resolve()) for root in self.roots):
                raise PermissionDenied(
                    f"{quoted(str(name), 200)} lies outside of the folders whose projects may be deployed.",
                    next="Copy it into the project, or have the operator name its folder in DATAMCP_WORKERS_FOLDERS.",
                )
