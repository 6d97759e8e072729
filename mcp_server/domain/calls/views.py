"""What callers see of calls."""

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from mcp_server.domain.calls.media import RATE
from mcp_server.domain.calls.model import LiveCall
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import SECOND, iso, iso_or_none
from mcp_server.kernel.views import View

OWN_CALLS = Private(Permission.CALLS_CONTROL, "call_own")
"""Calls that the caller's principal had opened, whoever spoke for it, and those that its agent was asked into."""

BYTES_PER_SECOND = 2 * RATE


class ParticipantView(View):
    """One who is asked in.

    Attributes:
        state: `invited`, `joining`, `joined`, `away` or `left`.
        join_url: where it joins, of one whose link is shown, as several are.
        may_decide: of one to whom alone the link was mailed.
    """

    name: str
    kind: str
    state: str
    join_url: str | None = None
    may_decide: bool | None = None


class RecordingView(View):
    """What is recorded so far: how long, and how loud on the whole and at most, in decibels below full scale."""

    seconds: float
    mean_dbfs: float | None = None
    peak_dbfs: float | None = None


class CallView(View):
    """One call; who acts in it is told less of it.

    Attributes:
        join_url: where one link is shown, that one.
        asked: the approvals that are open in it.
        lines: how many its transcript has.
        reason: how it ended.
        forgotten_at: since when nothing of what was said is kept.
        replayed: whether it was there already, under the idempotency key of who asked for it.
    """

    id: str
    status: str
    purpose: str | None = None
    media: str | None = None
    record: bool | None = None
    muted: bool | None = None
    reason: str | None = None
    task_id: str | None = None
    join_url: str | None = None
    participants: list[ParticipantView] | None = None
    asked: list[str] | None = None
    lines: int | None = None
    recording: RecordingView | None = None
    opened_by: str | None = None
    expires_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    forgotten_at: str | None = None
    replayed: bool | None = None


class LineView(View):
    """One line of a transcript."""

    n: int
    at: str
    who: str
    kind: str
    text: str


class OpenedCall(View):
    """The call, and the answer to the offer that came with it."""

    call: CallView
    answer: str | None = None

    def kept(self) -> Self:
        """It without links: whoever opened it is shown them by listening, while nobody has joined by them."""
        people = [one.evolved({"join_url": None}) for one in self.call.participants or ()]
        return self.evolved({"call": self.call.evolved({"join_url": None, "participants": people or None})})


class CallResult(View):
    """The call, and what the action gave.

    Attributes:
        messages: of `listen`, what was said after the line that was named.
        next_after: of `listen`, the line to go on after.
        answer: of `accept_offer`, as SDP.
        approval_id: of `ask`, the question.
        approval_task_id: of `ask`, the task that waits for the answer.
    """

    call: CallView
    messages: list[LineView] | None = None
    next_after: int | None = None
    answer: str | None = None
    approval_id: str | None = None
    approval_task_id: str | None = None


class TranscriptView(View):
    """What was said."""

    call_id: str
    status: str
    purpose: str
    lines: list[LineView]
    next_after: int | None = None
    forgotten_at: str | None = None


def call_state(call: LiveCall, links: Mapping[int, str] | None = None, *, replayed: bool = False) -> CallView:
    """A call as whoever acts in it is told of it; `links` by the numbers of those whose links are shown."""
    shown = links or {}
    return CallView(
        id=call.id,
        status=call.status,
        reason=call.reason,
        task_id=call.task_id,
        join_url=next(iter(shown.values())) if len(shown) == 1 else None,
        participants=_participants(call, shown if len(shown) > 1 else {}) or None,
        asked=call.questions() or None,
        lines=call.lines,
        replayed=replayed or None,
    )


def call_view(call: LiveCall, recording: Row | None) -> CallView:
    """A call with everything but what was said."""
    return CallView(
        id=call.id,
        status=call.status,
        purpose=call.purpose,
        media=call.media,
        record=bool(call.record),
        muted=bool(call.muted),
        reason=call.reason,
        task_id=call.task_id,
        participants=_participants(call, {}) or None,
        asked=call.questions() or None,
        lines=call.lines,
        recording=None if recording is None or not recording["n"] else _recording(recording),
        opened_by=call.opened_by,
        expires_at=iso(call.expires_at),
        started_at=iso_or_none(call.started_at),
        ended_at=iso_or_none(call.ended_at),
        forgotten_at=iso_or_none(call.forgotten_at),
    )


def line_views(rows: Sequence[Row]) -> list[LineView]:
    """Lines as callers see them."""
    return [LineView(n=row["n"], at=iso(row["at"]), who=row["who"], kind=row["kind"], text=row["text"]) for row in rows]


def outcome_of(call: LiveCall) -> dict[str, Any]:
    """What a call came to, as its task's result: who may see tasks need not see calls, so nobody is named in it, and
    nobody's words stand there."""
    seconds = None if call.started_at is None or call.ended_at is None else (call.ended_at - call.started_at) / SECOND
    return {
        "call_id": call.id,
        "outcome": call.status,
        "seconds": seconds,
        "lines": call.lines,
        "joined": sum(one.joins > 0 for one in call.people()),
        "transcript": f"ops://calls/{call.id}/transcript",
    }


def participants_told(people: Any) -> list[dict[str, Any]]:
    """Participants as events tell of them to callers."""
    known = cast("list[Any]", people) if isinstance(people, list) else []
    return [
        {name: one.get(name) for name in ("n", "name", "kind", "state")}
        for one in (cast("dict[str, Any]", each) for each in known if isinstance(each, dict))
    ]


def _recording(row: Row) -> RecordingView:
    levels = {name: None if row[name] is None else round(row[name], 1) for name in ("mean_dbfs", "peak_dbfs")}
    return RecordingView(seconds=round(row["bytes"] / BYTES_PER_SECOND, 2), **levels)


def _participants(call: LiveCall, links: Mapping[int, str]) -> list[ParticipantView]:
    return [
        ParticipantView(
            name=one.name,
            kind=one.kind,
            state=one.state,
            join_url=links.get(one.n),
            may_decide=True if one.person is not None else None,
        )
        for one in call.people()
    ]
