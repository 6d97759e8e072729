"""Bars of long commands: for who looks on at a terminal, and for nobody else."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mcp_server.commands.progress import STEPS, progress, read_with
from mcp_server.upkeep.watching import unwatched, watched


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_grows_at_a_terminal_and_nothing_is_written_elsewhere(monkeypatch: pytest.MonkeyPatch):
    for stream, shows in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress("copying") as watch:
            watch(1, 4)
            watch(4, 4)
        assert (stream.getvalue() != "") == shows
        assert (watch is unwatched) != shows
        if shows:
            assert "copying" in stream.getvalue() and "25%" in stream.getvalue() and "100%" in stream.getvalue()


def test_a_command_that_fails_or_has_nothing_to_do_leaves_the_bar_as_it_is(monkeypatch: pytest.MonkeyPatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(ValueError), progress("copying") as watch:
        watch(0, 0)
        raise ValueError
    assert "100%" not in stream.getvalue()


def test_how_many_there_are_is_found_out_only_for_who_looks_on():
    told = list[tuple[int, int]]()
    assert list(watched(range(1001), lambda done, total: told.append((done, total)), lambda: 1001)) == [*range(1001)]
    assert told == [(number, 1001) for number in range(1, 1002)]
    assert list(watched([1], unwatched, lambda: pytest.fail("nobody looks on"))) == [1]


def test_lines_are_told_of_by_their_bytes():
    told = list[tuple[int, int]]()
    lines = [b"ab\n"] * 3
    assert list(read_with(lambda done, total: told.append((done, total)), lines, 9)) == lines
    assert told == [(3, 9), (6, 9), (9, 9)]


def test_a_bar_is_drawn_in_steps_however_small_what_is_told(monkeypatch: pytest.MonkeyPatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("copying") as watch:
        for number in range(1, 10_001):
            watch(number, 10_000)
    assert stream.getvalue().count("copying") <= STEPS + 2 and "100%" in stream.getvalue()


def command(folder: Path, *arguments: str) -> list[str]:
    named = [part.replace("FOLDER", str(folder)) for part in arguments]
    return [sys.executable, "-m", "mcp_server", *named]


def at_a_terminal(argv: list[str]) -> tuple[str, str]:
    """What a command says on stdout, and on a terminal that is its stderr."""
    ours, theirs = os.openpty()
    heard = list[bytes]()

    def listen() -> None:
        try:
            while some := os.read(ours, 65536):
                heard.append(some)
        except OSError:  # the last one who held the other end is gone
            pass

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=theirs, timeout=60, text=True)
    finally:
        os.close(theirs)
        listening.join()
        os.close(ours)
    assert done.returncode == 0, b"".join(heard)
    return done.stdout, b"".join(heard).decode()


LONG = {
    "copying": ("backup", "--force", "FOLDER/copy.db", "--database", "sqlite:///FOLDER/desk.db"),
    "restoring": ("restore", "FOLDER/copy.db", "--force", "--database", "sqlite:///FOLDER/restored.db"),
    "exporting": ("export", "--force", "FOLDER/all.jsonl", "--database", "sqlite:///FOLDER/desk.db"),
    "importing": ("import", "FOLDER/all.jsonl", "--database", "sqlite:///FOLDER/new.db"),
    "importing ": ("import", "--from", "beads", "FOLDER", "--database", "sqlite:///FOLDER/taken.db"),
    "replaying": ("doctor", "--replay", "--database", "sqlite:///FOLDER/desk.db"),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_each_long_command_shows_a_bar_at_a_terminal_and_is_quiet_when_piped(tmp_path: Path):
    (tmp_path / ".beads").mkdir()
    (tmp_path / ".beads" / "issues.jsonl").write_text('{"id": "bd-1"}\n')
    begun = ("import", "--from", "beads", "FOLDER", "--database", "sqlite:///FOLDER/desk.db")
    subprocess.run(command(tmp_path, *begun), check=True, capture_output=True, timeout=60)
    for label, arguments in LONG.items():
        _, shown = at_a_terminal(command(tmp_path, *arguments))
        assert label.strip() in shown and "100%" in shown, (label, shown)
        for used in ("new.db", "taken.db"):
            for path in tmp_path.glob(f"{used}*"):
                path.unlink()
        piped = subprocess.run(command(tmp_path, *arguments), capture_output=True, text=True, timeout=60)
        assert piped.returncode == 0 and "%" not in piped.stderr and label not in piped.stderr
