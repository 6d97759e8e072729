"""What Workers wrote that did not come to be live: kept until the next run, without secrets."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from mcp_server.domain.deployments.targets import PhaseFailed, Subject, Work
from mcp_server.integrations.workers.place import Place
from mcp_server.kernel.hiding import without

FAILED = "failed"
"""The folder of it beside those of a deployment's runs."""


class FailedLogs:
    """The ends of their logs, in a folder for each deployment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, work: Work, service: str, place: Place) -> None:
        """Keep what one of them wrote."""
        Place(self._of(work.subject)).write(f"{service}.log", without(place.log(), _secrets(work)))

    def forget(self, subject: Subject) -> None:
        """Another run begins."""
        shutil.rmtree(self._of(subject), ignore_errors=True)

    def told(self, subject: Subject) -> list[str]:
        """Each, with the service's name."""
        logs = sorted(self._of(subject).glob("*.log"))
        return [f"== {path.stem} (not live)\n{path.read_text('utf-8', 'replace')}" for path in logs]

    def _of(self, subject: Subject) -> Path:
        return self._folder / subject.id / FAILED


def _secrets(work: Work) -> Iterator[tuple[str, str]]:
    """Each secret of a deployment that is there, by its name."""
    for name in work.subject.config.secrets:
        with contextlib.suppress(PhaseFailed):
            yield name, work.secret(name)
