"""Whether PostgreSQL clears away what is dead in the desk's tables, and who keeps it from that: for `doctor`."""

from typing import Any

from mcp_server.kernel.schemas import quoted
from mcp_server.upkeep.findings import Finding

DEAD_MIN = 10_000
"""So few cost no claim and no list anything."""
TIMES_DUE = 2
"""How many times as many as make autovacuum come: it is behind, and not just about to."""
HOLDS_AFTER_SECONDS = 60

_DEAD = f"""
SELECT s.relname::text, s.n_dead_tup, s.n_live_tup, to_char(s.last_autovacuum, 'YYYY-MM-DD HH24:MI')
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
CROSS JOIN LATERAL (
  SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold')::float8 AS rows,
         max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')::float8 AS part
  FROM pg_options_to_table(c.reloptions)
) own
WHERE s.schemaname = current_schema() AND s.n_dead_tup >= {DEAD_MIN}
  AND s.n_dead_tup > {TIMES_DUE} * (
    COALESCE(own.rows, current_setting('autovacuum_vacuum_threshold')::float8)
    + COALESCE(own.part, current_setting('autovacuum_vacuum_scale_factor')::float8) * GREATEST(c.reltuples, 0))
ORDER BY s.n_dead_tup DESC, s.relname
"""  # noqa: S608 - numbers of ours
"""Each table that is behind: its name, dead and live rows, and when autovacuum last came."""

_HOLDER = """
SELECT what, remedy FROM (
  SELECT age(backend_xmin) AS age,
         format('session %s (%s, %s) has a transaction open since %s', pid,
                COALESCE(NULLIF(application_name, ''), usename, backend_type), state,
                to_char(xact_start, 'YYYY-MM-DD HH24:MI:SS')) AS what,
         format('let its program end the transaction, or: SELECT pg_terminate_backend(%s)', pid) AS remedy
  FROM pg_stat_activity
  WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND (datname = current_database() OR datname IS NULL)
    AND backend_type IN ('client backend', 'walsender')
    AND xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
  UNION ALL
  SELECT age(transaction), format('the prepared transaction %L was never ended (since %s)', gid,
                                  to_char(prepared, 'YYYY-MM-DD HH24:MI:SS')),
         format('COMMIT PREPARED %L, or ROLLBACK PREPARED %L', gid, gid)
  FROM pg_prepared_xacts
  WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => %(seconds)s)
  UNION ALL
  SELECT age(xmin), format('the replication slot %L (%s) keeps rows for who reads it', slot_name,
                           CASE WHEN active THEN 'in use' ELSE 'nobody reads it' END),
         format('let its standby catch up, or: SELECT pg_drop_replication_slot(%L)', slot_name)
  FROM pg_replication_slots
  WHERE xmin IS NOT NULL
) held
ORDER BY age DESC LIMIT 1
""".replace("%s", "%%s").replace("%L", "%%L")
"""Whoever needs the oldest rows that are dead for everybody else."""


def inspect_dead_rows(connection: Any, seconds: float = HOLDS_AFTER_SECONDS) -> Finding:
    """Where autovacuum does not keep up, or may not clear away what is dead.

    Args:
        seconds: how long a transaction must have been open, so that it is named.
    """
    behind = connection.execute(_DEAD).fetchall()
    if not behind:
        return Finding("dead_rows", True, "Autovacuum keeps up with what is dead.")
    told = "; ".join(
        f"{table} has {dead:,} dead rows beside {live:,} that count (autovacuum: {'never' if at is None else at})"
        for table, dead, live, at in behind
    )
    holder = connection.execute(_HOLDER, {"seconds": seconds}).fetchone()
    if holder is None:
        tables = ", ".join(quoted(table) for table, *_ in behind)
        remedy = f"VACUUM (ANALYZE) {tables}. If it comes again, raise autovacuum_vacuum_cost_limit on the server."
        return Finding("dead_rows", True, f"Autovacuum does not keep up: {told}.", remedy, warns=True)
    what, end = holder
    detail = f"What is dead cannot be cleared away: {what}. {told[:1].upper()}{told[1:]}."
    return Finding("dead_rows", True, detail, f"{end[:1].upper()}{end[1:]}; autovacuum does the rest.", warns=True)
