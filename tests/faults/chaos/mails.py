"""Mails: accepted once from whoever wants them sent, and handed at most once to a real SMTP server."""

from collections import Counter
from collections.abc import Coroutine
from typing import Any

from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet
from tests.integrations.smtp_servers import Mailbox

SETTLED = ("sent", "unknown")


class Mails(Part):
    """What was answered about mails, beside what the SMTP server accepted."""

    def __init__(self, fleet: Fleet, mailbox: Mailbox) -> None:
        super().__init__(fleet)
        self._mailbox = mailbox
        self.sent: dict[str, str] = {}
        """By id, the text."""

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Two who have mails sent."""
        return [self._send(n) for n in range(2)]

    def has_enough(self) -> bool:
        """One that was accepted."""
        return bool(self._mailbox.mails)

    async def _send(self, number: int) -> None:
        sent = 0
        while self.fleet.producing:
            sent += 1
            text = f"mail {number} {sent}"
            mail = {"to": [f"a{number}.{sent}@example.org"], "subject": text, "text": text, "idempotency_key": text}
            email = (await self.fleet.surely("email_send", **mail))["email"]
            assert email["id"] not in self.sent, "a key names one mail"
            self.sent[email["id"]] = text
            await self.fleet.pause(0.1, 0.6)

    async def unsettled(self) -> int:
        """Mails on their way."""
        found = [await self.fleet.surely("email_find", status=status, limit=100) for status in ("queued", "sending")]
        return sum(len(page["emails"]) for page in found)

    async def check(self) -> None:
        """What is called sent was accepted once, nothing was accepted twice, and nothing else was accepted."""
        accepted = Counter(mail.message["Subject"] for mail in self._mailbox.mails)
        assert accepted.keys() <= set(self.sent.values()) and max(accepted.values()) == 1
        statuses: Counter[str] = Counter()
        for email_id, text in self.sent.items():
            email = (await self.fleet.surely("email_find", email_id=email_id))["email"]
            statuses[email["status"]] += 1
            assert email["status"] in SETTLED, email
            assert email["status"] != "sent" or accepted[text] == 1, email
        self.fleet.happened |= statuses
