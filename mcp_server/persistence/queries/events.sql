-- name: events_after
SELECT *, 0 AS xid FROM events WHERE seq > :seq AND :xid = :xid {{filters}} ORDER BY seq LIMIT :limit

-- name: events_after (postgres)
SELECT seq, at, type, aggregate_type, aggregate_id, version, actor, correlation_id, causation_seq, data,
  xid::text::bigint AS xid
FROM events
WHERE (xid, seq) > (CAST(:xid AS text)::xid8, :seq) AND xid < pg_snapshot_xmin(pg_current_snapshot()) {{filters}}
ORDER BY xid, seq LIMIT :limit

-- What the feed hands on: whose change it was, not what.
-- name: changes_after
SELECT seq, type, aggregate_type, aggregate_id, 0 AS xid FROM events WHERE seq > :seq AND :xid = :xid
ORDER BY seq LIMIT :limit

-- name: changes_after (postgres)
SELECT seq, type, aggregate_type, aggregate_id, xid::text::bigint AS xid FROM events
WHERE (xid, seq) > (CAST(:xid AS text)::xid8, :seq) AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, seq LIMIT :limit

-- name: events_before
SELECT *, 0 AS xid FROM events WHERE seq < :seq AND :xid = :xid {{filters}} ORDER BY seq DESC LIMIT :limit

-- name: events_before (postgres)
SELECT seq, at, type, aggregate_type, aggregate_id, version, actor, correlation_id, causation_seq, data,
  xid::text::bigint AS xid
FROM events
WHERE (xid, seq) < (CAST(:xid AS text)::xid8, :seq) AND xid < pg_snapshot_xmin(pg_current_snapshot()) {{filters}}
ORDER BY xid DESC, seq DESC LIMIT :limit

-- name: events_end
SELECT COALESCE(MAX(seq), 0) AS seq, 0 AS xid FROM events

-- name: events_end (postgres)
SELECT seq, xid::text::bigint AS xid FROM events WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
UNION ALL SELECT 0, 0
ORDER BY xid DESC, seq DESC LIMIT 1

-- name: filter.type
AND type = :type

-- name: filter.type_prefix
AND type LIKE :type_prefix ESCAPE '\'

-- name: filter.aggregate
AND aggregate_id = :aggregate

-- name: filter.actor
AND actor = :actor

-- name: filter.correlation
AND correlation_id = :correlation
