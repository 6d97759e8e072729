"""Looking at a PostgreSQL server without changing it: for `doctor`."""

from typing import Any

from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.schemas import OWN, quoted
from mcp_server.kernel.times import steady_clock, system_clock
from mcp_server.persistence.migrate import migrations
from mcp_server.persistence.postgres.backend import PostgresBackend
from mcp_server.persistence.postgres.clock import LOOKS_MAX, NOW, OFF_MIN, Answer, off_by
from mcp_server.persistence.postgres.schema import own_or_empty
from mcp_server.upkeep.findings import Finding
from mcp_server.upkeep.verification import inspect_documents

MANY_ROWS = 1000
"""More than that, and a planner that has never looked chooses badly."""
_NOT_CLEANED = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r'
  AND (current_setting('autovacuum') = 'off' OR lower(c.reloptions::text) ~ 'autovacuum_enabled=(false|off|0|no)')
ORDER BY c.relname
"""
_NOT_ANALYSED = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r' AND c.reltuples <= 0 AND pg_stat_get_live_tuples(c.oid) > %s
ORDER BY c.relname
"""


def inspect_server(backend: PostgresBackend) -> list[Finding]:
    """What is true of a server and the desk on it."""
    try:
        connection = backend.server.connect()
    except OpsError as error:
        remedy = "Start the server, or correct the URL."
        return [Finding("database_connection", False, error.wrong, error.message[len(error.wrong) :].strip() or remedy)]
    try:
        return _looked_at(connection, backend)
    except backend.server.errors as error:
        return [Finding("database_connection", False, backend.server.explain(error).message)]
    finally:
        connection.close()


def _looked_at(connection: Any, backend: PostgresBackend) -> list[Finding]:
    (version,) = connection.execute("SHOW server_version").fetchone()
    between = " Something such as PgBouncer stands between, and keeps sessions whole." * bool(backend.server.is_pooled)
    answers = Finding("database_connection", True, f"PostgreSQL {version} at {backend.name} answers.{between}")
    schema = _schema(connection, backend)
    found = [answers, schema, _clock(connection), _locked(backend)]
    is_there = connection.execute("SELECT to_regclass('migrations')").fetchone() != (None,)
    if not schema.ok or not is_there:
        return found
    found += [_cleaned(connection), _analysed(connection)]
    (newest,) = connection.execute("SELECT MAX(number) FROM migrations").fetchone()
    return found + ([inspect_documents(connection)] if newest == migrations("postgres")[-1].number else [])


def _schema(connection: Any, backend: PostgresBackend) -> Finding:
    schema = backend.server.schema
    try:
        is_there = own_or_empty(connection, schema, backend.name)
    except OpsError as error:
        return Finding("database_schema", False, error.wrong, error.message[len(error.wrong) :].strip())
    if not is_there:
        return Finding("database_schema", True, f"The first start makes the desk in the schema {schema}.")
    why = f"; new ones are made in {OWN}" if schema == "public" else ""
    return Finding("database_schema", True, f"The desk lies in the schema {schema}{why}.")


def _clock(connection: Any) -> Finding:
    """Whether this machine's clock is the server's."""
    answers: list[Answer] = []
    for _ in range(LOOKS_MAX):
        asked = steady_clock()
        (now,) = connection.execute(NOW).fetchone()
        answers.append(Answer(now, asked, steady_clock()))
    best = min(answers, key=lambda answer: answer.within)
    off = system_clock() - steady_clock() - best.began
    detail = f"This machine's clock is {off_by(off)} the database server's, by which everything goes."
    if abs(off) <= OFF_MIN:
        return Finding("server_clock", True, detail)
    remedy = "Set this machine's clock right (NTP): its log, and what people see of its time, are off by that."
    return Finding("server_clock", True, detail, remedy, warns=True)


def _locked(backend: PostgresBackend) -> Finding:
    blocker = backend.server.blocker()
    if blocker is None:
        return Finding("writing", True, "No transaction keeps others waiting.")
    remedy = f"Let its program go on, or end it: SELECT pg_terminate_backend({blocker.pid})."
    return Finding("writing", False, f"Others wait for a transaction that does not end: {blocker}.", remedy)


def _cleaned(connection: Any) -> Finding:
    """Whether the server clears away what is dead, which a queue makes a lot of."""
    tables = _names(connection.execute(_NOT_CLEANED).fetchall())
    if not tables:
        return Finding("autovacuum", True, "Autovacuum is on.")
    remedy = "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf(); and for a table: ALTER TABLE ... RESET "
    detail = f"Autovacuum is off for {tables}: what was changed stays on the disk, and every claim has to pass it."
    return Finding("autovacuum", True, detail, f"{remedy}(autovacuum_enabled).", warns=True)


def _analysed(connection: Any) -> Finding:
    """Whether the planner knows the tables."""
    rows = connection.execute(_NOT_ANALYSED, (MANY_ROWS,)).fetchall()
    if not rows:
        return Finding("statistics", True, "The planner knows every table that has many rows.")
    remedy = "Run: " + "; ".join(f"ANALYZE {quoted(name)}" for (name,) in rows) + "."
    detail = f"These tables have many rows and were never analysed: {_names(rows)}."
    return Finding("statistics", True, detail, remedy, warns=True)


def _names(rows: list[tuple[str]]) -> str:
    shown = ", ".join(name for (name,) in rows[:5])
    return shown + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
