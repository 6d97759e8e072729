"""Named statements and migrations: both engines say the same things."""

import re
from pathlib import Path

import psycopg
import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.persistence import statements as module
from mcp_server.persistence.migrate import migrations
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.persistence.statements import dialect, short_statements, statements


def test_both_engines_know_the_same_statements_with_the_same_parameters():
    sqlite, postgres = statements("sqlite", AREAS.sql), statements("postgres", AREAS.sql)
    assert sqlite.keys() == postgres.keys()
    for name, text in sqlite.items():
        ours = set(re.findall(r"(?<![:\w']):([a-z_][a-z0-9_]*)", text))
        theirs = set(re.findall(r"%\((\w+)\)s", postgres[name]))
        assert theirs == ours, name


def test_both_engines_have_the_same_migrations():
    assert [(m.number, m.name) for m in migrations("sqlite")] == [(m.number, m.name) for m in migrations("postgres")]


def test_both_engines_have_the_same_tables_and_columns(tmp_path: Path, postgres_url: str):
    connection = SqliteFile(tmp_path / "x.db").connect()
    for migration in migrations("sqlite"):
        for statement in migration.statements():
            connection.execute(statement)
    # An index of texts is a virtual table there, which has tables of its own.
    made = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'text_index*'")
    tables = [row[0] for row in made]
    ours = {(t, c[1]) for t in tables for c in connection.execute(f"PRAGMA table_info({t})") if "sqlite" not in t}
    connection.close()
    with psycopg.connect(postgres_url) as server:
        query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'datamcp'"
        theirs = set(server.execute(query).fetchall())
    assert theirs - ours == {
        ("events", "xid"),
        ("migrations", "number"),
        ("migrations", "name"),
        ("migrations", "checksum"),
    }
    assert ours <= theirs


def test_every_statement_is_accepted_by_both_engines(tmp_path: Path, postgres_url: str):
    connection = SqliteFile(tmp_path / "x.db").connect()
    for migration in migrations("sqlite"):
        for statement in migration.statements():
            connection.execute(statement)
    for name, sql in statements("sqlite", AREAS.sql).items():
        if not name.startswith(("filter.", "fragment.")):
            nothing = dict.fromkeys(re.findall(r"(?<![:\w]):([a-z_0-9]+)", sql))
            connection.execute("EXPLAIN " + sql.replace("{{filters}}", ""), nothing)
    connection.close()
    with psycopg.connect(postgres_url, autocommit=True) as server:
        for name, sql in statements("postgres", AREAS.sql).items():
            if sql.startswith("LOCK "):  # which has no plan
                with server.transaction():
                    server.execute(sql)
            elif not name.startswith(("filter.", "fragment.")):
                nothing = dict.fromkeys(re.findall(r"%\(([a-z_0-9]+)\)s", sql))
                with server.transaction():  # what locks a table is not explained, and does it in a transaction alone
                    explain = "" if sql.startswith("LOCK TABLE") else "EXPLAIN "
                    server.execute(explain + sql.replace("{{filters}}", ""), nothing)


def test_what_is_read_without_a_thread_finds_its_row_by_a_key(tmp_path: Path):
    """Nothing that walks a table, or sorts more than a few rows, holds the event loop up."""
    connection = SqliteFile(tmp_path / "x.db").connect()
    for migration in migrations("sqlite"):
        for statement in migration.statements():
            connection.execute(statement)
    known = statements("sqlite", AREAS.sql)
    short = short_statements(AREAS.sql)
    assert {"document_current", "task_by_id", "agent_by_reference"} <= short
    for name in short:
        nothing = dict.fromkeys(re.findall(r"(?<![:\w]):([a-z_0-9]+)", known[name]))
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {known[name]}", nothing)]
        assert not [step for step in steps if step.startswith("SCAN")], (name, steps)
        assert "=?)" in " ".join(steps) and "{{filters}}" not in known[name], (name, steps)
    connection.close()


def test_parameters_take_the_drivers_form_and_casts_stay():
    assert dialect("a = :a AND b::text LIKE '%x' {{skip_locked}}", "postgres") == (
        "a = %(a)s AND b::text LIKE '%%x' FOR UPDATE SKIP LOCKED"
    )
    assert dialect("a = :a {{for_update}}", "sqlite") == "a = :a"


def test_a_name_that_is_defined_twice_is_a_mistake(monkeypatch):
    twice = [("x", None, "SELECT 1"), ("x", None, "SELECT 2")]
    monkeypatch.setattr(module, "sections", lambda text: twice)
    statements.cache_clear()
    with pytest.raises(ValueError, match="x is defined twice"):
        statements("sqlite")
    monkeypatch.undo()
    statements.cache_clear()
