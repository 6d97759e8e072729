"""The number that moves with what callers are let in by."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mcp_server.persistence.sqlite.mark import Mark


class Marked(RuleBasedStateMachine):
    """Writers that change something and move the mark, of which some die on the way, and a reader that remembers what
    it saw for as long as the mark stays."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        path = Path(self.folder.name) / "desk.db.lock"
        self.writer, self.reader = Mark(path), Mark(path)
        self.truth = 0
        self.remembered: tuple[bytes, int] | None = None
        self.under_way = self.writer.moving()
        self.is_moving = False
        self.died: list[AbstractContextManager[None]] = []
        """Kept: who is dead does not move the mark, as a generator does when it is thrown away."""

    def teardown(self) -> None:
        for one in (*self.died, *([self.under_way] if self.is_moving else [])):
            one.__exit__(None, None, None)
        self.writer.close()
        self.reader.close()
        self.folder.cleanup()

    @precondition(lambda self: not self.is_moving)
    @rule()
    def begin(self) -> None:
        self.under_way = self.writer.moving()
        self.under_way.__enter__()
        self.is_moving = True

    @precondition(lambda self: self.is_moving)
    @rule()
    def commit(self) -> None:
        self.truth += 1

    @precondition(lambda self: self.is_moving)
    @rule()
    def end(self) -> None:
        self.under_way.__exit__(None, None, None)
        self.is_moving = False

    @precondition(lambda self: self.is_moving)
    @rule()
    def die(self) -> None:
        self.died.append(self.under_way)
        self.is_moving = False

    @rule()
    def read(self) -> None:
        mark = self.reader.read()
        self.remembered = None if mark is None else (mark, self.truth)

    @invariant()
    def is_never_behind(self) -> None:
        if self.remembered is not None and self.remembered[0] == self.reader.read():
            assert self.remembered[1] == self.truth


Marked.TestCase.settings = settings(deadline=None)
test_what_is_remembered_by_the_mark_is_never_behind_whoever_dies_on_the_way = Marked.TestCase


def test_a_change_after_one_that_broke_off_is_told_again(tmp_path: Path):
    mark = Mark(tmp_path / "lock")
    first = mark.read()
    broken_off = mark.moving()
    broken_off.__enter__()
    assert mark.read() is None
    with mark.moving():
        assert mark.read() is None
    assert mark.read() not in (None, first)
    mark.close()


def test_it_says_nothing_once_its_file_is_gone(tmp_path: Path):
    mark = Mark(tmp_path / "lock")
    assert mark.read() == b""
    (tmp_path / "lock").unlink()
    assert mark.read() is None
    mark.close()


def test_nothing_is_changed_where_it_cannot_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mark, changed = Mark(tmp_path / "lock"), False

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"), mark.moving():
        changed = True
    assert not changed
    mark.close()
