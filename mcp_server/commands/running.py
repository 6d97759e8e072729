"""Running what a command does: settings, log, event loop; a refusal becomes one line and an exit code."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from typing import Any

import anyio
import click

from mcp_server.config import Settings, load_settings
from mcp_server.kernel.errors import OpsError


def run(
    flags: Mapping[str, Any],
    main: Callable[[Settings], Awaitable[None]],
    prepare: Callable[[Settings], None] | None = None,
) -> None:
    """Read the settings and run `main` in an event loop, after `prepare`, which may take its time outside of one."""
    try:
        settings = load_settings(**flags)
        from mcp_server.observability.logs import configure_logs

        configure_logs(settings.log.level, settings.log.format)
        if prepare is not None:
            prepare(settings)
        anyio.run(main, settings, backend_options=loop_options(settings))
    except OpsError as error:
        click.echo(f"data-mcp-server-agent: {error.message}", err=True)
        sys.exit(2 if error.code == "validation" else 1)


def loop_options(settings: Settings, system: str = sys.platform) -> dict[str, Any]:
    """Which event loop runs a command. uvloop saves an eighth of a call over HTTP, where it exists; over stdio loading
    it costs more than it saves."""
    if system == "win32":
        from mcp_server.persistence.event_loops import loop_factory

        factory = loop_factory(settings.database_url, system)
        return {} if factory is None else {"loop_factory": factory}
    return {"use_uvloop": settings.transport != "stdio" and find_spec("uvloop") is not None}
