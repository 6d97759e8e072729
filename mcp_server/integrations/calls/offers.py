"""A peer's offer before WebRTC sees it: bounded, with a text channel, with Opus or no sound at all, and with few
candidates, none of which is a name to look up."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_server.domain.calls.media import OFFER_BYTES_MAX
from mcp_server.kernel.quoting import quoted

LINES_MAX = 1000
CANDIDATE_CHARACTERS_MAX = 1000
CANDIDATES_MAX = 32
"""Of one peer, in its offer and after it together; more are passed over."""

NAMES_MAX = 4
"""Candidates that a browser hides behind a name of multicast DNS; each is asked for on the local network."""

_CANDIDATE = re.compile(
    r"candidate:(\S{1,64}) (\d{1,5}) (?P<protocol>\S{1,8}) (\d{1,12}) (?P<host>\S{1,255}) (?P<port>\d{1,5})"
    r" typ (host|srflx|prflx|relay)( .*)?",
    re.ASCII,
)
_NAME = re.compile(r"[0-9a-f-]{1,63}\.local", re.IGNORECASE | re.ASCII)
_BUNDLE = re.compile(r"a=group:BUNDLE .+")
_OPUS = re.compile(r"a=rtpmap:(\d{1,3}) opus/48000/2", re.IGNORECASE | re.ASCII)


class BadOffer(Exception):
    """An offer that is not answered; the text says why."""


@dataclass(slots=True)
class Offer:
    """An offer that may be tried.

    Attributes:
        sdp: with the candidates that stay.
        has_audio: whether it offers sound.
        sections: how many it has, bundled into one transport.
        names: candidates behind names, to be added once it is answered.
        left: how many more candidates may come.
    """

    sdp: str
    has_audio: bool = False
    sections: int = 1
    names: list[str] = field(default_factory=list[str])
    left: int = CANDIDATES_MAX


def checked(sdp: str) -> Offer:
    """An offer as it may be tried.

    Raises:
        BadOffer: it is none, or none that a call can be made of.
    """
    lines = _lines(sdp)
    kinds = [line[2:].partition(" ")[0] for line in lines if line.startswith("m=")]
    _require_a_call(kinds)
    if len(kinds) > 1 and not _has(lines, _BUNDLE):
        raise BadOffer("The offer must bundle its sections (a=group:BUNDLE).")
    if "audio" in kinds and not _has(lines, _OPUS):
        raise BadOffer("The offer has sound without Opus at 48000 Hz and two channels.")
    offer = Offer("", "audio" in kinds, len(kinds))
    offer.sdp = "\r\n".join(_kept(lines, offer)) + "\r\n"
    return offer


def _has(lines: list[str], pattern: re.Pattern[str]) -> bool:
    return any(pattern.fullmatch(line) for line in lines)


def _require_a_call(kinds: list[str]) -> None:
    if unknown := sorted({kind for kind in kinds if kind not in ("audio", "application")}):
        raise BadOffer(
            f"The offer has a section that a call does not have, such as {quoted(unknown[0][:20])}; leave it out."
        )
    if kinds.count("application") != 1 or kinds.count("audio") > 1:
        raise BadOffer('The offer must have a data channel, made as "desk" before the offer, and sound once at most.')


def _lines(sdp: str) -> list[str]:
    if len(sdp) > OFFER_BYTES_MAX:
        raise BadOffer(f"The offer has {len(sdp)} characters; at most {OFFER_BYTES_MAX} are taken.")
    lines = sdp.replace("\r\n", "\n").strip("\n").split("\n")
    if lines[0] != "v=0" or not sdp.isascii():
        raise BadOffer('The offer is no SDP: that is ASCII text that begins with the line "v=0".')
    if sum(not line.startswith("a=candidate:") for line in lines) > LINES_MAX:
        raise BadOffer(f"The offer has more than {LINES_MAX} lines.")
    return lines


def _kept(lines: list[str], offer: Offer) -> list[str]:
    kept, seen = list[str](), set[str]()
    for line in lines:
        if line == "a=end-of-candidates":  # more may come for as long as it connects
            continue
        if line.startswith("a=candidate:"):
            if line in seen or not is_taken(offer, line[2:]):
                continue
            seen.add(line)
        kept.append(line)
    return kept


def is_taken(offer: Offer, candidate: str) -> bool:
    """Whether a candidate is an address to try now; a name is put aside, and what is neither, or too much, is not."""
    found = _CANDIDATE.fullmatch(candidate)
    if found is None or found["protocol"].lower() != "udp" or not 0 < int(found["port"]) < 65536:
        return False
    if _NAME.fullmatch(found["host"]):
        if candidate not in offer.names and len(offer.names) < NAMES_MAX:
            offer.names.append(candidate)
        return False
    if offer.left <= 0 or not _is_address(found["host"]):
        return False
    offer.left -= 1
    return True


def _is_address(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified or address == ipaddress.ip_address("255.255.255.255"))


def text_of(candidate: Mapping[str, Any]) -> str:
    """The text of a candidate as browsers tell of it; "" says that there are no more.

    Raises:
        BadOffer: it is none.
    """
    text = candidate.get("candidate")
    if not isinstance(text, str) or len(text) > CANDIDATE_CHARACTERS_MAX:
        raise BadOffer(f"The candidate must have a text `candidate` of at most {CANDIDATE_CHARACTERS_MAX} characters.")
    return text.removeprefix("a=")
