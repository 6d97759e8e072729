"""Record a job while somebody does it, who knows the list of tools and what was answered, and nothing else.

python -m benchmarks.first_try.record begin FILE "the job in plain words"    starts a server and waits beside it
python -m benchmarks.first_try.record call FILE '{"intent": ..., "tool": ..., "arguments": {...}}'
python -m benchmarks.first_try.record judge FILE first|second|not "why"      of the last intent, by who did it
python -m benchmarks.first_try.record other FILE '{"wait_seconds": 1}'        or {"server": 2}, {"kill": 2}
python -m benchmarks.first_try.record end FILE

`call` prints what a model would read: the text of the answer. Ids and other words of earlier answers are written into
the file as places, so that it can be played again.
"""

import argparse
import json
import os
import socket
import socketserver
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.first_try.__main__ import Play

WORD_CHARACTERS_MIN = 8


def places(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each text of an answer that is long enough to be nobody's guess, with where it stands."""
    if isinstance(value, str) and len(value) >= WORD_CHARACTERS_MIN:
        yield value, path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in members:
        yield from places(one, f"{path}.{name}")


def placed(value: Any, known: dict[str, str]) -> Any:
    """The same with a place for each text that an earlier answer gave."""
    if isinstance(value, dict):
        return {name: placed(one, known) for name, one in value.items()}
    if isinstance(value, list):
        return [placed(one, known) for one in value]
    return f"{{{known[value]}}}" if isinstance(value, str) and value in known else value


class Recorder:
    """One job under way."""

    def __init__(self, path: Path, job: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._play = Play(Path(self._folder.name))
        self._path, self._known = path, dict[str, str]()
        self._said: dict[str, Any] = {"job": job, "steps": []}

    def do(self, word: str, given: Any) -> str:
        """One command; what is printed."""
        steps = self._said["steps"]
        if word == "call":
            return self._call(given)
        if word == "judge":
            steps[-1] |= {"went": given[0], "why": given[1]} if given[1] else {"went": given[0]}
        else:
            steps.append(given)
            self._play.step(given)
        self._write()
        return "noted"

    def _call(self, step: dict[str, Any]) -> str:
        result = self._play.client(step.get("person", "yes")).call(step["tool"], step["arguments"])
        text = "\n".join(one.get("text", "") for one in result["content"])
        steps, arguments = self._said["steps"], placed(step["arguments"], self._known)
        # What is asked a second time for one purpose is the second try.
        if steps and steps[-1].get("intent") == step["intent"] and steps[-1].get("tool"):
            steps[-1] |= {"second": arguments, "refused": steps[-1].pop("answered")}
            if steps[-1]["tool"] != step["tool"]:
                steps[-1]["second_tool"] = step["tool"]
            save = steps[-1]["save"]
        else:
            save = f"s{len(steps)}"
            steps.append({**step, "arguments": arguments, "save": save})
        steps[-1]["answered"] = text[:400]
        for found, where in places(result.get("structuredContent", {}), save):
            if not result.get("isError"):
                self._known.setdefault(found, where)
        self._write()
        return text

    def _write(self) -> None:
        self._path.write_text(json.dumps(self._said, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def close(self) -> None:
        """End the servers."""
        for step in self._said["steps"]:
            step.pop("answered", None)
            step.pop("refused", None)
        self._write()
        self._play.close()
        self._folder.cleanup()


def wait_beside(path: Path, job: str) -> None:
    """Do what is sent until the end."""
    recorder = Recorder(path, job)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            word, given = json.loads(self.rfile.readline())
            if word == "end":
                server.ending = True  # type: ignore[attr-defined]
                return
            try:
                said = recorder.do(word, given)
            except Exception as error:  # whoever plays sees it and goes on
                said = f"{type(error).__name__}: {error}"
            self.wfile.write(said.encode())

    with socketserver.UnixStreamServer(_socket(path), Handler) as server:
        server.ending = False  # type: ignore[attr-defined]
        while not server.ending:  # type: ignore[attr-defined]
            server.handle_request()
    recorder.close()
    Path(_socket(path)).unlink()


def _socket(path: Path) -> str:
    return f"{tempfile.gettempdir()}/first-try-{os.getuid()}-{path.stem}.sock"


def send(path: Path, word: str, given: Any) -> str:
    """One command to the recorder of a job."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(_socket(path))
        connection.sendall(json.dumps([word, given]).encode() + b"\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def main() -> None:
    """One command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("word", choices=["begin", "beside", "call", "judge", "other", "end"])
    parser.add_argument("file", type=Path)
    parser.add_argument("rest", nargs="*")
    options = parser.parse_args()
    if options.word == "beside":
        wait_beside(options.file, options.rest[0])
    elif options.word == "begin":
        again = [sys.executable, "-m", "benchmarks.first_try.record", "beside", str(options.file), *options.rest]
        subprocess.Popen(again, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not Path(_socket(options.file)).exists():
            time.sleep(0.05)
    elif options.word == "judge":
        print(send(options.file, "judge", [*options.rest, ""][:2]))
    else:
        print(send(options.file, options.word, json.loads(options.rest[0]) if options.rest else None))


if __name__ == "__main__":
    main()
