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

-- What led to an event, newest first: its cause, or else what happened to the same thing before.
-- name: events_led_to
WITH RECURSIVE chain (seq, depth) AS (
  SELECT e.seq, 0 FROM events e WHERE e.seq = :seq
  UNION ALL
  SELECT COALESCE(e.causation_seq, (
      SELECT b.seq FROM events b
      WHERE b.aggregate_id = e.aggregate_id AND b.aggregate_type = e.aggregate_type AND b.seq < e.seq
      ORDER BY b.seq DESC LIMIT 1)), chain.depth + 1
  FROM chain JOIN events e ON e.seq = chain.seq WHERE chain.depth + 1 < :limit)
SELECT e.*, 0 AS xid FROM chain JOIN events e ON e.seq = chain.seq ORDER BY chain.depth

-- name: events_led_to (postgres)
WITH RECURSIVE chain (seq, depth) AS (
  SELECT e.seq, 0 FROM events e WHERE e.seq = :seq
  UNION ALL
  SELECT COALESCE(e.causation_seq, (
      SELECT b.seq FROM events b
      WHERE b.aggregate_id = e.aggregate_id AND b.aggregate_type = e.aggregate_type AND b.seq < e.seq
      ORDER BY b.seq DESC LIMIT 1)), chain.depth + 1
  FROM chain JOIN events e ON e.seq = chain.seq WHERE chain.depth + 1 < :limit)
SELECT e.seq, e.at, e.type, e.aggregate_type, e.aggregate_id, e.version, e.actor, e.correlation_id, e.causation_seq,
  e.data, e.xid::text::bigint AS xid
FROM chain JOIN events e ON e.seq = chain.seq ORDER BY chain.depth

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
