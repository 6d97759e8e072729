"""Progress of long commands: a bar on stderr for a person who looks on; where that is no terminal, nothing."""

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

import click

from mcp_server.upkeep.watching import Watch, unwatched

STEPS = 200
"""In how many steps a bar grows at most."""


@contextmanager
def progress(label: str) -> Generator[Watch]:
    """A bar, which grows as it is told to."""
    if not sys.stderr.isatty():
        yield unwatched
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def watch(done: int, total: int) -> None:
            bar.length = total
            if done >= total or done - bar.pos > total // STEPS:  # drawing takes longer than most of what is done
                bar.update(done - bar.pos)

        yield watch


def read_with(watch: Watch, lines: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Lines of a file of some size, told of as they are read."""
    done = 0
    for line in lines:
        yield line
        done += len(line)
        watch(done, total)
