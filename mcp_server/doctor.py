"""`doctor`: says what is wrong with an installation, and what to do about it. Changes nothing."""

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from mcp_server import __version__
from mcp_server.config import Settings, load_settings
from mcp_server.domain.errors import OpsError
from mcp_server.persistence.inspection import Finding, inspect_database, replay_database, sqlite_version

EXIT_FINE, EXIT_PROBLEM, EXIT_SETTINGS = 0, 1, 2


def run_doctor(flags: dict[str, Any], *, as_json: bool, replay: bool = False) -> int:
    """Check everything and print it.

    Returns:
        The exit code: 0 fine, 1 a problem, 2 settings that make no sense.
    """
    try:
        settings = load_settings(**flags)
    except OpsError as error:
        _print(None, [Finding("settings", False, error.message, "Correct the setting.")], as_json=as_json)
        return EXIT_SETTINGS
    findings = [_python(), Finding("settings", True, f"{settings.transport}, role {settings.role.value}.")]
    findings += inspect_database(settings.database_url)
    if replay:
        findings.append(replay_database(settings.database_url))
    _print(settings, findings, as_json=as_json)
    return EXIT_FINE if all(finding.ok for finding in findings) else EXIT_PROBLEM


def _python() -> Finding:
    return Finding("python", True, f"Python {sys.version.split()[0]}.")


def _print(settings: Settings | None, findings: list[Finding], *, as_json: bool) -> None:
    ok = all(finding.ok for finding in findings)
    url = "" if settings is None else settings.database_url
    if as_json:
        report = {
            "ok": ok,
            "version": __version__,
            "database": _without_password(url),
            "engine": "postgres" if url.startswith("postgres") else "sqlite",
            "sqlite_version": sqlite_version(),
            "checks": [{k: v for k, v in asdict(finding).items() if v is not None} for finding in findings],
        }
        click.echo(json.dumps(report))
        return
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.detail}")
        if finding.remedy and not finding.ok:
            click.echo(f"     -> {finding.remedy}")
    click.echo(f"DataMCPServerAgent {__version__}: {'everything is fine' if ok else 'there are problems'}.")


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url
