"""Links by which a client installs our server at a click, where it documents one. They start what the index has."""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from mcp_server.integrations.clients.entries import NAME, PROGRAM, Started, entry_of
from mcp_server.integrations.clients.records import BY_KEY, Shape

_DESCRIPTION = "The operations desk for AI agents"


def links() -> dict[str, str]:
    """The links by client; the ones of `vscode` and `cursor` work where a page strips schemes that it does not know."""
    typed = _entry(BY_KEY["vscode"].shape)
    inner = b64encode(_json(_entry(Shape())).encode()).decode()
    config = urlencode({"name": NAME, "config": inner}, quote_via=quote)
    page = f"name={NAME}&config={quote(_json(typed), safe='')}"
    return {
        "vscode": f"https://insiders.vscode.dev/redirect/mcp/install?{page}",
        "vscode-insiders": f"https://insiders.vscode.dev/redirect/mcp/install?{page}&quality=insiders",
        "vscode-scheme": f"vscode:mcp/install?{quote(_json({'name': NAME, **typed}), safe='')}",
        "cursor": f"https://cursor.com/en/install-mcp?{config}",
        "cursor-scheme": f"cursor://anysphere.cursor-deeplink/mcp/install?{config}",
        "lm-studio": f"https://lmstudio.ai/install-mcp?{config}",
        "lm-studio-scheme": f"lmstudio://add_mcp?{config}",
        "goose": "goose://extension?" + urlencode(_goose(), quote_via=quote),
    }


def _entry(shape: Shape) -> dict[str, Any]:
    """As `install` writes it, but for variables: whoever clicks names the agent later, if at all."""
    return {key: value for key, value in entry_of(shape, NAME, Started(("uvx", PROGRAM), {})).items() if value != {}}


def _goose() -> Mapping[str, str]:
    return {"cmd": "uvx", "arg": PROGRAM, "timeout": "300", "id": NAME, "name": NAME, "description": _DESCRIPTION}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
