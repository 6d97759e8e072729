"""Progress of long commands: a bar on stderr for a person who looks on; where that is no terminal, nothing."""

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

import click

from mcp_server.upkeep.watching import Watch, unwatched


@contextmanager
def progress(label: str) -> Generator[Watch]:
    """A bar, which grows as it is told to."""
    if not sys.stderr.isatty():
        yield unwatched
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def watch(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield watch


def read_with(watch: Watch, lines: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Lines of a file of some size, told of as they are read; where nobody knows the size, untold."""
    done = 0
    for number, line in enumerate(lines):
        yield line
        done += len(line)
        if total and (number % 500 == 0 or done >= total):
            watch(done, total)
