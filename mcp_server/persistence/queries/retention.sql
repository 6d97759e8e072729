-- name: event_horizon
SELECT xid, seq, at FROM event_horizon WHERE name = 'events'

-- name: event_horizon_save
INSERT INTO event_horizon (name, xid, seq, at) VALUES ('events', :xid, :seq, :at)
ON CONFLICT (name) DO UPDATE SET xid = excluded.xid, seq = excluded.seq, at = excluded.at

-- The last event older than a moment.
-- name: event_last_before
SELECT MAX(seq) AS seq, 0 AS xid FROM events WHERE at < :before HAVING MAX(seq) IS NOT NULL

-- name: event_last_before (postgres)
SELECT seq, xid::text::bigint AS xid FROM events
WHERE at < :before AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid DESC, seq DESC LIMIT 1

-- name: any_event_before
SELECT 1 AS found FROM (SELECT at FROM events WHERE type NOT LIKE '%.snapshot' ORDER BY seq LIMIT 1) AS oldest
WHERE at < :before

-- name: events_between
SELECT seq, 0 AS xid, type, aggregate_type, aggregate_id FROM events
WHERE seq > :seq AND seq <= :upto_seq AND :xid = :xid AND :upto_xid = :upto_xid ORDER BY seq LIMIT :limit

-- name: events_between (postgres)
SELECT seq, xid::text::bigint AS xid, type, aggregate_type, aggregate_id FROM events
WHERE (xid, seq) > (CAST(:xid AS text)::xid8, :seq) AND (xid, seq) <= (CAST(:upto_xid AS text)::xid8, :upto_seq)
ORDER BY xid, seq LIMIT :limit

-- name: events_of_since
SELECT seq FROM events WHERE aggregate_id = :id AND aggregate_type = :type AND seq > :upto_seq
  AND :upto_xid = :upto_xid LIMIT 1

-- name: events_of_since (postgres)
SELECT seq FROM events WHERE aggregate_id = :id AND aggregate_type = :type
  AND (xid, seq) > (CAST(:upto_xid AS text)::xid8, :upto_seq) LIMIT 1

-- name: events_drop
DELETE FROM events WHERE aggregate_id = :id AND aggregate_type = :type AND seq <= :upto_seq AND :upto_xid = :upto_xid
RETURNING seq

-- name: events_drop (postgres)
DELETE FROM events WHERE aggregate_id = :id AND aggregate_type = :type
  AND (xid, seq) <= (CAST(:upto_xid AS text)::xid8, :upto_seq)
RETURNING seq

-- name: snapshot_of_usage
SELECT u.agent_id, u.month, u.tokens, u.cost_usd,
  (SELECT e.data FROM events e WHERE e.aggregate_id = u.agent_id || '/' || u.month AND e.aggregate_type = 'usage'
   ORDER BY e.seq DESC LIMIT 1) AS told
FROM agent_usage u ORDER BY u.agent_id, u.month

-- name: snapshot_of_instance
SELECT * FROM instances WHERE id = :id {{for_update}}

-- name: snapshot_of_archived_task
SELECT * FROM archived_tasks WHERE id = :id {{for_update}}

-- name: snapshot_of_versions
SELECT version, sha256, bytes, author, at FROM document_versions WHERE document_id = :id ORDER BY version

-- name: snapshot_of_holds
SELECT owner, mode, fencing_token, expires_at, acquired_at FROM lock_holds WHERE name = :name ORDER BY owner

-- While events are replayed, a row may refer to one whose snapshot comes later. They are replayed into SQLite only.
-- name: replayed_references_later
PRAGMA defer_foreign_keys = ON

-- name: replayed_references_later (postgres)
SELECT 1 AS nothing

-- name: replayed_orphans_clear
DELETE FROM instances WHERE agent_id NOT IN (SELECT id FROM agents)

-- What replaying a snapshot clears away first.
-- name: replayed_versions_clear
DELETE FROM document_versions WHERE document_id = :id

-- name: replayed_holds_clear
DELETE FROM lock_holds WHERE name = :id

-- name: replayed_usage_save
INSERT INTO agent_usage (agent_id, month, tokens, cost_usd) VALUES (:agent_id, :month, :tokens, :cost_usd)
ON CONFLICT (agent_id, month) DO UPDATE SET tokens = excluded.tokens, cost_usd = excluded.cost_usd
