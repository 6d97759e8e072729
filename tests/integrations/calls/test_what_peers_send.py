"""Offers, candidates and messages, before anything is made of them: taken, or refused with a reason, never a crash."""

import asyncio
import json
import time
from typing import Any

import pytest
from aiortc import RTCPeerConnection, rtcicetransport, rtcsctptransport
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.domain.calls.media import MESSAGE_BYTES_MAX, OFFER_BYTES_MAX, TEXT_CHARACTERS_MAX
from mcp_server.integrations.calls import messages, offers
from tests.integrations.calls.peers import Person

NAME = "6a6c1f0e-1111-4222-8333-444455556666.local"


def candidate(host: str, port: int = 5000, protocol: str = "udp") -> str:
    return f"candidate:1 1 {protocol} 2130706431 {host} {port} typ host"


@pytest.fixture(scope="module")
def offer() -> str:
    async def made() -> str:
        person = Person(440)
        try:
            return await person.offer()
        finally:
            await person.close()

    return asyncio.run(made())


def test_an_offer_of_text_and_sound_is_kept_but_for_its_end_of_candidates(offer: str):
    checked = offers.checked(offer)
    assert (checked.has_audio, checked.sections) == (True, 2)
    assert checked.sdp == offer.replace("a=end-of-candidates\r\n", "")


def test_of_a_thousand_candidates_few_are_tried_and_it_takes_no_time(offer: str):
    many = "".join(f"a={candidate(f'10.0.{one // 250}.{one % 250 + 1}')}\r\n" for one in range(1000))
    began = time.thread_time()
    checked = offers.checked(offer + many)
    assert time.thread_time() - began < 0.1
    assert checked.sdp.count("a=candidate:") == offers.CANDIDATES_MAX
    assert not any(offers.is_taken(checked, candidate(f"10.1.0.{one}")) for one in range(1, 250))


@pytest.mark.parametrize(
    "line",
    [
        *(candidate("example.org"), candidate("metadata.local.example.org"), candidate("224.0.0.1")),
        *(candidate("0.0.0.0"), candidate("255.255.255.255"), candidate("10.0.0.1", 0), candidate("10.0.0.1", 65536)),
        *(candidate("10.0.0.1", protocol="tcp"), "candidate:", "nonsense", candidate("10.0.0.1") + "\nx"),
    ],
)
def test_a_candidate_that_is_a_name_or_no_address_of_one_peer_is_passed_over(offer: str, line: str):
    checked = offers.checked(offer)
    assert not offers.is_taken(checked, line)
    assert checked.names == []


def test_names_of_browsers_are_put_aside_and_few(offer: str):
    lines = [candidate(NAME, port) for port in range(5000, 5010)]
    checked = offers.checked(offer + "".join(f"a={line}\r\n" for line in [lines[0], *lines]))
    assert checked.names == lines[: offers.NAMES_MAX]
    assert ".local" not in checked.sdp


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda sdp: "", "begins with the line"),
        (lambda sdp: sdp.replace("v=0", "v=1"), "begins with the line"),
        (lambda sdp: sdp + "a=é\r\n", "ASCII"),
        (lambda sdp: sdp + "a=x\r\n" * OFFER_BYTES_MAX, "at most"),
        (lambda sdp: sdp + "a=x\r\n" * 2000, "more than 1000 lines"),
        (lambda sdp: sdp + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", '"video"'),
        (lambda sdp: sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\n", "sound once"),
        (lambda sdp: sdp[: sdp.index("m=application")], "data channel"),
        (lambda sdp: sdp.replace("a=group:BUNDLE", "a=group:LS"), "bundle"),
        (lambda sdp: sdp.replace("opus/48000/2", "opus/8000"), "Opus"),
    ],
)
def test_an_offer_of_which_no_call_can_be_made_is_refused_and_why(offer: str, change: Any, why: str):
    with pytest.raises(offers.BadOffer, match=why):
        offers.checked(change(offer))


@given(st.text())
def test_no_text_is_an_offer_or_a_candidate_by_accident(text: str):
    with pytest.raises(offers.BadOffer):
        offers.checked(text)
    assert not offers.is_taken(offers.Offer(""), text)


@pytest.mark.parametrize("told", [{}, {"candidate": 1}, {"candidate": "x" * 2000}])
def test_a_candidate_without_its_text_is_refused(told: dict[str, Any]):
    with pytest.raises(offers.BadOffer):
        offers.text_of(told)


def answer(**more: Any) -> dict[str, Any]:
    return {"type": "answer", "id": "approval_1", "action_hash": "ab"} | more


@pytest.mark.parametrize(
    "message",
    [
        {"type": "text", "text": "Grüß dich 👋", "ref": "1"},
        *(answer(decision="approve"), answer(choice="the second", text="because"), answer(decision="reject")),
        *(
            {"type": "pong", "n": 1},
            {"type": "muted", "on": True},
            {"type": "talking", "on": False},
            {"type": "hangup"},
        ),
    ],
)
def test_a_known_message_is_taken_with_its_known_fields_alone(message: dict[str, Any]):
    assert messages.checked(json.dumps(message | {"admin": True})) == message


def test_what_is_null_where_it_may_be_is_left_out():
    assert messages.checked(json.dumps(answer(decision=None, choice=None))) == answer()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 16_000, "no JSON"),
        ('{"type":' * 2000, "no JSON"),
        ('{"type":"pong","n":' + "9" * 5000 + "}", "no JSON"),
        ("[]", "no known type"),
        ("null", "no known type"),
        ('{"type":"welcome"}', "no known type"),
        ('{"type":["text"]}', "no known type"),
        ('{"type":"text"}', "text is missing"),
        ('{"type":"text","text":5}', "text is missing or has the wrong type"),
        ('{"type":"muted","on":1}', "wrong type"),
        ('{"type":"pong","n":true}', "wrong type"),
        (json.dumps({"type": "text", "text": "x" * (TEXT_CHARACTERS_MAX + 1)}), "at most"),
        (json.dumps({"type": "text", "text": "x\x00"}), "no text"),
        ('{"type":"text","text":"\\ud800"}', "no text"),
        (json.dumps(answer(decision="maybe")), "none of approve, reject"),
        ("x" * (MESSAGE_BYTES_MAX + 1), "at most"),
        (b"{}", "binary"),
    ],
    ids=range(19),
)
def test_what_is_no_message_is_refused_and_why(data: str | bytes, why: str):
    with pytest.raises(messages.BadMessage, match=why):
        messages.checked(data)


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda one: st.lists(one) | st.dictionaries(st.text() | st.just("type"), one),
    )
)
def test_nothing_that_is_sent_is_anything_but_a_message_or_refused(value: Any):
    try:
        assert messages.checked(json.dumps(value))["type"]
    except messages.BadMessage as error:
        assert str(error)


def test_a_peer_may_send_a_burst_and_then_so_many_a_second():
    rate = messages.Rate()
    assert sum(rate.take(1000.0) for _ in range(1000)) == messages.AT_ONCE
    assert sum(rate.take(1001.0) for _ in range(1000)) == messages.EACH_SECOND


@pytest.mark.anyio
async def test_aiortc_itself_is_the_same_as_when_its_seams_were_chosen():
    assert rtcicetransport.Connection.__module__ == "aioice.ice"
    assert rtcsctptransport.SCTP_RTO_MAX == 60
    connection = RTCPeerConnection()
    connection.createDataChannel("x")
    assert connection.sctp is not None
    assert connection.sctp._advertised_rwnd == 1024 * 1024
    await connection.close()
