"""Whatever is done to a client's file, in whatever order, others' servers stay, and ours goes without a trace."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.integrations.clients.changing import Wanted, found, installed, removed
from mcp_server.integrations.clients.entries import AGENT, Started, entry_of
from mcp_server.integrations.clients.formats import changed, entries, format_of
from mcp_server.integrations.clients.records import BY_KEY, Client

STEPS = st.lists(st.sampled_from(["install", "rename", "remove", "other"]), max_size=8)
BEGINNINGS = {
    "jsonc": ["", "{}", '{"mcpServers": {}}', '{ // mine\n\t"a": [1,],\n}\n', "\ufeff{\r\n}"],
    "toml": ["", "a = 1", "# mine\r\n[other]\r\nb = 2\r\n"],
    "yaml": ["", "a: 1", "extensions: {}\n", "# mine\nextensions:\nb: 2\n"],
    "yaml list": ["", "name: mine\n", "mcpServers: []\n"],
}


class File:
    """A client's file and the copies beside it."""

    def __init__(self, client: Client, text: str | None) -> None:
        self.client, self.copies = client, list[bytes]()
        self.beginning = self.data = None if text is None else text.encode()
        self.others = 0

    def install(self, agent: str, *, keep: bool) -> None:
        wanted = Wanted(Started(("uvx", "data-mcp-server-agent"), {AGENT: agent}), keep_agent=keep)
        self._take(installed(self.client, Path("file"), self.data, wanted).after)

    def remove(self) -> None:
        self._take(removed(self.client, Path("file"), self.data, self.copies).after)

    def other(self) -> None:
        """Somebody adds a server by hand."""
        name = f"other-{self.others}"
        self.others += 1
        text = (self.data or b"").decode("utf-8-sig")
        entry = entry_of(self.client.shape, name, Started(("node", name), {}))
        self.data = changed(format_of(self.client.format), text, self.client.path, name, entry).encode()

    def servers(self) -> set[str]:
        format_ = format_of(self.client.format)
        return set(entries(format_, format_.read((self.data or b"").decode("utf-8-sig")), self.client.path))

    def _take(self, after: bytes | None) -> None:
        if after != self.data:
            self.copies = [*([] if self.data is None else [self.data]), *self.copies]
        self.data = after


@pytest.mark.slow
@pytest.mark.parametrize("key", ["cursor", "codex", "goose", "continue"])
@settings(max_examples=25)
@given(st.data(), STEPS)
def test_ours_comes_and_goes_and_others_stay(key: str, data: st.DataObject, steps: list[str]):
    client = BY_KEY[key]
    file = File(client, data.draw(st.sampled_from([None, *BEGINNINGS[client.format]])))
    do = {
        "install": lambda: file.install("scribe", keep=True),
        "rename": lambda: file.install("other", keep=False),
        "remove": file.remove,
        "other": file.other,
    }
    for step in steps:
        do[step]()
        ours = {"desk"} if found(client, file.data)[1] is not None else set[str]()
        assert file.servers() == ours | {f"other-{number}" for number in range(file.others)}
        assert (step in ("install", "rename")) <= bool(ours) and (step == "remove") <= (not ours)
    file.remove()
    if not file.others:
        assert file.data == file.beginning
