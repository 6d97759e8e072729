"""SQLite as a store. Its library is chosen before anything here, or of others, imports the standard one."""

from contextlib import suppress

from mcp_server.kernel.errors import Unavailable
from mcp_server.persistence.sqlite.library import load_library

with suppress(Unavailable):  # told to whoever opens a database
    load_library()
