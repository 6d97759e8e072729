"""Reading recordings, on both engines: any part of one, and no more of it than is asked for."""

import os
from typing import Any

import pytest

from mcp_server.domain.calls.orders import Recorded
from mcp_server.domain.calls.owning import Fence, record
from mcp_server.domain.calls.views import BYTES_PER_SECOND
from mcp_server.kernel.errors import NotFound
from tests.domain.calls.desks import CallDesk, holding
from tests.world import World

pytestmark = pytest.mark.anyio
HEADER_BYTES = 44


async def recorded(desk: CallDesk, pieces: list[bytes]) -> str:
    """A call of which these pieces were recorded."""
    opened = await desk.open(media="audio", record=True)
    await desk.join(opened.join_url, audio=True)
    await desk.until(opened.id, "active")
    origin = desk.desk.context.origin(desk.call)
    for number, pcm in enumerate(pieces):
        await desk.world.database.write(record, origin, Fence(opened.id, 1), Recorded(pcm, -20.0 - number))
    return opened.id


async def test_any_part_of_a_recording_is_read_whatever_its_pieces(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mcp_server.domain.calls.service.RECORDING_SECONDS_MAX", 3)
    monkeypatch.setattr("mcp_server.domain.calls.service.PIECES_AT_ONCE", 2)
    pieces = [os.urandom(2 * size) for size in (16_000, 100, 40_000, 2, 32_000, 15_998, 1)]
    whole = b"".join(pieces)
    async with holding(world) as desk:
        call_id = await recorded(desk, pieces)
        for second in range(len(whole) // BYTES_PER_SECOND + 1):
            at = second * BYTES_PER_SECOND
            read = await desk.desk.calls.recording(desk.call, call_id, second)
            assert read[HEADER_BYTES:] == whole[at : at + 3 * BYTES_PER_SECOND]
        with pytest.raises(NotFound, match="from 7 s on"):
            await desk.desk.calls.recording(desk.call, call_id, 7)
        told = (await desk.see(call_id)).recording
        assert told is not None
        assert (told.seconds, told.mean_dbfs, told.peak_dbfs) == (round(len(whole) / BYTES_PER_SECOND, 2), -23.0, -20.0)


async def test_what_lies_before_the_part_that_is_read_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mcp_server.domain.calls.service.RECORDING_SECONDS_MAX", 2)
    async with holding(world) as desk:
        call_id = await recorded(desk, [bytes(BYTES_PER_SECOND)] * 20)
        read, fetch_all = list[Any](), world.database.fetch_all

        async def noting(statement: str, **parameters: Any) -> Any:
            rows = await fetch_all(statement, **parameters)
            read.extend(row["at_bytes"] // BYTES_PER_SECOND for row in rows if statement == "call_audio_from")
            return rows

        monkeypatch.setattr(world.database, "fetch_all", noting)
        await desk.desk.calls.recording(desk.call, call_id, 17)
        assert read == [17, 18]
