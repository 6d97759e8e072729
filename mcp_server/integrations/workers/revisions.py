"""What ran as each revision of a deployment, kept for going back: its source may have become anything since."""

from pathlib import Path

from mcp_server.domain.deployments.configuration import Service
from mcp_server.domain.deployments.targets import Subject
from mcp_server.integrations.workers.model import Worker
from mcp_server.integrations.workers.place import Place
from mcp_server.kernel.errors import InvalidTransition

REVISIONS = "revisions"
"""The folder of them beside those of a deployment's runs."""


class Revisions:
    """The Workers that were brought live on this machine, in a folder for each deployment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, subject: Subject, service: str, worker: Worker) -> None:
        """Keep what has just been brought live."""
        Place(self._of(subject)).write(f"{service}.json", worker.model_dump_json())

    def kept(self, subject: Subject, service: Service) -> Worker | None:
        """What ran then; None where it is not kept here."""
        path = self._of(subject) / f"{service.name}.json"
        return Worker.model_validate_json(path.read_text("utf-8")) if path.exists() else None

    def _of(self, subject: Subject) -> Path:
        return self._folder / subject.id / REVISIONS / str(subject.revision)


def nothing_kept(subject: Subject, why: str) -> InvalidTransition:
    """The refusal to go back to what is not there any more."""
    return InvalidTransition(
        f"Nobody can go back to revision {subject.revision} of {subject.name}. {why}.",
        next=f"See what its source comes to by now: deployments_plan(deployment_id='{subject.id}', "
        f"revision={subject.revision}), then deployments_apply.",
        details={"deployment_id": subject.id, "revision": subject.revision},
    )
