"""The tool that lets several writes land together."""

from mcp_server.domain.commit.model import CommitCalls
from mcp_server.domain.commit.service import CommitService, Committed
from mcp_server.kernel.authority import Permission
from tools.email import say_kept
from tools.repeats import is_whole_repeat, say_repeats
from tools.spec import Hints, Tool

_ALL = {1: "It landed.", 2: "Both landed together."}


def _say(result: Committed) -> str:
    if result.replayed:
        return "This key was used for these very calls: they landed then, and nothing was done now."
    count = len(result.results)
    remarks = tuple(f"But {one}" for one in result.warnings or ())
    if result.dry_run:
        would = "It would land" if count == 1 else f"All {count} would land together"
        return " ".join((f"{would}. This was a dry run: nothing landed.", *remarks))
    landed = _ALL.get(count, f"All {count} landed together.")
    if all(map(is_whole_repeat, result.results)):
        landed = "Nothing new: " + ("it was done before." if count == 1 else f"all {count} were done before.")
    told = (*say_repeats(result.results, "calls"), *say_kept(result.results))
    return " ".join((landed, *told, *remarks))


TOOLS = (
    Tool(
        name="commit",
        title="Write all or nothing",
        description="Several writes in one transaction: all land, or none; none that waits, asks, claims or reads. "
        "Where an id stands, not in a value, '@0.0' is the first thing the first call made.",
        toolset="system",
        permission=Permission.COMMIT,
        hints=Hints(read_only=False, destructive=True, idempotent=False, open_world=True),
        arguments=CommitCalls,
        result=Committed,
        does=lambda desk: desk.get(CommitService).commit,
        say=_say,
    ),
)
