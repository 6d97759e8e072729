"""Keys as bearer tokens: looked up at every request, so that a revoked one lets nobody in from then on; and the token
file of 0.1.0, whose tokens are taken over as keys.

[[tokens]]
sha256 = "9f86d08..."   # of the token's text
kind = "agent"          # user or agent
id = "agent_abc..."     # whom the token is bound to; of an agent, its id or its name
role = "agent"          # admin, operator, agent or viewer
"""

import asyncio
import os
import tomllib
from pathlib import Path

import structlog
from pydantic import Field, ValidationError

from mcp_server.domain.people.commands import FROM_FILE, CreateKey, HolderKind, KeyHash
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.people.secrets import sha256_of
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor, Role
from mcp_server.kernel.complaints import complaints
from mcp_server.kernel.errors import OpsError, ValidationFailed
from mcp_server.kernel.once import Once
from mcp_server.kernel.services import Services
from mcp_server.kernel.values import Frozen
from mcp_server.protocol.bearers import Bearer, Refused, bearer

log = structlog.stdlib.get_logger("datamcp.people")
FILE_BYTES_MAX = 4 * 1024 * 1024


class TokenEntry(Frozen):
    """One token: its hash, and whom it stands for."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: HolderKind
    id: str = Field(pattern=r"^[^\s:]{1,64}$")
    role: Role

    def taken(self) -> tuple[CreateKey, KeyHash]:
        """The key that it becomes."""
        command = CreateKey.model_construct(
            kind=self.kind, holder=self.id, name="from the token file", role=self.role, **_UNNARROWED
        )
        return command, KeyHash(self.sha256, FROM_FILE)


_UNNARROWED = dict.fromkeys(("permissions", "toolsets", "agent", "namespace", "expires_in_seconds"))


class _TokenFile(Frozen):
    tokens: tuple[TokenEntry, ...]


def read_tokens(path: Path) -> tuple[TokenEntry, ...]:
    """The tokens of a file.

    Raises:
        ValidationFailed: the file cannot be read or does not hold tokens.
    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX).decode("utf-8-sig")
        return _TokenFile.model_validate(tomllib.loads(text)).tokens
    except OSError as error:
        raise ValidationFailed(f"The token file {path} cannot be read: {error.strerror}.") from None
    except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValidationFailed(f"The token file {path} is not valid: {_first_line(error)}") from None


class TokenFile:
    """The token file, which is read again where it changed: a token that was taken out of it counts no more from the
    next request on. What it says becomes keys in the store, so that all processes agree."""

    def __init__(self, services: Services, path: Path) -> None:
        self._people = services.get(PeopleService)
        self._is_read_only = services.database.is_read_only
        self._path = path
        self._name = str(path)
        self._seen: object = None
        self._alone = asyncio.Lock()

    @property
    def has_changed(self) -> bool:
        """Whether the file is not as it was when it was read."""
        return self._seen != self._state()

    async def look(self) -> None:
        """Read the file where it is not as it was.

        Raises:
            ValidationFailed: the file cannot be read or does not hold tokens.
        """
        if not self.has_changed:
            return
        if self._is_read_only:
            self._tell_in_vain()
            return
        async with self._alone:
            state = self._state()
            if self._seen != state:
                taken = await self._people.take_tokens([entry.taken() for entry in read_tokens(self._path)])
                self._seen = state
                for key_id in taken.dead:
                    log.warning("token_revoked", key=key_id, file=str(self._path), note="its key was revoked for good")
                if taken.created:
                    log.info("tokens_taken_over", file=str(self._path), keys=len(taken.created))

    def _tell_in_vain(self) -> None:
        """Say once for each state of the file that its tokens cannot become keys here."""
        self._seen = self._state()
        note = "the store cannot be written: only tokens that are keys already count"
        log.warning("tokens_not_taken_over", file=str(self._path), note=note)

    def _state(self) -> object:
        try:
            stat = os.stat(self._name)  # noqa: PTH116 - at every request; a path's own makes its text anew
        except OSError as error:
            return error.errno
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


class KeyBearers:
    """Whom keys stand for. Fulfils `bearers.Verifier`."""

    def __init__(self, services: Services, file: TokenFile | None = None) -> None:
        """Join them.

        Args:
            services: with the store.
            file: the token file of 0.1.0, where there is one.
        """
        self._standing = services.get(Standing)
        self._file = file
        self._bearer = Once(_made)

    def takes(self, token: str) -> bool:
        """A token of 0.1.0 may look like anything."""
        del token
        return True

    def known(self, token: str) -> Bearer | None:
        """Whom the key stands for now, where nothing has changed since it was verified."""
        if self._file is not None and self._file.has_changed:
            return None
        actor = self._standing.known(sha256_of(token))
        return None if actor is None else self._bearer(actor)

    async def verify(self, token: str) -> Bearer | Refused:
        """Whom the key stands for now."""
        if self._file is not None and self._file.has_changed:
            await self._look(self._file)
        found = await self._standing.proved(sha256_of(token))
        return Refused(found) if isinstance(found, str) else self._bearer(found)

    @staticmethod
    async def _look(file: TokenFile) -> None:
        try:
            await file.look()
        except OpsError as error:  # whoever edits it is half done: what held before holds until it can be read
            log.warning("token_file", message=error.message)


def _made(actor: Actor) -> Bearer:
    return bearer("", actor)  # its text is not kept, and nobody needs it


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return f"{complaints(error)}."
    return str(error).splitlines()[0]
