"""SendGrid's v3 API: POST /v3/mail/send, and the signed webhook that tells what became of a mail.

Source: SendGrid's reference of v3 Mail Send and of the Event Webhook (security features: ECDSA over SHA-256 of
timestamp and payload).
"""

import base64
import binascii
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import httpx2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mcp_server.domain.email.attachments import carried_as
from mcp_server.domain.email.model import OutcomeStatus, outcomes_for
from mcp_server.domain.email.transport import Mail, Report, Unbuildable
from mcp_server.integrations.headers import literal
from mcp_server.kernel.addresses import parse_address, plain_address, wire_address
from mcp_server.kernel.errors import PermissionDenied, ValidationFailed

BASE_URL = "https://api.sendgrid.com"
TIMEOUT_SECONDS = 30.0
_EVENTS: dict[str, OutcomeStatus] = {
    "delivered": "delivered",
    "open": "opened",
    "click": "clicked",
    "bounce": "bounced",
    "dropped": "failed",
}


class SendGridMailer:
    """Sends through the API. See `Mailer`."""

    def __init__(self, api_key: str, base_url: str = BASE_URL) -> None:
        self._http = httpx2.AsyncClient(
            base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=TIMEOUT_SECONDS
        )

    async def send(self, mail: Mail, recipients: Sequence[str], hand_over: Callable[[], Awaitable[None]]) -> Report:
        """One request for all recipients; the API takes or refuses them together."""
        try:
            body = _body(mail, frozenset(recipients))
        except ValidationFailed as error:
            raise Unbuildable(f"This mail cannot be written: {error}") from error
        await hand_over()
        try:
            answer = await self._http.post("/v3/mail/send", json=body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            return Report(outcomes_for(recipients, "deferred", None, f"SendGrid cannot be reached: {error}"))
        except httpx2.HTTPError as error:
            why = f"SendGrid's answer was lost ({type(error).__name__}): it may have accepted the mail."
            return Report(outcomes_for(recipients, "unknown", None, why))
        return _report(answer, recipients)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class Told(NamedTuple):
    """What the webhook tells of one recipient."""

    email_id: str
    address: str
    status: OutcomeStatus
    message: str | None


class EventWebhook:
    """Checks and reads what SendGrid posts."""

    def __init__(self, public_key: str) -> None:
        """Take the verification key as SendGrid shows it: base64 of DER.

        Raises:
            ValidationFailed: not such a key.
        """
        try:
            key = load_der_public_key(base64.b64decode(public_key, validate=True))
        except (ValueError, binascii.Error):
            key = None
        if not isinstance(key, EllipticCurvePublicKey):
            raise ValidationFailed("DATAMCP_SENDGRID_WEBHOOK_KEY is not the base64 of an elliptic curve public key.")
        self._key = key

    def read(self, body: bytes, signature: str, timestamp: str) -> list[Told]:
        """What the events in a request tell; those of other mails and kinds are left out.

        Raises:
            PermissionDenied: the signature is not SendGrid's.
            ValidationFailed: the body is no list of events.
        """
        try:
            self._key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + body, ECDSA(SHA256()))
        except (InvalidSignature, ValueError, binascii.Error):
            raise PermissionDenied("The signature of this webhook call does not fit its body.") from None
        try:
            events: Any = json.loads(body)
        except ValueError:
            events = None
        if not isinstance(events, list):
            raise ValidationFailed("The body of the webhook call is not a JSON list of events.")
        return [told for event in cast("list[Any]", events) if (told := _told(event)) is not None]


def _told(event: Any) -> Told | None:
    if not isinstance(event, Mapping):
        return None
    facts = cast("Mapping[str, Any]", event)
    status, email_id, address = _EVENTS.get(str(facts.get("event"))), facts.get("email_id"), facts.get("email")
    if status is None or not isinstance(email_id, str) or not isinstance(address, str):
        return None
    with contextlib.suppress(ValidationFailed):
        reason = facts.get("reason") or facts.get("url")
        return Told(email_id, plain_address(address), status, None if reason is None else str(reason)[:500])
    return None


def _people(mail: Mail, wanted: frozenset[str]) -> dict[str, list[dict[str, str]]]:
    """Who gets it, by header; the API refuses an address that stands twice."""
    groups = {"to": mail.to, "cc": mail.cc, "bcc": mail.bcc}
    people: dict[str, list[dict[str, str]]] = {}
    seen: set[str] = set()
    for name, texts in groups.items():
        for text in texts:
            plain = plain_address(text)
            if plain in wanted and plain not in seen:
                seen.add(plain)
                people.setdefault(name, []).append(_person(text))
    if "to" not in people:  # the API wants one; who is left stands there alone
        rest = [person for group in people.values() for person in group]
        people = {"to": rest[:1]} | ({"bcc": rest[1:]} if rest[1:] else {})
    return people


def _body(mail: Mail, wanted: frozenset[str]) -> dict[str, Any]:
    content = [("text/plain", mail.text), ("text/html", mail.html)]
    body: dict[str, Any] = {
        "personalizations": [_people(mail, wanted)],
        "from": _person(mail.sender),
        "subject": literal(mail.subject),
        "content": [{"type": kind, "value": value} for kind, value in content if value],
        "headers": {"Message-ID": mail.message_id} | _thread(mail),
        "custom_args": {"email_id": mail.id},
    }
    if mail.reply_to:
        body["reply_to"] = _person(mail.reply_to)
    if mail.attachments:
        body["attachments"] = [
            {
                "content": a.content_base64,
                "filename": literal(a.name),
                "type": carried_as(a.media_type),
                "disposition": "attachment",
            }
            for a in mail.attachments
        ]
    return body


def _thread(mail: Mail) -> dict[str, str]:
    return dict.fromkeys(("In-Reply-To", "References"), mail.answers) if mail.answers else {}


def _person(text: str) -> dict[str, str]:
    name = parse_address(text).display_name
    return {"email": wire_address(text)} | ({"name": literal(name)} if name else {})


def _report(answer: httpx2.Response, recipients: Sequence[str]) -> Report:
    code = answer.status_code
    if code == 202:
        said = f"Accepted as {answer.headers.get('x-message-id', 'unnamed')}."
        return Report(outcomes_for(recipients, "sent", code, said))
    said = f"SendGrid answered {code}: {_explained(answer)}"
    if code == 429:
        return Report(outcomes_for(recipients, "deferred", code, said), _retry_after(answer))
    if code // 100 == 5:
        return Report(outcomes_for(recipients, "deferred", code, said))
    if code // 100 == 4:
        return Report(outcomes_for(recipients, "failed", code, said))
    return Report(outcomes_for(recipients, "unknown", code, f"{said}. It may have accepted the mail."))


def _explained(answer: httpx2.Response) -> str:
    """The API's own words where it has some, else what the code means."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        said = "; ".join(str(error["message"]) for error in answer.json()["errors"])
        if said:
            return said[:300]
    return _MEANINGS.get(answer.status_code, answer.reason_phrase or "no explanation")


def _retry_after(answer: httpx2.Response) -> float | None:
    with contextlib.suppress(ValueError):
        return min(max(float(answer.headers.get("retry-after", "")), 0.0), 3600.0)
    return None


_MEANINGS = {
    401: "the API key is wrong or has been revoked",
    403: "the API key may not send mail, or the sender is not verified",
    413: "the mail is too large",
    429: "too many requests",
}
