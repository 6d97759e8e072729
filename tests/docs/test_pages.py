"""Every command, program and file that the pages for people show is run, or at least understood."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mcp_server.config import Settings
from mcp_server.config.reading import read_settings
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = {
    "needs a published package": "the package is on no index yet",
    "needs a client": "no such client is on the machines that test this",
    "needs an engine": "no container engine is on the machines that test this",
    "needs systemd": "it is a service of the whole machine",
    "takes minutes": "it is the gate itself",
    "an example": "what it names is the reader's",
    "run elsewhere": "docs/operating.md and docs/jobs.md run the same",
}
"""Why a block may be left out, in the comment before it: `<!-- not run: needs a client -->`."""
LANGUAGES = {"sh", "toml", "json", "python", "text", "ini", "yaml", ""}
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.*?) -->\n)?^```(?P<kind>\w*)(?: (?P<name>\S+))?\n(?P<text>.*?)^```$", re.M | re.S
)


class Block(NamedTuple):
    """A fenced block: what it is written in, the file that it is, what it says, why it is not run."""

    kind: str
    name: str | None
    text: str
    why: str | None


def blocks(page: Path) -> Iterator[Block]:
    """What stands in fences on a page."""
    for found in BLOCK.finditer(page.read_text("utf-8")):
        yield Block(found["kind"], found["name"], found["text"], found["why"])


def is_run(block: Block) -> bool:
    return block.why is None and block.name is None and block.kind in ("sh", "python")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_is_written_in_something_known_and_left_out_for_a_reason(page: Path):
    text = page.read_text("utf-8")
    assert text.count("\n```") == 2 * len(list(blocks(page))) - text.startswith("```"), "a fence is not closed"
    for block in blocks(page):
        assert block.kind in LANGUAGES, block.kind
        assert block.why is None or block.why in NOT_RUN, block.why


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_json_and_programs_of_a_page_can_be_read(page: Path, tmp_path: Path):
    for block in blocks(page):
        if block.kind == "json":
            json.loads(block.text)
        if block.kind == "python":
            ast.parse(block.text)
        if block.kind == "toml":
            understood(block.text, tmp_path)


def understood(text: str, folder: Path) -> None:
    """A TOML file is one of settings, or of tokens."""
    if "tokens" not in tomllib.loads(text):
        path = folder / "desk.toml"
        path.write_text(text)
        read_settings(Settings, {"config": path}, {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_link_of_a_page_leads_to_a_file_that_is_there(page: Path):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def script_of(page: Path, folder: Path) -> str:
    """What a reader who follows a page does in a shell. The files that it shows are written first."""
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for block in blocks(page):
        if block.name is not None:
            (folder / block.name).write_text(block.text)
            (folder / block.name).chmod(0o755)
        elif is_run(block):
            lines.append(block.text if block.kind == "sh" else f"python - <<'END'\n{block.text}END\n")
    return "\n".join(lines).replace("8765", str(free_port()))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(map(is_run, blocks(page)))], ids=lambda page: page.stem)
def test_a_reader_who_follows_a_page_meets_no_error(page: Path, tmp_path: Path, postgres_url: str):
    script = script_of(page, tmp_path).replace("postgresql://user@host/name", postgres_url)
    script = script.replace("/path/to/DataMCPServerAgent", str(ROOT))
    home = tmp_path / "home"
    home.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DATAMCP_", "XDG_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-x", "-c", script],
        cwd=tmp_path,
        env=clean | {"HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
