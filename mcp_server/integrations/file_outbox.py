"""The default provider: mails become .eml files in a folder, and nothing pretends to be sent.

A file is named after its mail and put in place whole, so that a repeated attempt replaces it with itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from mcp_server.domain.email.model import outcomes_for
from mcp_server.domain.email.transport import Mail, Report
from mcp_server.integrations.mime import message
from mcp_server.kernel import private_files


class FileOutbox:
    """Writes mails into a folder, whose place callers are not told. See `Mailer`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def send(self, mail: Mail, recipients: Sequence[str], hand_over: Callable[[], Awaitable[None]]) -> Report:
        """Write the file; repeating it changes nothing, so there is nothing to hand over."""
        del hand_over
        try:
            name = await asyncio.to_thread(self._write, mail)
        except OSError as error:
            why = f"The outbox folder cannot be written: {error.strerror}. `doctor` tells the operator which it is."
            return Report(outcomes_for(recipients, "deferred", None, why))
        said = f"Written to {name} in the outbox folder."
        return Report(outcomes_for(recipients, "sent", None, said))

    async def close(self) -> None:
        """Nothing to let go of."""

    def _write(self, mail: Mail) -> str:
        private_files.make_folder(self.folder)
        name = f"{mail.id}.eml"
        private_files.put(self.folder / name, message(mail))
        return name
