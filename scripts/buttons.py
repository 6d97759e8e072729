#!/usr/bin/env python3
"""The links by which clients install the server at a click, one a line: client, tab, link."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mcp_server.integrations.clients.buttons import links

for client, link in links().items():
    print(f"{client}\t{link}")
