"""A mail as the bytes of an internet message (RFC 5322, MIME). Bcc is in no header."""

import base64
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from mcp_server.domain.email.transport import Mail
from mcp_server.kernel.addresses import ascii_domain, parse_address


def needs_utf8(mail: Mail) -> bool:
    """Whether an address has a local part that only SMTPUTF8 can carry."""
    everyone = (mail.sender, *mail.to, *mail.cc, *mail.bcc, *([mail.reply_to] if mail.reply_to else ()))
    return not all(parse_address(text).username.isascii() for text in everyone)


def message(mail: Mail) -> EmailMessage:
    """The message with its headers and parts."""
    built = EmailMessage(policy=SMTPUTF8 if needs_utf8(mail) else SMTP)
    built["Message-ID"] = mail.message_id
    built["Date"] = format_datetime(datetime.fromtimestamp(mail.date / 1_000_000, UTC))
    built["From"] = _address(mail.sender)
    built["To"] = [_address(text) for text in mail.to]
    if mail.cc:
        built["Cc"] = [_address(text) for text in mail.cc]
    if mail.reply_to:
        built["Reply-To"] = _address(mail.reply_to)
    built["Subject"] = mail.subject
    built["Auto-Submitted"] = "auto-generated"
    if mail.text is not None:
        built.set_content(mail.text)
        if mail.html is not None:
            built.add_alternative(mail.html, subtype="html")
    else:
        built.set_content(mail.html or "", subtype="html")
    for attachment in mail.attachments:
        main, _, sub = attachment.media_type.partition("/")
        content = base64.b64decode(attachment.content_base64)
        built.add_attachment(content, maintype=main, subtype=sub, filename=attachment.name)
    return built


def _address(text: str) -> Address:
    address = parse_address(text)
    return Address(address.display_name, address.username, ascii_domain(address.domain))
