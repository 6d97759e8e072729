"""The recording of a call: two lanes of sound, ours and theirs, each put in its place by its own time, mixed once it is
late enough that nothing can be missing that still comes.

This is the jitter buffer of what is heard: a frame that is less than `DEPTH_SECONDS` late is put where it belongs, in
whatever order frames come. Nobody listens to it live, so the depth costs nothing but that the recording is told of so
much later.
"""

import math
import operator
from array import array
from collections.abc import Sequence

from mcp_server.domain.calls.media import RATE
from mcp_server.domain.calls.orders import Recorded

DEPTH_SECONDS = 1.0
CHUNK_SECONDS = 2.0
CONCEALED_SECONDS_MAX = 0.06
"""A hole of three packets is filled with what was heard before it, ever more quietly; a longer one is silence."""

SILENCE_DBFS = -96.0
_FULL = 32768.0
_FRAME = RATE // 50


class Lane:
    """What one side says, as samples from where the recording is."""

    def __init__(self) -> None:
        """Silence so far."""
        self.open_from = 0
        """Nothing is kept of what was said before it."""
        self._base = 0
        self._samples = array("h")
        self._before = array("h", bytes(2 * _FRAME))
        self._spans: list[tuple[int, int]] = []

    def put(self, at: int, pcm: bytes) -> bool:
        """Put sound in its place, in samples from the beginning; whether any of it was in time."""
        sound = array("h", pcm)
        start, end = max(at, self._base, self.open_from), at + len(sound)
        if end <= start:
            return False
        missing = end - self._base - len(self._samples)
        if missing > 0:
            self._samples.extend(array("h", bytes(2 * missing)))
        self._samples[start - self._base : end - self._base] = sound[start - at :]
        self._remember(start, end)
        return True

    def _remember(self, start: int, end: int) -> None:
        if self._spans and self._spans[-1][0] <= start <= self._spans[-1][1]:  # as nearly always
            self._spans[-1] = (self._spans[-1][0], max(end, self._spans[-1][1]))
            return
        merged: list[tuple[int, int]] = []
        for one in sorted([*self._spans, (start, end)]):
            if merged and one[0] <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(one[1], merged[-1][1]))
            else:
                merged.append(one)
        self._spans = merged

    def take(self, count: int) -> "array[int]":
        """The next so many samples; holes that are short are concealed."""
        end = self._base + count
        for before, after in zip(self._spans, self._spans[1:], strict=False):
            if before[1] < end and after[0] - before[1] <= CONCEALED_SECONDS_MAX * RATE:
                self._conceal(before[1], after[0])
        taken = self._samples[:count]
        del self._samples[:count]
        taken.extend(array("h", bytes(2 * (count - len(taken)))))
        # What is over stays as an empty span, so that a hole just after it is found.
        self._spans = [(max(start, end), stop) for start, stop in self._spans if stop >= end]
        self._base = end
        self._before = (self._before + taken)[-_FRAME:]
        return taken

    def _conceal(self, start: int, end: int) -> None:
        for at in range(start, end):
            source = at - self._base - _FRAME
            heard = self._samples[source] if source >= 0 else self._before[source]
            self._samples[at - self._base] = heard * 3 // 4


class Anchor:
    """Where the frames of one track lie in the recording: by the track's own time, from where its first one came. Where
    its clock has gone astray, as after a long silence or a stall of ours, it begins anew."""

    def __init__(self, lane: Lane) -> None:
        """No frame yet."""
        self._lane = lane
        self._offset: int | None = None

    def put(self, frame_at: int, pcm: bytes, now_at: int) -> None:
        """Put a frame in its place.

        Args:
            frame_at: of the track's own time, in samples of the recording.
            pcm: the frame.
            now_at: where the recording would be if it had no depth.
        """
        if self._offset is None or abs(frame_at + self._offset - now_at) > DEPTH_SECONDS * RATE:
            self._offset = now_at - frame_at
        self._lane.put(frame_at + self._offset, pcm)


class Recorder:
    """Both lanes of a call, and the time since the first sound could be heard."""

    def __init__(self) -> None:
        """Nothing is recorded before `begin`."""
        self.ours, self.theirs = Lane(), Lane()
        self._began: float | None = None
        self._taken = 0

    def begin(self, now: float) -> None:
        """Somebody can be heard from now on, in seconds of a steady clock; only the first time counts."""
        if self._began is None:
            self._began = now

    def at(self, now: float) -> int:
        """Where the recording would be if it had no depth, in samples."""
        return 0 if self._began is None else int((now - self._began) * RATE)

    def chunks(self, now: float, *, is_over: bool = False) -> list[Recorded]:
        """What can be told by now, of at most `CHUNK_SECONDS` each; all of it where the call is over."""
        end = self.at(now) - (0 if is_over else int(DEPTH_SECONDS * RATE))
        least, most = (1 if is_over else int(CHUNK_SECONDS * RATE)), int(CHUNK_SECONDS * RATE)
        told: list[Recorded] = []
        while end - self._taken >= least:
            count = min(end - self._taken, most)
            told.append(recorded(self.ours.take(count), self.theirs.take(count)))
            self._taken += count
        return told


def recorded(ours: Sequence[int], theirs: Sequence[int]) -> Recorded:
    """Two lanes as one."""
    if not any(ours):
        mixed = array("h", theirs)
    elif not any(theirs):
        mixed = array("h", ours)
    else:
        mixed = array("h", [max(-32768, min(32767, one)) for one in map(operator.add, ours, theirs)])
    return Recorded(mixed.tobytes(), level_dbfs(mixed))


def level_dbfs(samples: Sequence[int]) -> float:
    """How loud it is: the root of the mean square, 0 being full scale, `SILENCE_DBFS` silence."""
    square = sum(map(operator.mul, samples, samples)) / max(len(samples), 1)
    return max(SILENCE_DBFS, round(10 * math.log10(square / _FULL**2), 1)) if square else SILENCE_DBFS
