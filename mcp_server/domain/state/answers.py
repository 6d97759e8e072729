"""What writes of documents answer."""

from mcp_server.domain.state.plans import numbers_after
from mcp_server.domain.state.transactions import Written
from mcp_server.domain.state.views import PatchedResult, RestoredResult, SetResult, document_view, replaced_view
from mcp_server.kernel.call import Call
from mcp_server.kernel.times import iso_or_none


async def set_answer(call: Call, done: Written) -> SetResult:
    """What a write answers, without the value."""
    del call
    return SetResult(
        document=document_view(done.document.fields()).evolved({"hint": done.hint}),
        merged=done.merged,
        others_changed=list(done.others) or None,
        replaced=replaced_view(done.replaced),
        was_to_expire_at=iso_or_none(done.ended_at),
    )


async def restored_answer(call: Call, done: Written) -> RestoredResult:
    """What a restoration answers: which version it is again."""
    del call
    return RestoredResult(
        document=document_view(done.document.fields()),
        replaced=replaced_view(done.replaced),
        is_again=done.again,
        was_to_expire_at=iso_or_none(done.ended_at),
    )


async def patched_answer(call: Call, done: Written) -> PatchedResult:
    """What a patch answers, and what the numbers are that it counted."""
    del call
    numbers = {} if done.patched is None else numbers_after(*done.patched)
    return PatchedResult(document=document_view(done.document.fields()), now=numbers or None)
