"""Which addresses an operator's patterns allow: as mail servers read them, however they are written."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel.addresses import (
    comparable_address,
    is_allowed,
    pattern_for,
    plain_address,
    shown_address,
    wire_address,
)
from mcp_server.kernel.errors import ValidationFailed

OURS = ("*@example.org", "boss@partner.example", "*@*.team.example", "*@bücher.example")


@pytest.mark.parametrize(
    ("address", "pattern"),
    [
        ("ann@example.org", "*@example.org"),
        ("Ann Lee <ANN@EXAMPLE.ORG>", "*@example.org"),
        ("ann+lists@example.org", "*@example.org"),
        ("jürgen@example.org", "*@example.org"),
        ("BOSS@Partner.Example", "boss@partner.example"),
        ("a@b.team.example", "*@*.team.example"),
        ("a@bücher.example", "*@bücher.example"),
        ("a@BÜCHER.example", "*@bücher.example"),
        ("a@xn--bcher-kva.example", "*@bücher.example"),
        ("a@XN--BCHER-KVA.example", "*@bücher.example"),
        ("a@ｅxample.org", "*@example.org"),  # it is sent to example.org
        # Not ours:
        ("ann@example.org.evil.test", None),
        ("ann@evil.test", None),
        ("ann@eхample.org", None),  # a Cyrillic letter
        ("boss+x@partner.example", None),
        ("bosſ@partner.example", None),  # a long s, which is an s in capitals
        ("boss\u212a@partner.example", None),
        ("eve%evil.test@example.org", None),
        ("evil.test!eve@example.org", None),
        ("%@example.org", None),
        ("a!b@team.team.example", None),
        ("a@team.example", None),
    ],
)
def test_an_address_is_allowed_as_mail_servers_read_it(address: str, pattern: str | None):
    assert pattern_for(address, OURS) == pattern
    assert is_allowed(address, OURS) is (pattern is not None)
    assert is_allowed(address, ())


def test_a_route_is_allowed_where_it_is_named_to_the_letter():
    assert is_allowed("Eve%Evil.test@example.org", ("eve%evil.test@example.org",))
    assert not is_allowed("eve%evil.test@example.org", ("eve*@example.org", "eve?evil.test@example.org", "*"))


@pytest.mark.parametrize(
    "text",
    [
        '"eve@evil.test"@example.org',
        '"eve evil"@example.org',
        "@evil.test:ann@example.org",
        "<@evil.test,@example.org:ann@example.org>",
        "ann@evil.test@example.org",
        "ann@example.org@",
        "ann@example.org, eve@evil.test",
        "ann@example.org;eve@evil.test",
        "ann@example.org\r\nBcc: eve@evil.test",
        "ann@[192.0.2.1]",
        "ann@example.org.",
        "ann@example。org",
        "ann@-example.org",
        "ann(eve@evil.test)@example.org",
        "ann\\@evil.test@example.org",
        "ann\u202e@example.org",
        "@example.org",
        "ann@",
    ],
)
def test_what_could_be_read_in_two_ways_is_no_address(text: str):
    with pytest.raises(ValidationFailed, match="is not an email address|line"):
        plain_address(text)


def test_a_person_sees_what_a_foreign_domain_is_called_on_the_wire():
    assert shown_address("Ann <ann@eхample.org>") == "ann@eхample.org (ann@xn--eample-bsf.org)"
    assert shown_address("Ann <ann@example.org>") == "ann@example.org"
    assert shown_address("jürgen@example.org") == "jürgen@example.org"


LOCALS = st.text(string.ascii_letters + string.digits + "+-_.%!#$&'*/=?^`{|}~äКſ", min_size=1, max_size=20)
DOMAINS = st.from_regex(r"[a-zA-Zäßк0-9]([a-zA-Zäß-]{0,8}[a-zA-Z0-9])?(\.[a-z]{2,5}){1,2}", fullmatch=True)


@given(local=LOCALS, domain=DOMAINS)
def test_what_a_pattern_of_a_domain_allows_is_sent_to_that_domain_and_is_no_route(local: str, domain: str):
    try:
        address = f"{local}@{domain}"
        plain = plain_address(address)
    except ValidationFailed:
        return
    assert pattern_for(address, (plain,)) == plain, "every address is allowed by its own name"
    sent_to = wire_address(address).rpartition("@")[2].lower()
    if is_allowed(address, (f"*@{domain}",)):
        assert not set(local) & {"%", "!"}
        assert wire_address(f"x@{domain}").rpartition("@")[2].lower() == sent_to
    else:
        assert set(local) & {"%", "!"}
    assert not is_allowed(address, ("*@other.invalid",))
    assert comparable_address(address) == comparable_address(f"Name <{plain}>")


@given(text=st.text(max_size=60))
def test_whatever_is_written_is_an_address_or_refused(text: str):
    try:
        plain = plain_address(text)
    except ValidationFailed:
        return
    assert plain.count("@") == 1
    assert is_allowed(text, (f"*@{plain.rpartition('@')[2]}",)) or set(plain) & {"%", "!"}
