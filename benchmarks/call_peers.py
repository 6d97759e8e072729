"""The people of `benchmarks.calls`, in a process of their own: orders and answers are JSON lines.

{"do": "offer", "peer", "audio"} -> {"offer"}; {"do": "accept", "peer", "answer"} -> {"open": seconds}
{"do": "texts", "peer", "count"} -> {"seconds": [...]}; each comes back as a line
{"do": "leave", "peer"} -> {"gap_seconds", "clearest"}; {"do": "load"} -> {"cpu_seconds", "resident_bytes"}
"""

import asyncio
import json
import sys
import time
from typing import Any

from benchmarks.calls import usage
from mcp_server.integrations.calls import webrtc
from tests.integrations.calls.peers import Person, clearest, longest_gap_seconds

EDGE_SAMPLES = 16_000


class People:
    """Everybody who is in a call."""

    def __init__(self) -> None:
        self._there: dict[str, Person] = {}

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order and its answer."""
        if order["do"] == "load":
            return usage(None)
        if order["do"] == "offer":
            person = self._there[order["peer"]] = Person(1000.0 if order["audio"] else None)
            return {"offer": await person.offer()}
        person = self._there[order["peer"]]
        if order["do"] == "accept":
            began = time.perf_counter()
            await person.accept(order["answer"])
            await person.opened.wait()
            return {"open": time.perf_counter() - began}
        if order["do"] == "texts":
            return {"seconds": [await self._text(person, str(number)) for number in range(order["count"])]}
        await self._there.pop(order["peer"]).close()
        sound = person.sound()[EDGE_SAMPLES:-EDGE_SAMPLES]
        heard = {"gap_seconds": longest_gap_seconds(sound), "clearest": clearest(sound, 440)} if sound else {}
        return heard | {"pings": person.pings}

    async def _text(self, person: Person, text: str) -> float:
        began = time.perf_counter()
        person.say(type="text", text=text)
        await person.messages.get()
        seconds = time.perf_counter() - began
        await asyncio.sleep(0.06)  # what a peer may send in the long run
        return seconds


async def main() -> None:
    webrtc.prepare()  # a buffer as good as a browser's
    people, loop = People(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await people.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
