"""Progress of long commands: a bar on stderr for a person who looks on, nothing where that is no terminal."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

Step = Callable[[int], None]
"""Called with how much more has been done."""


@contextmanager
def progress(label: str, length: int) -> Generator[Step]:
    """A bar of some length, which the caller moves on; it is gone from the line once all is done or refused."""
    if length == 0 or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update
