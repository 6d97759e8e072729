"""The command line and its settings."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mcp_server import __version__
from mcp_server.__main__ import COMMANDS, command_line
from mcp_server.config import default_database, load_settings
from mcp_server.observability.logs import configure_logs
from mcp_server.observability.metrics import NoMetrics, PrometheusMetrics

cli = command_line()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DATAMCP_")}
    return subprocess.run(
        [sys.executable, "-m", "mcp_server", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=clean | environment,
    )


def test_version_and_help_are_told():
    assert run("--version").stdout.strip() == f"data-mcp-server-agent, version {__version__}"
    for command in ((), ("serve",), ("doctor",), ("demo",)):
        assert "Usage: data-mcp-server-agent" in run(*command, "--help").stdout


def test_the_demo_shows_the_main_job_from_beginning_to_end():
    done = run("demo")
    assert done.returncode == 0, done.stderr
    for step in (
        "Registered agent scribe",
        "1 queued, 1 pending",
        "Claimed 1",
        "is completed; 1 that waited for it",
        "lease_lost",
        "conflict",
        "1. start 1 replica of web (program of greeter: greeting=hello)",
        "is approved",
        "answers 200: 'hello from revision 1'",
        "answers 200: 'goodbye from revision 2'",
    ):
        assert step in done.stdout
    assert "document.set" in done.stdout and "Done." in done.stdout
    assert done.stdout.count("'hello from revision 1'") == 2, "before, and after it was rolled back"


def test_a_demo_step_that_goes_wrong_fails_the_demo(monkeypatch, capsys):
    from mcp_server.commands import demo

    async def broken(*_: object) -> None:
        raise ExceptionGroup("steps", [demo.DemoFailed("tasks_create answered nonsense")])

    monkeypatch.setattr(demo, "_demo", broken)
    assert demo.run_demo() == 1
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.slow
def test_the_doctor_is_content_with_a_fresh_installation(tmp_path: Path):
    done = run("doctor", "--database", f"sqlite:///{tmp_path}/desk.db")
    assert done.returncode == 0 and "everything is fine" in done.stdout
    report = json.loads(run("doctor", "--json", DATAMCP_DATABASE=f"sqlite:///{tmp_path}/desk.db").stdout)
    assert report["ok"] and report["version"] == __version__ and report["engine"] == "sqlite"
    assert {"name", "ok", "detail"} <= set(report["checks"][0])


@pytest.mark.slow
def test_the_doctor_names_the_problem_and_the_remedy(tmp_path: Path):
    (tmp_path / "desk.db").write_text("not a database" * 100)
    done = run("doctor", "--database", f"sqlite:///{tmp_path}/desk.db")
    assert done.returncode == 1 and "FAIL database_integrity" in done.stdout and "->" in done.stdout
    report = json.loads(run("doctor", "--json", "--database", "postgresql://u:secret@127.0.0.1:1/x").stdout)
    assert not report["ok"] and report["engine"] == "postgres" and "secret" not in json.dumps(report)
    done = run("doctor", "--json", DATAMCP_ROLE="king")
    assert done.returncode == 2 and json.loads(done.stdout)["checks"][0]["name"] == "settings"


@pytest.mark.slow
def test_a_start_that_cannot_succeed_says_why_in_one_line(tmp_path: Path):
    (tmp_path / "desk.db").write_text("not a database" * 100)
    for arguments, code, says in (
        (("--database", f"sqlite:///{tmp_path}/desk.db"), 1, "is not an SQLite database"),
        (("serve", "--toolsets", "bogus"), 2, "There is no toolset bogus"),
        (("--config", str(tmp_path / "none.toml")), 2, "cannot be read"),
        (("--read-only", "backup", "x"), 2, "No such option '--read-only'"),
        (("--databse", "x", "serve"), 2, "Did you mean one of: '--database'"),
        (("serv",), 2, "'serve'"),
    ):
        done = run(*arguments)
        assert done.returncode == code and says in done.stderr and "Traceback" not in done.stderr
        assert done.stdout == ""


def test_help_is_instant_since_it_imports_no_command():
    code = (
        "import sys; from mcp_server.__main__ import command_line\n"
        "command_line()(['--help'], standalone_mode=False); print(set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "Serve MCP clients" in done.stdout
    assert "'click'" in done.stdout and "'pydantic'" not in done.stdout and "'mcp'" not in done.stdout


def test_every_command_is_where_the_list_says():
    for name in COMMANDS:
        with click.Context(cli, info_name="desk") as context:
            found, command, rest = cli.resolve_command(context, [name, "x"])
        assert command is not None and (found, command.name, rest) == (name, name, ["x"])
        assert command.help


@pytest.mark.slow
def test_options_before_a_command_are_the_commands(tmp_path: Path):
    database = f"sqlite:///{tmp_path}/desk.db"
    done = run("--database", database, "approvals", "list")
    assert done.returncode == 0 and "Nothing waits" in done.stdout and (tmp_path / "desk.db").exists()
    context = cli.make_context("desk", ["--user", "worker", "--read-only", "doctor", "--json"])
    assert [*context._protected_args, *context.args] == ["doctor", "--user", "worker", "--read-only", "--json"]
    for arguments in (["--read-only"], ["--port=1", "--read-only"], []):
        context = cli.make_context("desk", arguments)
        assert [*context._protected_args, *context.args] == ["serve", *arguments]


def test_help_stays_help_wherever_it_stands():
    for arguments, title in (
        (("-h",), "desk [OPTIONS] COMMAND"),
        (("--help", "backup"), "desk [OPTIONS] COMMAND"),
        (("--user", "x", "-h"), "desk serve"),
        (("--user", "x", "approvals", "--help"), "desk approvals [OPTIONS] COMMAND"),
        (("--user", "x", "approvals", "list", "--help"), "desk approvals list"),
        (("worker", "--help"), "desk worker [OPTIONS] [AGENT]"),
    ):
        told = CliRunner().invoke(cli, list(arguments), prog_name="desk")
        assert told.exit_code == 0 and f"Usage: {title}" in told.output


def test_the_database_lies_in_the_users_data_folder_by_default():
    assert load_settings(database="").database_url == f"sqlite:///{default_database()}"
    assert default_database().name == "desk.db"


@pytest.mark.parametrize("form", ["json", "console"])
def test_logs_are_lines_on_stderr(form, capsys):
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        configure_logs("info", form)
        logging.getLogger("x").info("hello %s", "world")
        logging.getLogger("x").debug("hidden")
        (line,) = capsys.readouterr().err.splitlines()
        assert "hello world" in line and (form == "console" or json.loads(line)["level"] == "info")
    finally:
        root.handlers[:], root.level = before


def test_metrics_are_counted_and_read_in_prometheus_form():
    metrics = PrometheusMetrics()
    metrics.called("state_get", "ok", 0.1)
    metrics.committed(3)
    assert b'datamcp_calls_total{outcome="ok",what="state_get"} 1.0' in metrics.text()
    nothing = NoMetrics()
    nothing.called("state_get", "ok", 0.1)
    nothing.committed(3)
    assert nothing.text() == b""


def test_metrics_on_a_port_of_their_own_are_for_who_calls_this_machine_by_its_name():
    import http.client

    metrics = PrometheusMetrics()
    metrics.limited("waits")
    metrics.kept_out("unknown")
    port = metrics.serve(0)
    told: dict[str, tuple[int, bytes]] = {}
    for host in (f"127.0.0.1:{port}", "LOCALHOST", "evil.example", ""):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/metrics", headers={"Host": host})
        with connection.getresponse() as answer:
            told[host] = answer.status, answer.read()
        connection.close()
    assert [status for status, _ in told.values()] == [200, 200, 421, 421]
    assert b'datamcp_limited_total{limit="waits"} 1.0' in told["LOCALHOST"][1]
    assert b'datamcp_auth_failures_total{reason="unknown"} 1.0' in told["LOCALHOST"][1]
    assert b"datamcp" not in told["evil.example"][1]
    nothing = NoMetrics()
    nothing.limited("waits")
    nothing.kept_out("unknown")
    assert nothing.text() == b""


@pytest.mark.slow
def test_metrics_are_served_on_loopback_where_a_port_is_set(tmp_path: Path):
    import urllib.request

    from tests.ports import free_port

    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_server", "--database", f"sqlite:///{tmp_path}/x.db", "--metrics-port", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    while b"serving" not in process.stderr.readline():
        assert process.poll() is None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        assert b"datamcp_commits_total" in answer.read()
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_database_is_backed_up_restored_exported_and_imported_from_the_command_line(tmp_path: Path):
    source, copy, lines = tmp_path / "desk.db", tmp_path / "copy.db", tmp_path / "desk.jsonl"
    database = ("--database", f"sqlite:///{source}")
    assert "There is no file" in run("backup", str(copy), *database).stderr
    run("approvals", "list", *database)  # any command creates it
    done = run("backup", str(copy), *database)
    assert done.returncode == 0 and "checked" in done.stdout
    again = run("backup", str(copy), *database)
    assert again.returncode == 1 and "--force" in again.stderr
    refused = run("restore", str(copy), *database)
    assert refused.returncode == 1 and "--force" in refused.stderr
    restored = run("restore", str(copy), "--force", *database)
    assert restored.returncode == 0 and "is kept as" in restored.stdout and "count again" in restored.stdout
    logged = next(json.loads(line) for line in restored.stderr.splitlines() if '"restored"' in line)
    assert (logged["database"], logged["source"], logged["level"]) == (str(source), str(copy), "warning")
    assert run("export", str(lines), *database).returncode == 0
    assert run("export", str(lines), *database).returncode == 1
    assert run("export", "-", *database).stdout.splitlines()[1:-1] == lines.read_text().splitlines()[1:-1]
    elsewhere = ("--database", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    assert run("import", str(lines), *elsewhere).returncode == 0
    assert "cannot be read" in run("import", str(tmp_path / "missing"), *elsewhere).stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("line", [["--help"], ["doctor"], ["inbox"], ["install", "--list"]], ids="_".join)
def test_a_command_whose_output_goes_to_a_full_disk_says_so_in_one_line_and_fails(tmp_path: Path, line: list[str]):
    database = [] if "--help" in line or "--list" in line else ["--database", f"sqlite:///{tmp_path}/desk.db"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mcp_server", *line, *database],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("What this command says cannot be written: No space left on device.")
    assert "Traceback" not in done.stderr
