"""Sound packets in their order: none that came in time is dropped, whatever is lost or overtakes it."""

import random
from collections.abc import Iterable

import pytest
from aiortc.rtp import RtpPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.integrations.calls.ordering import HELD_PACKETS, PacketOrder


def released(numbers: Iterable[int]) -> list[int]:
    """The numbers of packets in the order in which they are let go."""
    order, told = PacketOrder(capacity=16, prefetch=4), list[int]()
    for number in numbers:
        packet = RtpPacket(sequence_number=number % 65536, timestamp=number * 960 % 2**32, payload=str(number).encode())
        _, frame = order.add(packet)
        if frame is not None:
            told.append(int(frame.data))
            assert frame.timestamp == int(frame.data) * 960 % 2**32
    return told


@pytest.mark.slow
@settings(max_examples=50)
@given(st.integers(0, 200_000), st.sets(st.integers(0, 199)), st.randoms(use_true_random=False))
def test_what_is_lost_or_overtaken_costs_nothing_that_came(first: int, lost: set[int], chance: random.Random):
    sent = [number for number in range(200) if number not in lost]
    places = {number: at + chance.random() * HELD_PACKETS / 2 for at, number in enumerate(sent)}
    came = [first + number for number in sorted(sent, key=places.__getitem__)]
    assert released(came) == sorted(came)[: max(0, len(came) - HELD_PACKETS)]


def test_numbers_go_on_where_they_wrap_and_after_a_long_silence():
    came = [*range(65_530, 65_550), *range(90_000, 90_020)]
    assert released(came) == came[:-HELD_PACKETS]


def test_a_packet_that_comes_twice_or_too_late_is_heard_once_or_not_at_all():
    came = [*range(20), 3, 19, 19, 19, *range(20, 40)]
    told = released(came)
    assert told == sorted(set(told))
