"""What a database's planner knows of its tables: for `doctor`."""

from typing import Any

from mcp_server.upkeep.findings import Finding

LARGE = 100_000
"""Rows from which on a table is looked at."""
_UNCOUNTED = """
SELECT relname FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND n_live_tup > %s
  AND n_mod_since_analyze > GREATEST(n_live_tup, 1) / 2 ORDER BY n_live_tup DESC
"""


def statistics_of_sqlite(connection: Any) -> Finding:
    """Whether tables that are large were counted."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    large = connection.execute("SELECT 1 FROM events LIMIT 1 OFFSET ?", (LARGE,)).fetchone() is not None
    if large and "sqlite_stat1" not in tables:
        detail = "The database has grown large and was never counted for the planner; some lists may be slow."
        return Finding("statistics", False, detail, "Let a server run for a quarter of an hour: it counts once a day.")
    return Finding("statistics", True, "The planner knows enough of the tables.")


def statistics_of_postgres(connection: Any) -> Finding:
    """Whether the server counts by itself, and has done so."""
    if connection.execute("SHOW autovacuum").fetchone()[0] != "on":
        detail = "autovacuum is off: tables grow, and the planner does not know how large they are."
        return Finding("statistics", False, detail, "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf().")
    stale = [row[0] for row in connection.execute(_UNCOUNTED, (LARGE,))]
    if stale:
        detail = f"These tables have changed a lot since they were counted: {', '.join(stale)}."
        return Finding(
            "statistics", False, detail, f"Run ANALYZE {stale[0]}, and look why autovacuum does not come round."
        )
    return Finding("statistics", True, "autovacuum is on, and no large table is behind.")
