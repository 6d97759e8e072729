"""Questions that are put to those in a call, and what becomes of them: each is shown once to each who is asked and is
there, and its outcome to all, wherever it was decided."""

from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.calls import owning
from mcp_server.domain.calls.asking import Questions, Shown, ask_message, asks, outcome, seen_in
from mcp_server.domain.calls.held import Held
from mcp_server.domain.calls.media import Message
from mcp_server.domain.calls.model import Line, Participant
from mcp_server.domain.calls.orders import MediaCall, Send
from mcp_server.kernel.json_text import storable


class Putting:
    """The open questions of one call, as those in it see them."""

    def __init__(self, held: Held, questions: Questions) -> None:
        self._held = held
        self._questions = questions
        self._shown: dict[str, Shown] = {}
        self._outcomes: list[Message] = []

    async def greeting(self, peer: str) -> list[Message]:
        """The questions that are put to who comes in.

        The outcomes follow: who was away when something was decided has the question on the screen still.
        """
        asked: list[Message] = []
        for approval_id in self._held.call.questions():
            approval = await self._questions.approval(approval_id)
            if approval is not None and asks(approval, self._held.call.participant(int(peer))):
                self._note(approval_id, Shown(frozenset((peer,)), seen_in(approval)))
                asked.append(ask_message(approval))
        return [*asked, *self._outcomes]

    async def show(self, line: MediaCall) -> None:
        """Show what is asked anew, and tell what has been decided, wherever that was."""
        for approval_id in self._held.call.questions():
            approval = await self._questions.approval(approval_id)
            if approval is None:
                continue
            if approval.status == "pending":
                await self._put(line, approval)
            else:
                await self._answered(line, approval_id, outcome(approval))

    async def answer(self, one: Participant, message: Message) -> None:
        """Take in what a participant answers.

        Raises:
            OpsError: it does not count; the message says why.
        """
        shown = self._shown.get(str(message.get("id")))
        await self._questions.answer(self._held.fence.call_id, one, shown, message)

    async def _put(self, line: MediaCall, approval: Approval) -> None:
        """Show a question to those who are asked, are there, and have not been shown it as it is now."""
        shown, seen = self._shown.get(approval.id), seen_in(approval)
        known = shown.peers if shown is not None and shown.seen == seen else frozenset[str]()
        there = (one for one in self._held.call.people() if one.state == "joined")
        peers = frozenset(str(one.n) for one in there if asks(approval, one))
        for peer in sorted(peers - known):
            await line.tell(Send(ask_message(approval), peer))
        self._note(approval.id, Shown(peers, seen))

    async def _answered(self, line: MediaCall, approval_id: str, what: str) -> None:
        answer = Line("desk", "answer", storable(f"{what} ({approval_id})", 4000))
        told = await self._held.write(owning.told, approval_id, answer)
        if told is not None:
            self._shown.pop(approval_id, None)
            self._outcomes.append({"type": "asked", "id": approval_id, "outcome": what})
            await line.tell(Send(self._outcomes[-1]))

    def _note(self, approval_id: str, shown: Shown) -> None:
        known = self._shown.get(approval_id)
        if known is not None and known.seen == shown.seen:
            shown = Shown(known.peers | shown.peers, shown.seen)
        self._shown[approval_id] = shown
