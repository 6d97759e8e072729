"""Looking at a PostgreSQL server without changing it: for `doctor`."""

from typing import Any

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.schemas import OWN, quoted
from mcp_server.kernel.times import steady_clock, system_clock
from mcp_server.persistence.holding import HOLDS_AFTER_SECONDS, log_holder
from mcp_server.persistence.migrate import migrations
from mcp_server.persistence.postgres.backend import PostgresBackend
from mcp_server.persistence.postgres.clock import LOOKS_MAX, NOW, OFF_MIN, Answer, off_by
from mcp_server.persistence.postgres.schema import own_or_empty
from mcp_server.persistence.statements import statements
from mcp_server.upkeep.dead_rows import inspect_dead_rows
from mcp_server.upkeep.findings import Finding
from mcp_server.upkeep.planning import statistics_of_postgres
from mcp_server.upkeep.verification import inspect_documents

_NOT_CLEANED = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r'
  AND lower(c.reloptions::text) ~ 'autovacuum_enabled=(false|off|0|no)'
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
    (newest,) = connection.execute("SELECT MAX(number) FROM migrations").fetchone()
    if newest != migrations("postgres")[-1].number:
        return found
    looks = (_event_log, inspect_documents, statistics_of_postgres, _cleaned, inspect_dead_rows)
    return found + [look(connection) for look in looks]


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


def _event_log(connection: Any) -> Finding:
    """Whether the newest events can be read by who goes through the log."""
    cursor = connection.execute(statements("postgres", AREAS.sql)["log_holder"], {"seconds": HOLDS_AFTER_SECONDS})
    row = cursor.fetchone()
    if row is None:
        return Finding("event_log", True, "No transaction keeps events out of the log.")
    holder = log_holder(dict(zip((column.name for column in cursor.description), row, strict=True)))
    detail = f"Events since then cannot be read in order yet; waits and wake-ups go on: {holder.session} is open."
    return Finding("event_log", False, detail, holder.remedy)


def _cleaned(connection: Any) -> Finding:
    """Whether the server clears away what is dead in each table, which a queue makes a lot of."""
    tables = [name for (name,) in connection.execute(_NOT_CLEANED).fetchall()]
    if not tables:
        return Finding("autovacuum", True, "No table is left out by autovacuum.")
    detail = f"Autovacuum leaves out {', '.join(tables)}: what is dead there stays, and every claim has to pass it."
    remedy = "; ".join(f"ALTER TABLE {quoted(name)} RESET (autovacuum_enabled)" for name in tables)
    return Finding("autovacuum", True, detail, f"{remedy}.", warns=True)
