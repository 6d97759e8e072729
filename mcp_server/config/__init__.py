"""Settings, said once: `model` holds them, `words` names them for people, `reading` brings them in.

A setting is a field of the model, with its type, limits, default and description. Its flag, its environment variable,
its spellings in a TOML file and its line in `--help` follow from there.
"""

from mcp_server.config.model import Group, Settings, default_database, secret
from mcp_server.config.reading import load_settings, read_settings

__all__ = ["Group", "Settings", "default_database", "load_settings", "read_settings", "secret"]
