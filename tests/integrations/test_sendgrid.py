"""The promises of sending through SendGrid, against a stand-in that checks requests as its reference says."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mcp_server.domain.email.attachments import Attachment
from mcp_server.domain.email.transport import Report
from mcp_server.integrations.sendgrid import EventWebhook, SendGridMailer, Told
from mcp_server.kernel.errors import PermissionDenied, ValidationFailed
from tests.integrations.test_smtp import mail, statuses
from tests.web import served

pytestmark = pytest.mark.anyio
KEY = "SG.right"


class StandIn:
    """POST /v3/mail/send: what the real one refuses, this one refuses."""

    def __init__(self, answer: Callable[[], Response] | None = None) -> None:
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []

    async def post(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return errors(401, "The provided authorization grant is invalid, expired, or revoked")
        body = await request.json()
        problem = self.problem(body)
        if problem is not None:
            return errors(400, problem)
        if self.answer is not None:
            return self.answer()
        self.bodies.append(body)
        return Response(status_code=202, headers={"X-Message-Id": f"sg{len(self.bodies)}"})

    @staticmethod
    def problem(body: dict[str, Any]) -> str | None:
        people = [
            person
            for group in body["personalizations"]
            for name in ("to", "cc", "bcc")
            for person in group.get(name, [])
        ]
        addresses = [person["email"].lower() for person in people]
        checks = {
            "The personalizations field must have a to": all(group.get("to") for group in body["personalizations"]),
            "Each email address in the personalization block should be unique": len(addresses) == len(set(addresses)),
            "Does not contain a valid address": all(a.isascii() and a.count("@") == 1 for a in addresses),
            "The from object must be provided": "@" in body["from"]["email"],
            "The content value must be a string at least one character in length": body["content"]
            and all(part["value"] for part in body["content"]),
            "text/plain must be first": [part["type"] for part in body["content"]]
            == sorted((part["type"] for part in body["content"]), reverse=True),
            "The attachment content must be base64 encoded": all(
                base64.b64decode(part["content"], validate=True) is not None for part in body.get("attachments", [])
            ),
        }
        return next((message for message, fine in checks.items() if not fine), None)


def errors(code: int, message: str, **headers: str) -> Response:
    return JSONResponse({"errors": [{"message": message, "field": None, "help": None}]}, code, headers)


@asynccontextmanager
async def sendgrid(stand_in: StandIn, key: str = KEY) -> AsyncGenerator[SendGridMailer]:
    app = Starlette(routes=[Route("/v3/mail/send", stand_in.post, methods=["POST"])])
    async with served(app) as address:
        mailer = SendGridMailer(key, address)
        yield mailer
        await mailer.close()


async def send(mailer: SendGridMailer, one: Any, *recipients: str) -> tuple[Report, int]:
    handed_over = 0

    async def hand_over() -> None:
        nonlocal handed_over
        handed_over += 1

    return await mailer.send(one, recipients or ("ann@example.org",), hand_over), handed_over


async def test_a_mail_goes_out_as_the_api_wants_it():
    one = mail(
        to=["Ann Lee <ann@bücher.example>"],
        cc=["cid@example.org", "ann@bücher.example"],
        bcc=["secret@example.org"],
        reply_to="answers@example.org",
        html="<p>t</p>",
        attachments=[Attachment("a.json", "application/json", 2, "e30=")],
    )
    stand_in = StandIn()
    async with sendgrid(stand_in) as mailer:
        report, handed_over = await send(mailer, one, "ann@bücher.example", "cid@example.org", "secret@example.org")
    assert (set(statuses(report).values()), handed_over) == ({"sent"}, 1)
    assert "sg1" in (report.outcomes["cid@example.org"].message or "")
    (body,) = stand_in.bodies
    assert body["personalizations"] == [
        {
            "to": [{"email": "ann@xn--bcher-kva.example", "name": "Ann Lee"}],
            "cc": [{"email": "cid@example.org"}],
            "bcc": [{"email": "secret@example.org"}],
        }
    ]
    assert (body["headers"], body["custom_args"]) == (
        {"Message-ID": "<email_1@example.org>"},
        {"email_id": "email_1"},
    )
    assert body["reply_to"] == {"email": "answers@example.org"}
    assert body["attachments"][0]["filename"] == "a.json"


async def test_who_is_left_of_a_mail_gets_it_without_those_who_have_it():
    stand_in = StandIn()
    async with sendgrid(stand_in) as mailer:
        one = mail(to=["ann@example.org"], bcc=["b@example.org", "c@example.org"])
        report, _ = await send(mailer, one, "b@example.org", "c@example.org")
    assert set(statuses(report).values()) == {"sent"}
    assert stand_in.bodies[0]["personalizations"] == [
        {"to": [{"email": "b@example.org"}], "bcc": [{"email": "c@example.org"}]}
    ]


@pytest.mark.parametrize(
    ("answer", "outcome", "says"),
    [
        (lambda: errors(400, "bad template"), "failed", "bad template"),
        (lambda: errors(403, "from address does not match a verified Sender"), "failed", "verified Sender"),
        (lambda: Response("<html>", 413), "failed", "too large"),
        (lambda: errors(429, "too many requests", **{"Retry-After": "17"}), "deferred", "too many requests"),
        (lambda: Response("oops", 500), "deferred", "500"),
        (lambda: Response(b"\xff\xfe{", 503), "deferred", "503"),
        (lambda: Response("{}", 200), "unknown", "may have accepted"),
        (lambda: JSONResponse([1, 2], 404), "failed", "404"),
    ],
)
async def test_every_answer_means_something(answer: Any, outcome: str, says: str):
    async with sendgrid(StandIn(answer)) as mailer:
        report, _ = await send(mailer, mail())
    assert statuses(report) == {"ann@example.org": outcome}
    assert says in (report.outcomes["ann@example.org"].message or "")
    assert report.retry_after_seconds == (17 if "429" in (report.outcomes["ann@example.org"].message or "") else None)


async def test_a_wrong_key_is_told_without_showing_it():
    async with sendgrid(StandIn(), "SG.wrong") as mailer:
        report, _ = await send(mailer, mail())
    (outcome,) = report.outcomes.values()
    assert (outcome.status, outcome.code) == ("failed", 401) and "SG.wrong" not in str(report)


@pytest.mark.parametrize(("says", "outcome"), [(b"", "unknown"), (b"garbage\r\n\r\n", "unknown")])
async def test_an_answer_that_is_lost_or_no_answer_at_all_is_unknown(says: bytes, outcome: str):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(says)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    mailer = SendGridMailer(KEY, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    report, handed_over = await send(mailer, mail())
    assert (statuses(report), handed_over) == ({"ann@example.org": outcome}, 1)
    await mailer.close()
    server.close()


async def test_an_api_that_cannot_be_reached_is_a_temporary_failure():
    mailer = SendGridMailer(KEY, "http://127.0.0.1:1")
    report, _ = await send(mailer, mail())
    assert statuses(report) == {"ann@example.org": "deferred"}
    await mailer.close()


class Signed:
    """Signs as SendGrid does."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public_key = base64.b64encode(public).decode()

    def sign(self, body: bytes, timestamp: str) -> str:
        return base64.b64encode(self._key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()


def test_the_webhook_takes_only_what_is_signed():
    signed = Signed()
    webhook = EventWebhook(signed.public_key)
    events = [
        {"event": "delivered", "email": "Ann@Example.org", "email_id": "email_1", "timestamp": 1},
        {"event": "bounce", "email": "bob@example.org", "email_id": "email_1", "reason": "550 no"},
        {"event": "processed", "email": "bob@example.org", "email_id": "email_1"},
        {"event": "open", "email": "not ours"},
        {"event": "open", "email": "nonsense", "email_id": "email_1"},
        "nonsense",
    ]
    body = json.dumps(events).encode()
    assert webhook.read(body, signed.sign(body, "17"), "17") == [
        Told("email_1", "Ann@example.org", "delivered", None),
        Told("email_1", "bob@example.org", "bounced", "550 no"),
    ]
    for wrong in (
        (body + b" ", signed.sign(body, "17"), "17"),
        (body, signed.sign(body, "17"), "18"),
        (body, Signed().sign(body, "17"), "17"),
        (body, "", ""),
        (body, "not base64 %", "17"),
    ):
        with pytest.raises(PermissionDenied, match="signature"):
            webhook.read(*wrong)
    for bad in (b"{}", b"nonsense"):
        with pytest.raises(ValidationFailed, match="JSON list"):
            webhook.read(bad, signed.sign(bad, "1"), "1")
    for key in ("", "nonsense", base64.b64encode(b"x").decode()):
        with pytest.raises(ValidationFailed, match="SENDGRID_WEBHOOK_KEY"):
            EventWebhook(key)
