"""The default provider: mails become .eml files in a folder, and nothing pretends to be sent.

A file is named after its mail and put in place whole, so that a repeated attempt replaces it with itself.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from mcp_server.domain.email.model import outcomes_for
from mcp_server.domain.email.transport import Mail, Report
from mcp_server.integrations.mime import message


class FileOutbox:
    """Writes mails into a folder. See `Mailer`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def send(self, mail: Mail, recipients: Sequence[str], hand_over: Callable[[], Awaitable[None]]) -> Report:
        """Write the file; repeating it changes nothing, so there is nothing to hand over."""
        del hand_over
        try:
            path = await asyncio.to_thread(self._write, mail)
        except OSError as error:
            why = f"The folder {self.folder} cannot be written: {error.strerror}."
            return Report(outcomes_for(recipients, "deferred", None, why))
        said = f"Written to {path}; the provider is `file`, which sends nothing."
        return Report(outcomes_for(recipients, "sent", None, said))

    async def close(self) -> None:
        """Nothing to let go of."""

    def _write(self, mail: Mail) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"{mail.id}.eml"
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(message(mail))
        part.replace(path)
        return path
