-- The engine itself writes the event log and follows it. What the feed hands on: whose change it was, not what.
-- A mark says what was seen: everything up to it. `upto` bounds what is read in several pages.
-- name: changes_since
SELECT seq, type, aggregate_type, aggregate_id, actor, 0 AS xid, CAST(seq AS TEXT) AS mark, 0 AS is_ahead FROM events
WHERE seq > MAX(CAST(:since AS INTEGER), :seq) AND :xid = :xid AND :upto = :upto ORDER BY seq LIMIT :limit

-- On PostgreSQL a mark is a snapshot: what was committed since is what that one did not see, whichever number it has,
-- and whoever else has a transaction open. `is_ahead` is what an older one that is open keeps out of the log.
-- name: changes_since (postgres)
WITH page AS MATERIALIZED (
  SELECT COALESCE(CAST(NULLIF(:upto, '') AS pg_snapshot), pg_current_snapshot()) AS upto)
SELECT seq, type, aggregate_type, aggregate_id, actor, xid::text::bigint AS xid, {{snapshot}} AS mark,
  xid >= pg_snapshot_xmin(pg_current_snapshot()) AS is_ahead
FROM (
  SELECT seq, type, aggregate_type, aggregate_id, actor, xid FROM events
  WHERE xid >= pg_snapshot_xmax(CAST(:since AS pg_snapshot))
  UNION ALL
  SELECT seq, type, aggregate_type, aggregate_id, actor, xid FROM events
  WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip(CAST(:since AS pg_snapshot))))) AS new, page
WHERE pg_visible_in_snapshot(xid, page.upto) AND (xid, seq) > (CAST(:xid AS text)::xid8, :seq)
ORDER BY new.xid, new.seq LIMIT :limit

-- name: changes_mark
SELECT CAST(COALESCE(MAX(seq), 0) AS TEXT) AS mark, 0 AS oldest FROM events

-- name: changes_mark (postgres)
SELECT {{snapshot}} AS mark, pg_snapshot_xmin(upto)::text::bigint AS oldest FROM (SELECT pg_current_snapshot() AS upto) AS page

-- A standby does not know what is under way: nothing from its oldest on counts as seen.
-- name: fragment.snapshot
NULL

-- name: fragment.snapshot (postgres)
CASE WHEN pg_is_in_recovery() THEN pg_snapshot_xmin(upto)::text || ':' || pg_snapshot_xmin(upto)::text || ':'
  ELSE upto::text END

-- Who keeps the newest events out of the log on PostgreSQL, where they are read in an order that no commit can change
-- afterwards: the oldest transaction that is open, in whichever database.
-- name: log_holder
SELECT 1 AS one WHERE :seconds IS NULL

-- name: log_holder (postgres)
WITH open AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS oldest)
SELECT held.*, date_trunc('second', began)::text AS since FROM open, LATERAL (
  SELECT pid, application_name AS application, client_addr::text AS address, state, datname::text AS database,
    NULL AS prepared, xact_start AS began
  FROM pg_stat_activity WHERE backend_xid::text::bigint = open.oldest::text::bigint % 4294967296
  UNION ALL
  SELECT NULL, NULL, NULL, 'prepared', database::text, gid, prepared FROM pg_prepared_xacts
  WHERE transaction::text::bigint = open.oldest::text::bigint % 4294967296) AS held
WHERE EXISTS (SELECT FROM events WHERE xid >= open.oldest)
  AND COALESCE(began < clock_timestamp() - :seconds * interval '1 second', TRUE)

-- name: events_end
SELECT COALESCE(MAX(seq), 0) AS seq, 0 AS xid FROM events

-- name: events_end (postgres)
SELECT ends.seq, ends.xid::text::bigint AS xid FROM (
  (SELECT seq, xid FROM events WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid DESC, seq DESC LIMIT 1)
  UNION ALL SELECT 0, CAST('0' AS xid8)) AS ends
ORDER BY ends.xid DESC, ends.seq DESC LIMIT 1

-- While events are replayed, a row may refer to one whose snapshot comes later. They are replayed into SQLite only.
-- What the planner knows of tables that have grown: bounded by `analysis_limit`. PostgreSQL's autovacuum sees to it.
-- name: statistics_update
PRAGMA optimize = 0x10002

-- name: statistics_update (postgres)
SELECT 1 AS nothing

-- name: statistics_wanted
SELECT 1 AS wanted FROM events LIMIT 1 OFFSET :rows

-- name: statistics_wanted (postgres)
SELECT 1 AS wanted WHERE :rows < 0

-- name: references_later
PRAGMA defer_foreign_keys = ON

-- name: references_later (postgres)
SELECT 1 AS nothing
