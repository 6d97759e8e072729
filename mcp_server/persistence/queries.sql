-- The engine itself writes the event log and follows it. What the feed hands on: whose change it was, not what.
-- name: changes_after
SELECT seq, type, aggregate_type, aggregate_id, actor, 0 AS xid FROM events WHERE seq > :seq AND :xid = :xid
ORDER BY seq LIMIT :limit

-- name: changes_after (postgres)
SELECT seq, type, aggregate_type, aggregate_id, actor, xid::text::bigint AS xid FROM events
WHERE (xid, seq) > (CAST(:xid AS text)::xid8, :seq) AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, seq LIMIT :limit

-- On PostgreSQL a commit can be read in order only once every older one has ended.
-- name: changes_held_back
SELECT 1 AS one WHERE FALSE

-- name: changes_held_back (postgres)
SELECT 1 AS one FROM events WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()) LIMIT 1

-- name: events_end
SELECT COALESCE(MAX(seq), 0) AS seq, 0 AS xid FROM events

-- name: events_end (postgres)
SELECT seq, xid::text::bigint AS xid FROM events WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
UNION ALL SELECT 0, 0
ORDER BY xid DESC, seq DESC LIMIT 1

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
