"""The tool that lets several writes land together."""

from mcp_server.domain.commit.model import CommitCalls
from mcp_server.domain.commit.service import CommitService, Committed
from mcp_server.kernel.authority import Permission
from tools.email import say_kept
from tools.repeats import is_whole_repeat, say_repeats
from tools.spec import Hints, Tool


def _together(count: int) -> str:
    return {1: "It landed.", 2: "Both landed together."}.get(count, f"All {count} landed together.")


def _before(count: int) -> str:
    return "Nothing new: it was done before." if count == 1 else f"Nothing new: all {count} were done before."


def _say(result: Committed) -> str:
    if result.replayed:
        return "This key was used for these very calls: they landed then, and nothing was done now."
    said = _say_tried(result) if result.dry_run else _say_landed(result)
    return " ".join((said, *(f"But {one}" for one in result.warnings or ())))


def _say_tried(result: Committed) -> str:
    count = len(result.results)
    would = "It would land" if count == 1 else f"All {count} would land together"
    return f"{would}. This was a dry run: nothing landed."


def _say_landed(result: Committed) -> str:
    # What is said first is what a reader takes for all there is: a repeat must not begin as a success.
    is_new = not all(map(is_whole_repeat, result.results))
    landed = (_together if is_new else _before)(len(result.results))
    return " ".join((landed, *say_repeats(result.results, "calls"), *say_kept(result.results)))


TOOLS = (
    Tool(
        name="commit",
        title="Write all or nothing",
        description="Several writes, all or none; not approvals_request, waits, claims or "
        "reads. Where an id stands, not in a value, '@0.0' is the first thing the first call made.",
        toolset="system",
        permission=Permission.COMMIT,
        hints=Hints(read_only=False, destructive=True, idempotent=False, open_world=True),
        arguments=CommitCalls,
        result=Committed,
        does=lambda desk: desk.get(CommitService).commit,
        say=_say,
    ),
)
