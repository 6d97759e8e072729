"""Play the jobs of each round and print how many steps were done at the first call and at the second.

python -m benchmarks.first_try [round_1 ...] [--show]
"""

import argparse
import json
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.first_try.client import Client

HERE = Path(__file__).parent
PLACE = re.compile(r"\{([a-z0-9_]+(?:\.[A-Za-z0-9_*]+)*)\}")


class Missing(Exception):
    """A step needs what an earlier one did not answer."""


def found(value: Any, path: list[str]) -> list[Any]:
    """What stands at a path; several where `*` stands for any member."""
    if not path:
        return [value]
    if isinstance(value, list):
        if path[0] == "*":
            return [one for member in value for one in found(member, path[1:])]
        number = int(path[0]) if path[0].lstrip("-").isdigit() else len(value)
        return found(value[number], path[1:]) if -len(value) <= number < len(value) else []
    return found(value[path[0]], path[1:]) if isinstance(value, dict) and path[0] in value else []


def filled(value: Any, saved: dict[str, Any]) -> Any:
    """The same with what was answered in its places.

    Raises:
        Missing: it was not.
    """
    if isinstance(value, dict):
        return {name: filled(one, saved) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, saved) for one in value]
    if not isinstance(value, str):
        return value
    return _filled_text(value, saved)


def _filled_text(text: str, saved: dict[str, Any]) -> Any:
    def of(place: re.Match[str]) -> Any:
        at = found(saved, place[1].split("."))
        if not at:
            raise Missing(place[1])
        return at[0]

    whole = PLACE.fullmatch(text)
    if whole is not None and whole[1].split(".")[0] in saved:
        return of(whole)
    known = re.compile("|".join(re.escape(name) for name in saved) or r"(?!)")
    return PLACE.sub(lambda place: str(of(place)) if known.match(place[1]) else place[0], text)


def holds(answer: dict[str, Any], wanted: dict[str, Any], saved: dict[str, Any]) -> str | None:
    """What of an answer is not what was wanted; None where all is."""
    for path, value in wanted.items():
        meant, seen = filled(value, saved), found(answer, path.split("."))
        if isinstance(meant, str) and meant.startswith("~"):
            right = any(meant[1:].casefold() in json.dumps(one, ensure_ascii=False).casefold() for one in seen)
        else:
            right = any(one == meant for one in seen)
        if not right:
            return f"{path} is {seen}, not {meant!r}"
    return None


class Play:
    """One job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clients: dict[int, Client] = {}
        self._here = 1
        self._saved: dict[str, Any] = {}

    def step(self, step: dict[str, Any]) -> tuple[str, str] | None:
        """Do one step; how it went and why, for one that is a call."""
        if "tool" not in step:
            self._other(step)
            return None
        client = self.client(step.get("person", "yes"))
        why = ""
        for word, name in (("first", "arguments"), ("second", "second")):
            if name not in step:
                continue
            try:
                tool = step.get("second_tool", step["tool"]) if word == "second" else step["tool"]
                trouble, answer = self._tried(client, tool, step, step[name])
            except Missing as missing:
                return "not", f"needs {missing}"
            if trouble is None:
                self._saved[step.get("save", "last")] = answer
                if step.get("went", word) in (word, "first"):
                    return word, why
                trouble = step.get("why", "not what was meant")  # no refusal, and its author was not served
            why = trouble
        return "not", why

    def close(self) -> None:
        """End every process."""
        for client in self._clients.values():
            client.close()

    def _tried(
        self, client: Client, tool: str, step: dict[str, Any], arguments: dict[str, Any]
    ) -> tuple[str | None, Any]:
        result = client.call(tool, filled(arguments, self._saved))
        answer = result.get("structuredContent", {})
        said = " ".join(one.get("text", "") for one in result["content"])
        if bool(result.get("isError")) != bool(step.get("error")):
            return said[:600], answer
        return holds(answer, step.get("expect", {}), self._saved), answer

    def client(self, person: Any) -> Client:
        """The client in use; what the person at it says."""
        if self._here not in self._clients:
            self._clients[self._here] = Client(self._folder)
        self._clients[self._here].person = person
        return self._clients[self._here]

    def _other(self, step: dict[str, Any]) -> None:
        if "wait_seconds" in step:
            time.sleep(step["wait_seconds"])
        self._here = step.get("server", self._here)
        if "kill" in step:
            self._clients.pop(step["kill"]).kill()
            self._here = 1


def play(path: Path, *, show: bool) -> Counter[str]:
    """Play one job; how many steps were done at which call."""
    counts, job = Counter[str](), json.loads(path.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        one = Play(Path(folder))
        for step in job["steps"]:
            went = one.step(step)
            if went is not None:
                counts[went[0]] += 1
                if show and went[0] != "first":
                    print(f"  {path.stem}: {step['tool']}: {step.get('intent', '')}: {went[0]}: {went[1]}")
        one.close()
    return counts


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="*", default=sorted(path.name for path in HERE.glob("round_*")))
    parser.add_argument("--show", action="store_true", help="print what was refused, and why")
    options = parser.parse_args()
    for name in options.rounds:
        total = Counter[str]()
        for path in sorted((HERE / name).glob("*.json")):
            counts = play(path, show=options.show)
            total += counts
            print(f"{name}/{path.stem}: {counts['first']} first, {counts['second']} second, {counts['not']} not")
        steps = total.total() or 1
        shares = {word: f"{total[word]} ({100 * total[word] / steps:.0f} %)" for word in ("first", "second", "not")}
        print(f"{name}: {total.total()} steps: {json.dumps(shares)}")


if __name__ == "__main__":
    main()
