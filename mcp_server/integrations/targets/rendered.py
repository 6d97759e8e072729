"""Targets that render files: what a configuration is in another program's words, written down and handed over."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.spec import Operation
from mcp_server.domain.deployments.targets import Facts, Outlook, PhaseFailed, Step, Subject, Work
from mcp_server.kernel import private_files

Objects = Mapping[str, Any]
"""What is rendered, each part by what people call it: `service web`."""


class RenderedTarget:
    """Renders, compares and writes. See `Target`; what a program does with the files is for who inherits."""

    takes: frozenset[str] = frozenset()
    operations: frozenset[Operation] = frozenset(("apply", "rollback", "destroy"))
    file: str = ""
    """What the file is called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def objects(self, label: str, environment: str, config: Config) -> Objects:
        """What a configuration is in the other program's words.

        Raises:
            ValidationFailed: it cannot be said in them.
        """
        raise NotImplementedError

    def text(self, objects: Objects) -> str:
        """The file's content."""
        raise NotImplementedError

    def warnings(self, subject: Subject) -> list[str]:
        """What a person should know before it is applied."""
        raise NotImplementedError

    async def deploy(self, work: Work, path: Path) -> Facts:
        """Have the other program take the file in; where none is there, say that it is only handed over."""
        raise NotImplementedError

    async def remove(self, work: Work, path: Path | None) -> Facts:
        """Have the other program take it away again."""
        raise NotImplementedError

    def check(self, subject: Subject) -> None:
        """Refuse what cannot be rendered."""
        self._objects(subject, subject.config)

    async def observe(self, subject: Subject) -> Facts:
        """The file that was handed over last, as a hash."""
        live = subject.live_revision
        path = None if live is None else self._path(subject, live)
        return {"file": None if path is None else await asyncio.to_thread(_sha256, path)}

    async def outlook(self, subject: Subject, operation: Operation, observed: Facts) -> Outlook:
        """What would be there that is not now, and the other way about."""
        del observed
        before: Objects = {} if subject.live_config is None else self._objects(subject, subject.live_config)
        after: Objects = {} if operation == "destroy" else self._objects(subject, subject.config)
        steps = [Step(*step) for name in dict.fromkeys((*after, *before)) for step in _compared(name, before, after)]
        return Outlook(steps, self.warnings(subject))

    async def act(self, work: Work) -> Facts:
        """Write the file, hand it over, take it back.

        Raises:
            PhaseFailed: the folder cannot be written, or the other program refused.
        """
        subject = work.subject
        path = self._path(subject, subject.revision)
        match work.phase:
            case "build":
                return await asyncio.to_thread(self._write, path, self.text(self._objects(subject, subject.config)))
            case "deploy":
                await work.guard()
                return await self.deploy(work, path)
            case "revert":
                return await self._revert(work, path)
            case "destroy":
                live = None if subject.live_revision is None else self._path(subject, subject.live_revision)
                told = await self.remove(work, live)
                await asyncio.to_thread(shutil.rmtree, self._folder / subject.label, ignore_errors=True)
                return told
            case _:
                return {}

    def drift(self, subject: Subject, observed: Facts) -> list[str]:
        """Whether somebody changed the file since."""
        before = next((one["sha256"] for one in (subject.live or {}).get("files", ())), None)
        return [] if before == observed["file"] else ["the file that was handed over is another now"]

    async def logs(self, subject: Subject) -> str | None:
        """Nothing runs here that would write any."""
        del subject
        return None

    async def _revert(self, work: Work, path: Path) -> Facts:
        subject = work.subject
        if subject.live_revision is None:
            told = await self.remove(work, path)
        else:
            told = await self.deploy(work, self._path(subject, subject.live_revision))
        if subject.revision != subject.live_revision:
            await asyncio.to_thread(shutil.rmtree, path.parent, ignore_errors=True)
        return told

    def _objects(self, subject: Subject, config: Config) -> Objects:
        return self.objects(subject.label, subject.environment, config)

    def _path(self, subject: Subject, revision: int) -> Path:
        return self._folder / subject.label / f"revision-{revision}" / self.file

    def _write(self, path: Path, text: str) -> Facts:
        try:
            private_files.make_folder(path.parent)
            private_files.put(path, text)
        except OSError as error:
            raise PhaseFailed(f"{path} cannot be written: {error.strerror}.") from error
        return {"files": [{"path": str(path), "sha256": _sha256(path)}]}


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _compared(name: str, before: Objects, after: Objects) -> list[tuple[str, str, str | None]]:
    if name not in after:
        return [("remove", name, None)]
    if name not in before:
        return [("create", name, _shown(after[name]))]
    return [] if before[name] == after[name] else [("change", name, _shown(after[name]))]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


class _Dumper(yaml.SafeDumper):
    """Quotes texts with line ends that YAML 1.1 would fold away."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(end in text for end in "\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
        "tag:yaml.org,2002:str", text, style
    )


_Dumper.add_representer(str, _text)


def yaml_text(documents: list[Any]) -> str:
    """Documents as YAML, with the order of members as given."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
    )
