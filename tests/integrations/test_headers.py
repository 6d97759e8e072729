"""What goes out as headers reads back as the data that went in, on every Python that runs this."""

import base64
import email
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import compat32, default
from email.utils import getaddresses
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mcp_server.domain.email.attachments import Attachment, AttachmentSpec
from mcp_server.domain.email.commands import EmailSpec
from mcp_server.domain.email.transport import Unbuildable
from mcp_server.integrations.headers import attached_as, literal, mailboxes, unstructured
from mcp_server.integrations.mime import message
from mcp_server.kernel.addresses import EmailAddress, check_address, parse_address
from mcp_server.kernel.errors import ValidationFailed
from tests.integrations.test_smtp import mail

BREAKS = [*map(chr, (*range(0x20), 0x7F, 0x85, 0x2028, 0x2029))]
FORGED = [
    "=?utf-8?q?a=0D=0ABcc:_eve@evil.example?=",
    "=?utf-8?b?YSwgZXZlQGV2aWwuZXhhbXBsZQ==?=",
    "=?utf-8?q?Lee=2C_eve@evil.example?=",
    "=?us-ascii?q?=22?=",
    "=?x?=",
    "utf-8''%0D%0ABcc:%20eve@evil.example",
    "\u202egpj.exe",
    "Lee, Ann",
    'Ann "Bob" Lee\\',
    "(a comment)",
    "Team: a;",
    "\U0001f468\u200d\U0001f469",
]
PIECES = st.one_of(
    st.sampled_from(FORGED),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12),
    st.sampled_from([" ", "  ", "x" * 90, "%", "=?", "?=", '"', "\\", ",", "\u00e9" * 30, "<", ">", "@", ";"]),
)
TEXTS = st.lists(PIECES, min_size=1, max_size=8).map("".join)
LINES = TEXTS.map(str.strip).filter(bool)
DOMAINS = st.sampled_from(["example.org", "bücher.example", "x" * 63 + "." + "y" * 63 + ".example"])
LOCALS = st.one_of(
    st.sampled_from(["ann", "a.b", "zoë", "a..b", "x" * 64]),
    st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}", fullmatch=True),
)
NAMES = {"MIME-Version", "Content-Type", "Message-ID", "Date", "From", "To", "Cc", "Reply-To", "Subject"} | {
    "Auto-Submitted"
}
OPTIONS: dict[str, Any] = {"deadline": None, "database": None, "derandomize": True}


@st.composite
def addresses(draw: st.DrawFn) -> tuple[str, str, str]:
    """An address as it is given, and the name and address that must come out."""
    name, plain = draw(LINES), f"{draw(LOCALS)}@{draw(DOMAINS)}"
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{quoted} <{plain}>", name, plain


def parsed(raw: bytes) -> EmailMessage:
    for line in raw.split(b"\r\n"):
        assert len(line) <= 998 and not re.search(rb"[\r\n\x00]", line)
    return cast(EmailMessage, email.message_from_string(raw.decode(), policy=default))


def fields(raw: bytes) -> dict[str, str]:
    """The fields of the first header block, unfolded and not decoded; each stands there once."""
    block = raw.partition(b"\r\n\r\n")[0].decode()
    items = email.message_from_string(block.replace("\r\n ", " ") + "\n\n", policy=compat32).items()
    assert len(items) == len(dict(items))
    return dict(items)


def people_of(value: str) -> list[tuple[str, str]]:
    """Names and addresses, read by the package's older reader: up to 3.12.8 and 3.13.1 the newer one leaves spaces
    between encoded words (gh-128110)."""
    return [
        (str(make_header(decode_header(name))), address.replace('"', "")) for name, address in getaddresses([value])
    ]


def goes_out_as_it_is(subject: str, to: list[tuple[str, str, str]], reply_to: tuple[str, str, str], name: str) -> None:
    one = mail(
        subject=subject,
        to=[given for given, _, _ in to],
        cc=[to[0][0]],
        bcc=["hidden@example.org"],
        reply_to=reply_to[0],
        attachments=[Attachment(name, "text/plain", 2, "e30=")],
    )
    raw = message(one)
    got = parsed(raw)
    held = fields(raw)
    assert held.keys() == NAMES
    assert not got.defects and b"hidden@" not in raw
    assert got["Subject"] == subject
    for field, people in (("To", to), ("Cc", to[:1]), ("Reply-To", [reply_to])):
        assert people_of(held[field]) == [(named, on_the_wire(plain)) for _, named, plain in people], field
        addresses = [f"{one.username}@{one.domain}" for one in got[field].addresses]
        assert addresses == [on_the_wire(plain) for _, _, plain in people], field
    (part,) = got.iter_attachments()
    # Not get_filename(), which takes quotes away that are part of the name.
    assert part["Content-Disposition"].params["filename"] == name and part.get_content_type() == "text/plain"
    assert got["Message-ID"] == one.message_id


def on_the_wire(plain: str) -> str:
    local, _, domain = plain.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


HEADERS = {
    "subject": LINES,
    "to": st.lists(addresses(), min_size=1, max_size=4),
    "reply_to": addresses(),
    "name": LINES.map(lambda text: text.replace("/", "-").replace("\\", "-")[:128].strip() or "x"),
}


@pytest.mark.slow
@given(**HEADERS)
@settings(max_examples=50, **OPTIONS)
def test_any_header_reads_back_as_it_was_given(**given_: Any):
    goes_out_as_it_is(**given_)


@pytest.mark.slow
@given(**HEADERS)
@settings(max_examples=3000, **OPTIONS)
def test_thousands_of_headers_read_back_as_they_were_given(**given_: Any):
    goes_out_as_it_is(**given_)


@pytest.mark.parametrize("forged", [*FORGED, "a" * 78, "é" * 78, "word " * 60 + "end", "x" * 300])
def test_what_looks_like_an_encoded_word_or_syntax_stays_text_wherever_it_stands(forged: str):
    name = forged.replace("/", "-").replace("\\", "-")[:128].strip()
    quoted = '"' + forged.replace("\\", "\\\\").replace('"', '\\"') + '"'
    ann, bob = (f"{quoted} <ann@example.org>", forged, "ann@example.org"), ("bob@example.org", "", "bob@example.org")
    goes_out_as_it_is(forged, [ann, ann, bob], ann, name)
    goes_out_as_it_is(f"{forged} {forged}", [bob], ann, name)


@pytest.mark.parametrize("character", [*BREAKS, "\ud800"])
def test_a_header_with_a_break_or_half_a_character_is_refused_at_the_door(character: str):
    to: dict[str, Any] = {"to": ["ann@example.org"], "subject": "s", "text": "t"}
    inside = f"a{character}Bcc: eve@evil.example"
    for wrong in ({"subject": inside}, {"to": f'"{inside}" <ann@example.org>'}, {"cc": f"{inside} <a@b.org>"}):
        with pytest.raises(ValidationError):
            EmailSpec.model_validate(to | wrong)
    with pytest.raises(ValidationError):
        AttachmentSpec.model_validate({"name": inside.replace("/", ""), "content_base64": ""})
    with pytest.raises((ValidationFailed, ValidationError)):
        check_address(f"{inside} <ann@example.org>")


@pytest.mark.parametrize("character", [one for one in BREAKS if one != "\0"])
def test_a_mail_of_before_that_holds_a_break_goes_out_with_a_space_there(character: str):
    inside = f"a{character}Bcc: eve@evil.example"
    one = mail(
        subject=inside,
        to=[f'"{inside}" <ann@example.org>'],
        attachments=[Attachment(inside, "message/rfc822", 2, base64.b64encode(b"Bcc: x\n\nHi").decode())],
    )
    raw = message(one)
    got = parsed(raw)
    assert "Bcc" not in fields(raw)
    assert (got["Subject"], got["To"].addresses[0].display_name) == ("a Bcc: eve@evil.example",) * 2
    (part,) = got.iter_attachments()
    assert part.get_content_type() == "application/octet-stream" and part.get_content() == b"Bcc: x\n\nHi"
    assert part.get_filename() == "a Bcc: eve@evil.example"


@pytest.mark.parametrize(
    "wrong", ["message/rfc822", "message/x", "multipart/mixed", "multipart/", "/", "text", "a b/c"]
)
def test_an_attachment_that_would_be_a_part_of_the_mail_is_refused_and_one_of_before_is_octets(wrong: str):
    with pytest.raises(ValidationError):
        AttachmentSpec.model_validate({"name": "a", "content_base64": "", "media_type": wrong})
    raw = message(mail(attachments=[Attachment("a", wrong, 2, "e30=")]))
    assert [part.get_content_type() for part in parsed(raw).iter_attachments()] == ["application/octet-stream"]


@pytest.mark.parametrize("wrong", [{"to": ["nobody"]}, {"reply_to": "a@(1).org"}, {"bcc": ["a@\u2474.org"]}])
def test_a_mail_that_cannot_be_written_says_so(wrong: dict[str, Any]):
    with pytest.raises(Unbuildable, match="cannot be written"):
        message(mail(**wrong))
    with pytest.raises(Unbuildable, match="cannot be written"):
        message(mail(attachments=[Attachment("a", "text/plain", 1, "e")]))


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300), st.sampled_from([1, 20])
)
@settings(max_examples=50, **OPTIONS)
def test_any_text_arrives_in_seven_bits_with_its_line_ends_as_crlf(text: str, times: int):
    raw = message(mail(text=text * times, html=f"<p>{text}</p>"))
    assert raw.isascii()
    for kind, sent in (("plain", text * times), ("html", f"<p>{text}</p>")):
        part = parsed(raw).get_body((kind,))
        assert part is not None
        got = cast("bytes", part.get_payload(decode=True)).decode()
        assert lines_of(got) == lines_of(sent)


def lines_of(text: str) -> list[str]:
    """Lines as mails have them, whether or not the last one is ended."""
    return re.split(r"\r\n|\r|\n", re.sub(r"(?:\r\n|\r|\n)\Z", "", text))


ADDRESSES = [
    ("ann@example.org", ("", "ann", "example.org")),
    (" Ann Lee <ann@example.org> ", ("Ann Lee", "ann", "example.org")),
    ('"Lee, \\"Ann\\" \\\\" <ann@example.org>', ('Lee, "Ann" \\', "ann", "example.org")),
    ('"a@b.org" <ann@example.org>', ("a@b.org", "ann", "example.org")),
    ("ann@example.org (Ann Lee)", ("Ann Lee", "ann", "example.org")),
    ("Ann (Sales) <ann@example.org>", ("Ann (Sales)", "ann", "example.org")),
    ("=?utf-8?q?a=2C?= <ann@example.org>", ("=?utf-8?q?a=2C?=", "ann", "example.org")),
    ("<ann@example.org>", ("", "ann", "example.org")),
]


@pytest.mark.parametrize(("text", "parts"), ADDRESSES)
def test_an_address_is_taken_apart_without_decoding_anything(text: str, parts: tuple[str, str, str]):
    assert tuple(parse_address(text)) == parts
    assert TypeAdapter(EmailAddress).validate_python(text) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "a@", "@b.org", "a@b@c.org", "a@x.org, b@y.org", "Lee, Ann <a@b.org>", "a@b.org>", "x <a@b.org"),
        *("a b@c.org", "Team: Ops <a@b.org>", "a@-b.org", "a@b..org", "a@\u2474.org", "a@b\uff20c.org"),
        *(
            "<<a@b.org>>",
            '"a" "b\\" <a@b.org>',
            "a@x.org <b@y.org>",
            "a\u2028b@c.org",
            "a\u202eb@c.org",
            "a@" + "b." * 150 + "org",
        ),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str):
    with pytest.raises(ValidationFailed, match=r"not an email address|line break"):
        check_address(text)


@pytest.mark.slow
@given(TEXTS)
@settings(max_examples=300, **OPTIONS)
def test_a_field_never_holds_a_line_that_is_not_folded_or_too_long(text: str):
    for value in (unstructured(text), attached_as(text)):
        assert re.fullmatch(r"[ -~]*(?:\r\n [ -~]+)*", value)
    folded = f"Subject: {unstructured(text)}".split("\r\n")
    assert max(map(len, folded)) <= 78
    assert max(map(len, f"Reply-To: {mailboxes(['x <a@b.org>'] * 20)}".split("\r\n"))) <= 78


def test_a_provider_that_writes_headers_itself_gets_no_encoded_word_of_a_caller():
    for forged in FORGED[:5]:
        sent = literal(forged)
        got = email.message_from_string(f"Subject: {sent}\r\n\r\n", policy=default)
        assert got["Subject"] == forged and "=?utf-8?q?" not in sent
