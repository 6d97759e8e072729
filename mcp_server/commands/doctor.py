"""`doctor`: says what is wrong with an installation, and what to do about it. Changes nothing."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mcp_server import __version__
from mcp_server.commands.options import AS_JSON, SettingsCommand
from mcp_server.commands.progress import progress
from mcp_server.config import Group, Settings, load_settings
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.times import system_clock
from mcp_server.persistence.database import without_credentials
from mcp_server.upkeep.dueness import inspect_due
from mcp_server.upkeep.findings import Finding
from mcp_server.upkeep.inspection import inspect_database, replay_database, sqlite_version
from mcp_server.upkeep.keys import inspect_keys
from mcp_server.upkeep.modes import inspect_modes

EXIT_FINE, EXIT_PROBLEM, EXIT_SETTINGS = 0, 1, 2


@click.command("doctor", cls=SettingsCommand, groups=tuple(Group))
@AS_JSON
@click.option("--replay", is_flag=True, help="Rebuild the database from its events elsewhere, and compare.")
def doctor(as_json: bool, replay: bool, **flags: Any) -> None:
    """Check database, permissions, versions and configuration. Exit code 0: fine, 1: a problem, 2: bad settings."""
    sys.exit(run_doctor(flags, as_json=as_json, replay=replay))


def run_doctor(flags: dict[str, Any], *, as_json: bool, replay: bool = False) -> int:
    """Check everything and print it.

    Returns:
        The exit code: 0 fine, 1 a problem, 2 settings that make no sense.
    """
    try:
        settings = load_settings(**flags)
        _ = settings.database_url  # there may be no place for it
    except OpsError as error:
        _print(None, [Finding("settings", False, error.message, "Correct the setting.")], as_json=as_json)
        return EXIT_SETTINGS
    refused = _refused(settings)
    findings = [
        _python(),
        *(refused or [_fine(settings), _links(settings), *_console(settings), *_issuers(settings), _calls(settings)]),
        *inspect_database(settings.database_url),
        *_modes(settings),
    ]
    findings += _inside(settings, {finding.name: finding.ok for finding in findings}, refused=bool(refused))
    if replay:
        with progress("replaying") as watch:
            findings.append(replay_database(settings.database_url, watch))
    _print(settings, findings, as_json=as_json)
    return EXIT_SETTINGS if refused else _exit_code(findings)


def _inside(settings: Settings, told: Mapping[str, bool], *, refused: bool) -> list[Finding]:
    """What is found in a database that is there, whole and up to date, and, where it can be tried, by writing to it."""
    if not told.get("documents"):
        return []
    due = inspect_due(settings.database_url) if told.get("writing", True) else []
    keys = inspect_keys(settings.database_url, system_clock())
    return [*due, *keys, *([] if refused else _rules(settings))]


def _exit_code(findings: list[Finding]) -> int:
    return EXIT_FINE if all(finding.ok for finding in findings) else EXIT_PROBLEM


def _refused(settings: Settings) -> list[Finding]:
    from mcp_server.wiring import refusals  # takes a second

    return [Finding("settings", False, error.message, "Correct the setting.") for error in refusals(settings)]


def _fine(settings: Settings) -> Finding:
    from mcp_server.wiring import outbox_folder  # takes a second

    mails = f" Mails become files in {outbox_folder(settings)}." if settings.email.provider == "file" else ""
    return Finding("settings", True, f"{settings.transport}, role {settings.role.value}.{mails}")


def _links(settings: Settings) -> Finding:
    """Where a person finds the links by which approvals are decided."""
    from mcp_server.wiring import links_base  # takes a second

    at_terminal = "`data-mcp-server-agent approvals list`, at a terminal, prints the links of those who are asked"
    if links_base(settings) is None:
        detail = "This server has no pages to decide on, so there are none (DATAMCP_CONSOLE_PORT, DATAMCP_PUBLIC_URL)."
    elif settings.email.provider == "file":
        detail = f"{at_terminal}; mails in the outbox folder hold none."
    else:
        detail = f"In the mail to each of those who are asked; {at_terminal}."
    return Finding("approval_links", True, detail)


def _console(settings: Settings) -> list[Finding]:
    """Whether the port for the page can be had."""
    port = settings.console_port
    if port is None or settings.transport != "stdio":
        return []
    from mcp_server.runtime.console import console_problem  # takes a second

    problem = asyncio.run(console_problem(port))
    if problem is None:
        return [Finding("console", True, f"Port {port} is free, or a server of this machine has the page there.")]
    return [Finding("console", False, problem.message)]


def _issuers(settings: Settings) -> list[Finding]:
    """Those whose tokens are taken over HTTP."""
    from mcp_server.issuing import inspect_issuers  # takes a second

    return inspect_issuers(settings)


def _calls(settings: Settings) -> Finding:
    """Whether there can be calls, and who reaches them."""
    from mcp_server.calling import inspect_calls  # takes a second

    return inspect_calls(settings)


def _rules(settings: Settings) -> list[Finding]:
    """The operator's rules, and what they would have caught."""
    if not settings.approve:
        return []
    from mcp_server.deploying import approve_rules  # takes a second
    from mcp_server.upkeep.rule_log import inspect_rules

    return inspect_rules(settings.database_url, approve_rules(settings))


def _modes(settings: Settings) -> list[Finding]:
    """Who else may look at what is kept."""
    from mcp_server.config.places import kept_folders
    from mcp_server.wiring import outbox_folder

    url = settings.database_url
    database = Path(url.removeprefix("sqlite:///")).expanduser() if url.startswith("sqlite:///") else None
    return inspect_modes(database, [outbox_folder(settings), *kept_folders(settings)])


def _python() -> Finding:
    return Finding("python", True, f"Python {sys.version.split()[0]}.")


def _print(settings: Settings | None, findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_report("" if settings is None else settings.database_url, findings)))
        return
    for finding in findings:
        click.echo(f"{_word(finding)} {finding.name}: {finding.detail}")
        if finding.remedy and (finding.warns or not finding.ok):
            click.echo(f"     -> {finding.remedy}")
    verdict = "everything is fine" if all(finding.ok for finding in findings) else "there are problems"
    click.echo(f"DataMCPServerAgent {__version__}: {verdict}.")


def _word(finding: Finding) -> str:
    if not finding.ok:
        return "FAIL"
    return "warn" if finding.warns else "ok  "


def _report(url: str, findings: list[Finding]) -> dict[str, Any]:
    return {
        "ok": all(finding.ok for finding in findings),
        "version": __version__,
        "database": without_credentials(url),
        "engine": "postgres" if url.startswith("postgres") else "sqlite",
        "sqlite_version": sqlite_version(),
        "checks": [{k: v for k, v in asdict(finding).items() if v is not None} for finding in findings],
    }
