"""Links by which clients install the server: exact, and holding what `install` would write."""

import json
import re
from base64 import b64decode
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from mcp_server.integrations.clients.buttons import links

ROOT = Path(__file__).parents[3]
BUTTON = re.compile(
    r"(?:https://(?:insiders\.vscode\.dev/redirect|cursor\.com/\w+/install-mcp|lmstudio\.ai/install-mcp)|goose://)[^\s)\">]+"
)
INNER = "eyJjb21tYW5kIjoidXZ4IiwiYXJncyI6WyJkYXRhLW1jcC1zZXJ2ZXItYWdlbnQiXX0%3D"
TYPED = "%7B%22type%22%3A%22stdio%22%2C%22command%22%3A%22uvx%22%2C%22args%22%3A%5B%22data-mcp-server-agent%22%5D%7D"


def test_the_links_are_as_each_client_documents_them():
    assert links() == {
        "vscode": f"https://insiders.vscode.dev/redirect/mcp/install?name=desk&config={TYPED}",
        "vscode-insiders": f"https://insiders.vscode.dev/redirect/mcp/install?name=desk&config={TYPED}&quality=insiders",
        "vscode-scheme": f"vscode:mcp/install?%7B%22name%22%3A%22desk%22%2C{TYPED.removeprefix('%7B')}",
        "cursor": f"https://cursor.com/en/install-mcp?name=desk&config={INNER}",
        "cursor-scheme": f"cursor://anysphere.cursor-deeplink/mcp/install?name=desk&config={INNER}",
        "lm-studio": f"https://lmstudio.ai/install-mcp?name=desk&config={INNER}",
        "lm-studio-scheme": f"lmstudio://add_mcp?name=desk&config={INNER}",
        "goose": "goose://extension?cmd=uvx&arg=data-mcp-server-agent&timeout=300&id=desk&name=desk"
        "&description=The%20operations%20desk%20for%20AI%20agents",
    }


def test_the_links_hold_the_command_of_the_index():
    query = parse_qs(urlsplit(links()["cursor"]).query)
    assert json.loads(b64decode(query["config"][0])) == {"command": "uvx", "args": ["data-mcp-server-agent"]}
    whole = json.loads(unquote(links()["vscode-scheme"].removeprefix("vscode:mcp/install?")))
    assert whole == {"name": "desk", "type": "stdio", "command": "uvx", "args": ["data-mcp-server-agent"]}


def test_the_buttons_of_pages_are_these_links():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    found = [link for page in pages for link in BUTTON.findall(page.read_text("utf-8"))]
    assert len(set(found)) >= 3 and set(found) <= set(links().values())
