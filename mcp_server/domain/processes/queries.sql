-- name: process_for_update
SELECT * FROM processes WHERE id = :id {{for_update}}

-- name: process_by_id (short)
SELECT * FROM processes WHERE id = :id

-- name: process_delete
DELETE FROM processes WHERE id = :id

-- name: processes_of_owner
SELECT * FROM processes WHERE owner_kind = :owner_kind AND owner_id = :owner_id ORDER BY slot {{for_update}}

-- name: processes_of_owner_seen
SELECT * FROM processes WHERE owner_kind = :owner_kind AND owner_id = :owner_id ORDER BY slot

-- name: processes_of_kind
SELECT * FROM processes WHERE owner_kind = :owner_kind ORDER BY owner_id, slot

-- What a supervisor looks after: what runs on its host or nowhere yet, and is not at rest for good.
-- name: processes_to_supervise
SELECT * FROM processes WHERE status <> 'stopped' AND (host IS NULL OR host = :host) ORDER BY created_at, id

-- What runs on hosts that nobody has supervised for long.
-- name: processes_left_behind
SELECT p.id FROM processes p WHERE p.status <> 'stopped' AND p.host IS NOT NULL AND p.scope = :scope
  AND NOT EXISTS (SELECT 1 FROM supervisors s WHERE s.scope = p.scope AND s.host = p.host AND s.expires_at > :before)
ORDER BY p.id LIMIT 100

-- name: supervisor_of
SELECT * FROM supervisors WHERE scope = :scope AND host = :host {{for_update}}

-- name: supervisors_on
SELECT * FROM supervisors WHERE host = :host

-- name: supervisor_first
INSERT INTO supervisors (scope, host, holder, fence, expires_at) VALUES (:scope, :host, :holder, 1, :expires_at)
ON CONFLICT (scope, host) DO NOTHING

-- name: supervisor_takes_over
UPDATE supervisors SET holder = :holder, fence = fence + 1, expires_at = :expires_at
WHERE scope = :scope AND host = :host AND fence = :fence

-- name: supervisor_stays
UPDATE supervisors SET expires_at = :expires_at WHERE host = :host AND holder = :holder

-- name: supervisor_leaves
UPDATE supervisors SET expires_at = :now WHERE host = :host AND holder = :holder

-- name: fragment.process_of_instance
(SELECT id, status AS process_status, reason AS process_reason, starts, adopted, exit FROM processes)

-- How many instances run, and how many are as they will be, wherever a statement calls the agent `a`.
-- name: fragment.processes_running_of_agent
(SELECT count(*) FROM processes p WHERE p.owner_kind = 'agent' AND p.owner_id = a.id AND p.status = 'running')

-- name: fragment.processes_settled_of_agent
(SELECT count(*) FROM processes p WHERE p.owner_kind = 'agent' AND p.owner_id = a.id
  AND p.status IN ('running', 'crash_loop') AND p.wanted = 1)

-- name: complete_process_ids
SELECT id AS value FROM processes WHERE id >= :low AND id < :high ORDER BY id LIMIT 100
