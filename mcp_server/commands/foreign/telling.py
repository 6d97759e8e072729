"""What became of foreign items, in words."""

from collections.abc import Iterator, Sequence

from mcp_server.commands.foreign.item import Mapped
from mcp_server.commands.foreign.taking import Report
from mcp_server.kernel.lines import one_line

LINES_MAX = 20
"""How many of the changes and of the notes are shown."""


def table(maps: Mapped) -> str:
    """What maps to what, in two columns."""
    width = max(len(there) for there, _ in maps)
    return "\n".join(f"{there:<{width}}  ->  {here}" for there, here in maps)


def told(report: Report, *, is_dry: bool) -> Iterator[str]:
    """The counts, what is different and what could not be kept, line by line."""
    new = "would be created" if is_dry else "created"
    later = f" ({report.later} of them put off there)" if report.later else ""
    yield (
        f"{report.items} items: {report.created} tasks {new}{later}, {report.here} here already, "
        f"{report.finished} finished there, {report.dropped} given up there."
    )
    yield from _some("Different there, and left here as it is", report.changed)
    yield from _some("Not as it was there", report.notes)
    if is_dry:
        yield "Nothing was changed: this was a dry run."


def _some(heading: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"{heading}:"
        yield from (f"  {one_line(line)}" for line in lines[:LINES_MAX])
    if lines[LINES_MAX:]:
        yield f"  ... and {len(lines) - LINES_MAX} more"
