"""Shared notes beside the official memory server (npm `@modelcontextprotocol/server-memory`), both over stdio, in one
run: write one more note, read one note by its name, with 1,000 and 20,000 stored; and what is left when two processes
write at once. Needs Node and npm's registry.

    python -m benchmarks.memory_server [--calls 100]
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from benchmarks.stdio import Server, ratio

PACKAGE = "@modelcontextprotocol/server-memory"
ENTRY = f"node_modules/{PACKAGE}/dist/index.js"
SIZES = (1_000, 20_000)
AT_ONCE = 100


class Notes(Protocol):
    """One store of notes and how to talk to it."""

    def start(self) -> Server: ...
    def write(self, name: str) -> tuple[str, dict[str, Any]]: ...
    def read(self, name: str) -> tuple[str, dict[str, Any]]: ...
    def fill(self, server: Server, first: int, last: int) -> None: ...


def text_of(name: str) -> str:
    """What every note says."""
    return f"{name} is a note of about a hundred characters, as agents leave them for each other every now and then."


class Memory:
    """The official memory server on a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self) -> Server:
        file = {"MEMORY_FILE_PATH": str(self._folder / "memory.jsonl")}
        return Server(str(self._folder / ENTRY), program="node", variables=file)

    def write(self, name: str) -> tuple[str, dict[str, Any]]:
        entity = {"name": name, "entityType": "note", "observations": [text_of(name)]}
        return "create_entities", {"entities": [entity]}

    def read(self, name: str) -> tuple[str, dict[str, Any]]:
        return "open_nodes", {"names": [name]}

    def fill(self, server: Server, first: int, last: int) -> None:
        entities = [self.write(f"note-{n}")[1]["entities"][0] for n in range(first, last)]
        server.call_seconds("create_entities", {"entities": entities})


class Desk:
    """Ours, at its defaults."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self) -> Server:
        return Server("-m", "mcp_server", "--database", f"sqlite:///{self._folder}/desk.db")

    def write(self, name: str) -> tuple[str, dict[str, Any]]:
        return "state_set", {"namespace": "notes", "key": name, "value": {"type": "note", "text": text_of(name)}}

    def read(self, name: str) -> tuple[str, dict[str, Any]]:
        return "state_get", {"namespace": "notes", "key": name}

    def fill(self, server: Server, first: int, last: int) -> None:
        for n in range(first, last):
            server.call_seconds(*self.write(f"note-{n}"))


def p50_ms(server: Server, calls: list[tuple[str, dict[str, Any]]]) -> list[float]:
    """How long each call took, in milliseconds."""
    return [server.call_seconds(*call) * 1000 for call in calls]


def compare(notes: dict[str, Notes], calls: int) -> dict[str, Any]:
    """Writes and reads at each size, in turn."""
    servers = {name: store.start() for name, store in notes.items()}
    figures: dict[str, Any] = {}
    have = 0
    for size in SIZES:
        seen: dict[str, dict[str, list[float]]] = {"write": {}, "read": {}}
        for name, store in notes.items():
            store.fill(servers[name], have, size)
            seen["write"][name] = p50_ms(servers[name], [store.write(f"new-{size}-{n}") for n in range(calls)])
            seen["read"][name] = p50_ms(servers[name], [store.read(f"note-{n * 7 % size}") for n in range(calls)])
        have = size
        for what, by_name in seen.items():
            medians = {f"{name}_ms": round(statistics.median(values), 2) for name, values in by_name.items()}
            figures[f"{what}_at_{size}"] = medians | {"ours_to_theirs": ratio(by_name["ours"], by_name["theirs"])}
    for server in servers.values():
        server.stop()
    return figures


def survivors(store: Notes) -> int:
    """How many of the notes that two processes were told are stored can be read afterwards."""
    servers = [store.start(), store.start()]

    def write(number: int) -> None:
        for n in range(AT_ONCE):
            servers[number].call_seconds(*store.write(f"both-{number}-{n}"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    reader = store.start()
    found = 0
    for name in (f"both-{number}-{n}" for number in range(2) for n in range(AT_ONCE)):
        tool, arguments = store.read(name)
        answer = reader.request("tools/call", {"name": tool, "arguments": arguments})
        found += text_of(name) in json.dumps(answer) and not answer["result"].get("isError")
    for server in (*servers, reader):
        server.stop()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", name, PACKAGE]
        subprocess.run(install, check=True, cwd=folder)
        figures = compare({"ours": Desk(folder), "theirs": Memory(folder)}, options.calls)
        for file in (*folder.glob("desk.db*"), *folder.glob("memory.jsonl")):
            file.unlink()
        left = {"ours": survivors(Desk(folder)), "theirs": survivors(Memory(folder))}
        figures["left_of_200_acknowledged_by_two_processes"] = left
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
