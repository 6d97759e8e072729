-- name: call_for_update
SELECT * FROM calls WHERE id = :id {{for_update}}

-- name: call_by_id (short)
SELECT * FROM calls WHERE id = :id

-- name: call_seen_by_id
SELECT * FROM calls WHERE id = :id {{filters}}

-- name: call_by_task
SELECT * FROM calls WHERE task_id = :task_id {{for_update}}

-- name: call_by_key
SELECT * FROM calls WHERE idempotency_key = :key AND key_owner = :owner {{for_update}}

-- name: calls_due
SELECT * FROM calls WHERE due_at <= :now ORDER BY due_at LIMIT :limit {{skip_locked}}

-- name: due.calls
SELECT MIN(due_at) AS at FROM calls WHERE due_at IS NOT NULL

-- name: calls_ahead
SELECT id FROM calls WHERE due_at > :now AND updated_at > :ahead

-- On PostgreSQL keeps every other server until the commit from counting calls.
-- name: calls_guard
SELECT :name AS guarded

-- name: calls_guard (postgres)
SELECT 1 AS guarded FROM pg_advisory_xact_lock(hashtextextended(:name, hashtext(current_schema())))

-- name: calls_open_count
SELECT count(*) AS n FROM calls WHERE due_at IS NOT NULL

-- In how many others somebody is, or is about to be: an offer waits for its answer.
-- name: calls_live_count
SELECT count(*) AS n FROM calls WHERE due_at IS NOT NULL AND id <> :call_id AND (status <> 'pending' OR EXISTS
  (SELECT 1 FROM call_requests r WHERE r.call_id = calls.id AND r.kind = 'join' AND r.answer IS NULL))

-- How many of these a principal had opened, whoever spoke for it.
-- name: calls_open_of
SELECT count(*) AS n FROM calls WHERE due_at IS NOT NULL AND (opened_by = :principal OR
  substr(opened_by, length(opened_by) - length(CAST(:via AS TEXT)) + 1) = :via)

-- name: calls_old
SELECT id FROM calls WHERE ended_at IS NOT NULL AND forgotten_at IS NULL AND ended_at < :before
ORDER BY ended_at LIMIT :limit

-- name: complete_call_ids
SELECT id AS value FROM calls WHERE id LIKE :prefix ESCAPE '\' {{filters}} ORDER BY id LIMIT 100

-- Whose call it is: the principal's that had it opened, whoever spoke for it, and the agents' that were asked into it.
-- name: fragment.call_is_the_readers
(opened_by IN (:reader_label, :reader_principal) OR
  substr(opened_by, length(opened_by) - length(CAST(:reader_via AS TEXT)) + 1) = :reader_via OR
  participants LIKE '%"agent_id":' || CAST(:reader_json AS TEXT) || '%' ESCAPE '\')

-- name: filter.call_own
AND {{call_is_the_readers}}

-- name: filter.seen_call
AND (aggregate_type <> 'call'
  OR EXISTS (SELECT 1 FROM calls WHERE calls.id = aggregate_id AND {{call_is_the_readers}}))

-- name: call_line_insert
INSERT INTO call_lines (call_id, n, at, who, peer, kind, text) VALUES (:call_id, :n, :at, :who, :peer, :kind, :text)

-- name: call_lines_after
SELECT n, at, who, peer, kind, text FROM call_lines WHERE call_id = :call_id AND n > :after ORDER BY n LIMIT :limit

-- name: call_lines_forget
DELETE FROM call_lines WHERE call_id = :call_id

-- name: call_audio_insert
INSERT INTO call_audio (call_id, n, at_bytes, bytes, level_dbfs, pcm)
SELECT :call_id, COALESCE(MAX(n), 0) + 1, COALESCE(MAX(at_bytes + bytes), 0), :bytes, :level_dbfs, :pcm
FROM (SELECT n, at_bytes, bytes FROM call_audio WHERE call_id = :call_id ORDER BY n DESC LIMIT 1) AS last_one

-- name: call_audio_summary
SELECT count(*) AS n, COALESCE(MAX(at_bytes + bytes), 0) AS bytes, AVG(level_dbfs) AS mean_dbfs, MAX(level_dbfs) AS peak_dbfs
FROM call_audio WHERE call_id = :call_id

-- From the piece on in which a place of the recording lies, counted in bytes.
-- name: call_audio_from
SELECT at_bytes, pcm FROM call_audio WHERE call_id = :call_id AND at_bytes < :until AND at_bytes >= COALESCE(
  (SELECT MAX(at_bytes) FROM call_audio WHERE call_id = :call_id AND at_bytes <= :place), 0)
ORDER BY at_bytes LIMIT :limit

-- name: call_audio_forget
DELETE FROM call_audio WHERE call_id = :call_id

-- name: call_act
SELECT content_hash, told FROM call_acts WHERE call_id = :call_id AND key_owner = :owner AND idempotency_key = :key

-- name: call_act_insert
INSERT INTO call_acts (call_id, key_owner, idempotency_key, content_hash, told)
VALUES (:call_id, :owner, :key, :content_hash, :told)

-- name: call_acts_forget
DELETE FROM call_acts WHERE call_id = :call_id

-- name: call_owner
SELECT * FROM call_owners WHERE call_id = :call_id {{for_update}}

-- name: call_owner_takes
INSERT INTO call_owners (call_id, owner, fence, expires_at) VALUES (:call_id, :owner, 1, NULL)
ON CONFLICT (call_id) DO UPDATE SET owner = excluded.owner, fence = call_owners.fence + 1, expires_at = NULL

-- name: call_owner_stays
UPDATE call_owners SET expires_at = :expires_at WHERE call_id = :call_id AND fence = :fence

-- name: call_owner_leaves
DELETE FROM call_owners WHERE call_id = :call_id

-- name: call_owners_due
SELECT * FROM call_owners WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit {{skip_locked}}

-- name: due.call_owners
SELECT MIN(expires_at) AS at FROM call_owners WHERE expires_at IS NOT NULL

-- name: call_request_insert
INSERT INTO call_requests (id, call_id, peer, kind, data, answer, created_at, expires_at)
VALUES (:id, :call_id, :peer, :kind, :data, NULL, :created_at, :expires_at)

-- name: call_requests_open
SELECT * FROM call_requests WHERE call_id = :call_id AND answer IS NULL ORDER BY created_at, id LIMIT 100

-- name: call_join_waits
SELECT id FROM call_requests WHERE call_id = :call_id AND peer = :peer AND kind = 'join' AND answer IS NULL

-- name: call_request_count
SELECT count(*) AS n FROM call_requests WHERE call_id = :call_id

-- name: call_request
SELECT * FROM call_requests WHERE id = :id

-- name: call_request_answer
UPDATE call_requests SET answer = :answer, data = '{}' WHERE id = :id AND answer IS NULL

-- name: call_request_delete
DELETE FROM call_requests WHERE id = :id

-- name: call_requests_drop
DELETE FROM call_requests WHERE call_id = :call_id AND kind <> 'join'

-- name: call_requests_due
SELECT id FROM call_requests WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit {{skip_locked}}

-- name: due.call_requests
SELECT MIN(expires_at) AS at FROM call_requests

-- name: call_return
SELECT sha256 FROM call_returns WHERE call_id = :call_id AND peer = :peer

-- name: call_return_keep
INSERT INTO call_returns (call_id, peer, sha256) VALUES (:call_id, :peer, :sha256)
ON CONFLICT (call_id, peer) DO UPDATE SET sha256 = excluded.sha256

-- name: call_return_drop
DELETE FROM call_returns WHERE call_id = :call_id AND peer = :peer

-- name: call_returns_drop
DELETE FROM call_returns WHERE call_id = :call_id
