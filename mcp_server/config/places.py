"""From settings to the folders of this server."""

from pathlib import Path

from mcp_server.config.model import Settings, default_database


def beside_the_database(settings: Settings) -> Path:
    """The folder of an SQLite database, else the one for user data."""
    url = settings.database_url
    file = Path(url.removeprefix("sqlite:///")).expanduser() if url.startswith("sqlite:///") else default_database()
    return file.absolute().parent


def logs_folder(settings: Settings) -> Path:
    """Where instances' logs lie: beside an SQLite database, else in the user data folder."""
    return settings.supervisor.folder or beside_the_database(settings) / "instances"


def deployments_folder(settings: Settings) -> Path:
    """Where what deployments make is kept: beside an SQLite database, else in the user data folder."""
    return settings.deployments_folder or beside_the_database(settings) / "deployments"


def kept_folders(settings: Settings) -> list[Path]:
    """Where this server alone writes, besides the outbox: logs, what deployments make; and the folder of the database,
    where nobody chose another."""
    own = [] if settings.database else [beside_the_database(settings)]
    return [logs_folder(settings), deployments_folder(settings), *own]


def values_file(settings: Settings) -> Path:
    """Where the address is kept at which Workers on this machine find the values of documents, once one needs it."""
    return deployments_folder(settings) / "kv.json"
