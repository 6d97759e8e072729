"""A mail as the bytes of an internet message (RFC 5322, MIME). Bcc is in no header.

Bodies are quoted-printable or base64 where they are not short lines of ASCII, so that any server takes them; only an
address with a local part in another script makes a header that needs SMTPUTF8.
"""

import base64
import binascii
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from mcp_server.domain.email.attachments import OCTETS, carried_as
from mcp_server.domain.email.transport import Mail, Unbuildable
from mcp_server.integrations.headers import Written, attached_as, mailbox, mailboxes, unstructured
from mcp_server.kernel.addresses import parse_address
from mcp_server.kernel.errors import ValidationFailed

_POLICY = SMTP.clone(cte_type="7bit")


def needing_utf8(mail: Mail) -> list[str]:
    """The addresses with a local part that only SMTPUTF8 can carry, by where they stand."""
    places = {"From": [mail.sender], "To": mail.to, "Cc": mail.cc, "Bcc": mail.bcc, "Reply-To": [mail.reply_to or ""]}
    everyone = [(place, text) for place, texts in places.items() for text in texts if text]
    return [f"{place} {text}" for place, text in everyone if not parse_address(text).username.isascii()]


def message(mail: Mail) -> bytes:
    """The whole message, its lines ended by CRLF.

    Raises:
        Unbuildable: it holds an address or an attachment that is none.
    """
    try:
        return _built(mail).as_bytes()
    except (ValidationFailed, binascii.Error) as error:
        raise Unbuildable(f"This mail cannot be written: {error}") from error


def _built(mail: Mail) -> EmailMessage:
    built = EmailMessage(policy=_POLICY.clone(utf8=bool(needing_utf8(mail))))
    _write(built, "Message-ID", mail.message_id)
    _write(built, "Date", format_datetime(datetime.fromtimestamp(mail.date / 1_000_000, UTC)))
    _write(built, "From", mailbox(mail.sender))
    _write(built, "To", mailboxes(mail.to))
    if mail.cc:
        _write(built, "Cc", mailboxes(mail.cc))
    if mail.reply_to:
        _write(built, "Reply-To", mailbox(mail.reply_to))
    if mail.answers:
        _write(built, "In-Reply-To", mail.answers)
        _write(built, "References", mail.answers)
    _write(built, "Subject", unstructured(mail.subject))
    _write(built, "Auto-Submitted", "auto-generated")
    _add_content(built, mail)
    for attachment in mail.attachments:
        part = EmailMessage(policy=built.policy)
        part.set_content(base64.b64decode(attachment.content_base64), *OCTETS.split("/"))
        _write(part, "Content-Type", carried_as(attachment.media_type))
        _write(part, "Content-Disposition", attached_as(attachment.name))
        if built.get_content_type() != "multipart/mixed":
            built.make_mixed()
        built.attach(part)
    return built


def _add_content(built: EmailMessage, mail: Mail) -> None:
    if mail.text is None:
        built.set_content(mail.html or "", subtype="html")
        return
    built.set_content(mail.text)
    if mail.html is not None:
        built.add_alternative(mail.html, subtype="html")


def _write(part: EmailMessage, name: str, value: str) -> None:
    del part[name]
    part[name] = Written(name, value)
