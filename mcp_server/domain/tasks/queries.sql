-- name: task_for_update
SELECT * FROM tasks WHERE id = :id {{for_update}}

-- name: task_version
SELECT version, EXISTS (SELECT 1 FROM dependencies WHERE parent_id = tasks.id) AS waited_for FROM tasks WHERE id = :id

-- Whoever adds a dependent locks its parent first, so it may have come while this waited for the lock: unseen here.
-- name: task_version (postgres)
SELECT version, 1 AS waited_for FROM tasks WHERE id = :id FOR UPDATE

-- name: tasks_lock
SELECT id, version FROM tasks WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id

-- name: tasks_lock (postgres)
SELECT id, version FROM tasks WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))
ORDER BY id FOR UPDATE

-- name: dependents_of_many
SELECT parent_id, task_id FROM dependencies WHERE parent_id IN (SELECT value FROM json_each(:ids)) ORDER BY task_id

-- name: dependents_of_many (postgres)
SELECT parent_id, task_id FROM dependencies
WHERE parent_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) ORDER BY task_id

-- name: task_by_id (short)
SELECT * FROM tasks WHERE id = :id

-- name: task_by_idempotency_key
SELECT * FROM tasks WHERE idempotency_key = :key AND key_owner = :owner

-- name: tasks_by_idempotency_keys
SELECT * FROM tasks WHERE idempotency_key IN (SELECT value FROM json_each(:keys)) AND key_owner = :owner

-- name: tasks_by_idempotency_keys (postgres)
SELECT * FROM tasks
WHERE idempotency_key = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:keys AS jsonb)))) AND key_owner = :owner

-- name: archived_tasks_by_idempotency_keys
SELECT * FROM archived_tasks WHERE idempotency_key IN (SELECT value FROM json_each(:keys)) AND key_owner = :owner

-- name: archived_tasks_by_idempotency_keys (postgres)
SELECT * FROM archived_tasks
WHERE idempotency_key = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:keys AS jsonb)))) AND key_owner = :owner

-- name: task_status
SELECT id, status, approval, refused, cancel_reason FROM tasks WHERE id = :id {{for_update}}

-- name: tasks_standing
SELECT id, status, approval, refused, cancel_reason FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))

-- name: tasks_standing (postgres)
SELECT id, status, approval, refused, cancel_reason FROM tasks
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) ORDER BY id FOR UPDATE

-- name: archived_tasks_standing
SELECT id, status, approval, refused, cancel_reason FROM archived_tasks WHERE id IN (SELECT value FROM json_each(:ids))

-- name: archived_tasks_standing (postgres)
SELECT id, status, approval, refused, cancel_reason FROM archived_tasks
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))

-- name: queue_insert
INSERT INTO queues (name, kind, agent_id, capabilities) VALUES (:name, :kind, :agent_id, :capabilities)
ON CONFLICT (name) DO NOTHING

-- Whoever has said that a queue is there keeps this off until the commit.
-- name: queues_guard
SELECT 1 AS guarded

-- name: queues_guard (postgres)
LOCK TABLE queues IN SHARE ROW EXCLUSIVE MODE

-- name: queues_drop
DELETE FROM queues WHERE name IN (SELECT q.name FROM {{empty_queues}} AS q LIMIT :limit)
RETURNING name

-- name: queues_empty
SELECT count(*) AS n FROM (SELECT 1 FROM {{empty_queues}} AS q LIMIT :limit) AS part

-- Those in which no unfinished task stands.
-- name: fragment.empty_queues
(SELECT name FROM queues
  WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.status = 'queued' AND t.queue = queues.name)
  AND name NOT IN (
    SELECT queue FROM tasks WHERE status = 'pending' UNION SELECT queue FROM tasks WHERE status = 'running'
    UNION SELECT queue FROM tasks WHERE status = 'paused'))

-- name: dependency_insert
INSERT INTO dependencies (parent_id, task_id) VALUES (:parent_id, :task_id) ON CONFLICT DO NOTHING

-- name: dependencies_insert
INSERT INTO dependencies (parent_id, task_id) SELECT value, :task_id FROM json_each(:parent_ids) WHERE TRUE
ON CONFLICT DO NOTHING

-- name: dependencies_insert (postgres)
INSERT INTO dependencies (parent_id, task_id)
SELECT value, :task_id FROM jsonb_array_elements_text(CAST(:parent_ids AS jsonb)) AS parent (value)
ON CONFLICT DO NOTHING

-- name: dependencies_drop
DELETE FROM dependencies WHERE task_id = :task_id AND parent_id IN (SELECT value FROM json_each(:parent_ids))

-- name: dependencies_drop (postgres)
DELETE FROM dependencies
WHERE task_id = :task_id AND parent_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:parent_ids AS jsonb))))

-- name: dependency_delete
DELETE FROM dependencies WHERE parent_id = :parent_id AND task_id = :task_id

-- name: dependencies_delete
DELETE FROM dependencies WHERE parent_id = :parent_id AND task_id IN (SELECT value FROM json_each(:ids))

-- name: dependencies_delete (postgres)
DELETE FROM dependencies
WHERE parent_id = :parent_id AND task_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))

-- name: dependencies_clear
DELETE FROM dependencies WHERE task_id = :id OR parent_id = :id

-- name: dependents
SELECT task_id FROM dependencies WHERE parent_id = :parent_id ORDER BY task_id

-- Those to which the end of a parent does something: it frees them; or they are cancelled, by policy or a person's no.
-- name: dependents_concerned
SELECT * FROM tasks WHERE id IN (SELECT task_id FROM dependencies WHERE parent_id = :parent_id)
  AND (:frees = 1 OR (:refused = 0 AND on_parent_failure = 'run_anyway')
    OR (on_parent_failure <> 'wait' AND status IN ('pending', 'paused')))
ORDER BY id LIMIT :limit {{for_update}}

-- name: children_unfinished
SELECT id FROM tasks WHERE parent_id IN (SELECT value FROM json_each(:ids)) AND parent_id IS NOT NULL
AND status IN ('pending', 'queued', 'running', 'paused') ORDER BY parent_id, created_at LIMIT :limit

-- name: children_unfinished (postgres)
SELECT id FROM tasks WHERE parent_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))
AND parent_id IS NOT NULL AND status IN ('pending', 'queued', 'running', 'paused')
ORDER BY parent_id, created_at LIMIT :limit

-- name: waiting_for_any
SELECT DISTINCT tasks.id FROM dependencies JOIN tasks ON tasks.id = dependencies.task_id
WHERE dependencies.parent_id IN (SELECT value FROM json_each(:ids)) AND status IN ('pending', 'paused')
ORDER BY tasks.id LIMIT :limit

-- name: waiting_for_any (postgres)
SELECT DISTINCT tasks.id FROM dependencies JOIN tasks ON tasks.id = dependencies.task_id
WHERE dependencies.parent_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))
AND status IN ('pending', 'paused') ORDER BY tasks.id LIMIT :limit

-- name: dependents_counted
SELECT value AS parent_id,
  (SELECT count(*) FROM (SELECT 1 FROM dependencies WHERE parent_id = asked.value LIMIT :most) AS counted) AS n
FROM json_each(:ids) AS asked

-- name: dependents_counted (postgres)
SELECT value AS parent_id,
  (SELECT count(*) FROM (SELECT 1 FROM dependencies WHERE parent_id = asked.value LIMIT :most) AS counted) AS n
FROM jsonb_array_elements_text(CAST(:ids AS jsonb)) AS asked (value)

-- name: questions_about
SELECT asked.* FROM {{open_questions}} AS asked WHERE asked.task_id IN (SELECT value FROM json_each(:ids))

-- name: questions_about (postgres)
SELECT asked.* FROM {{open_questions}} AS asked
WHERE asked.task_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))

-- name: dependencies_of_many
SELECT d.task_id, p.id, p.title, p.status, p.refused, p.finished_at FROM dependencies d JOIN tasks p ON p.id = d.parent_id
WHERE d.task_id IN (SELECT value FROM json_each(:ids)) ORDER BY d.task_id, p.id

-- name: dependencies_of_many (postgres)
SELECT d.task_id, p.id, p.title, p.status, p.refused, p.finished_at FROM dependencies d JOIN tasks p ON p.id = d.parent_id
WHERE d.task_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) ORDER BY d.task_id, p.id

-- name: still_waiting
SELECT d.task_id AS task_id, d.parent_id AS parent_id, NULL AS status, NULL AS waits_on, NULL AS approval,
  NULL AS run_at, NULL AS schedule
FROM dependencies d JOIN tasks t ON t.id = d.task_id
WHERE d.task_id IN (SELECT value FROM json_each(:ids)) AND t.status = 'pending'
UNION ALL SELECT id, NULL, status, waits_on, approval, run_at, schedule FROM tasks
WHERE id IN (SELECT value FROM json_each(:ids)) AND status = 'pending'
ORDER BY task_id, parent_id

-- name: still_waiting (postgres)
SELECT d.task_id AS task_id, d.parent_id AS parent_id, NULL AS status, NULL AS waits_on, NULL AS approval,
  NULL AS run_at, NULL AS schedule
FROM dependencies d JOIN tasks t ON t.id = d.task_id
WHERE d.task_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) AND t.status = 'pending'
UNION ALL SELECT id, NULL, status, waits_on, approval, run_at, schedule FROM tasks
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) AND status = 'pending'
ORDER BY task_id, parent_id

-- name: concurrency_holders
SELECT concurrency_key, id, lease_agent_id, lease_expires_at, started_at FROM tasks
WHERE status = 'running' AND concurrency_key IN (SELECT value FROM json_each(:keys)) ORDER BY lease_expires_at, id

-- name: concurrency_holders (postgres)
SELECT concurrency_key, id, lease_agent_id, lease_expires_at, started_at FROM tasks
WHERE status = 'running' AND concurrency_key = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:keys AS jsonb))))
ORDER BY lease_expires_at, id

-- name: concurrency_keys_running
SELECT DISTINCT concurrency_key FROM tasks WHERE status = 'running' AND concurrency_key IS NOT NULL ORDER BY 1

-- Who is next with a concurrency key, among the first of a queue.
-- name: concurrency_next
SELECT id FROM (
  SELECT id, concurrency_key, priority, ready_at FROM tasks WHERE status = 'queued' AND queue = :queue
  ORDER BY priority DESC, ready_at, id LIMIT 100) AS first
WHERE concurrency_key = :key ORDER BY priority DESC, ready_at, id LIMIT :limit

-- name: task_standings
SELECT id, status, version FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))
UNION ALL SELECT id, status, version FROM archived_tasks WHERE id IN (SELECT value FROM json_each(:ids))

-- name: task_standings (postgres)
SELECT id, status, version FROM tasks WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))
UNION ALL SELECT id, status, version FROM archived_tasks
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))

-- name: tasks_titled (long)
SELECT id FROM tasks WHERE id IN ({{texts_holding}}) AND {{text_begins}}
AND status IN ('pending', 'queued', 'running', 'paused') ORDER BY created_at, id LIMIT 2

-- name: tasks_titled (postgres)
SELECT id FROM tasks WHERE id = ANY (ARRAY({{texts_holding}})) AND {{text_begins}}
AND status IN ('pending', 'queued', 'running', 'paused') ORDER BY created_at, id LIMIT 2

-- name: task_outcomes
SELECT id, title, status, result, error, progress FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))
UNION ALL SELECT id, title, status, result, error, progress FROM archived_tasks
WHERE id IN (SELECT value FROM json_each(:ids))

-- name: task_outcomes (postgres)
SELECT id, title, status, result, error, progress FROM tasks
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))
UNION ALL SELECT id, title, status, result, error, progress FROM archived_tasks
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))

-- name: task_titles
SELECT id, title FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))
UNION ALL SELECT id, title FROM archived_tasks WHERE id IN (SELECT value FROM json_each(:ids))

-- name: task_titles (postgres)
SELECT id, title FROM tasks WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))
UNION ALL SELECT id, title FROM archived_tasks
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))

-- The last firings of a schedule: those of its children that the server made.
-- name: schedule_runs
SELECT id, status, created_at, finished_at, result, error FROM (
  SELECT * FROM (
    SELECT id, status, created_at, finished_at, result, error FROM tasks
    WHERE parent_id = :id AND key_owner = :owner ORDER BY created_at DESC LIMIT :limit) AS hot
  UNION ALL SELECT * FROM (
    SELECT id, status, created_at, finished_at, result, error FROM archived_tasks
    WHERE parent_id = :id AND key_owner = :owner ORDER BY created_at DESC LIMIT :limit) AS cold) AS runs
ORDER BY created_at DESC, id DESC LIMIT :limit

-- name: claim_candidate
SELECT * FROM tasks WHERE rowid = (
  SELECT h.rowid FROM queues q JOIN tasks h ON h.rowid = (
    SELECT c.rowid FROM tasks c
    WHERE c.status = 'queued' AND c.queue = q.name
      AND (c.concurrency_key IS NULL OR c.concurrency_limit > (
        SELECT count(*) FROM tasks r WHERE r.status = 'running' AND r.concurrency_key = c.concurrency_key))
    ORDER BY c.priority DESC, c.ready_at, c.id LIMIT 1)
  WHERE (q.agent_id IS NULL OR q.agent_id = :agent_id)
    AND (:kinds IS NULL OR q.kind IN (SELECT value FROM json_each(:kinds)))
    AND (q.capabilities = '[]' OR NOT EXISTS (
      SELECT 1 FROM json_each(q.capabilities) need WHERE need.value NOT IN (SELECT value FROM json_each(:skills))))
  ORDER BY h.priority DESC, h.ready_at, h.id LIMIT 1)

-- name: claim_candidate (postgres)
SELECT t.* FROM queues q CROSS JOIN LATERAL (
  SELECT c.* FROM tasks c
  WHERE c.status = 'queued' AND c.queue = q.name
    AND (c.concurrency_key IS NULL OR c.concurrency_limit > (
      SELECT count(*) FROM tasks r WHERE r.status = 'running' AND r.concurrency_key = c.concurrency_key))
  ORDER BY c.priority DESC, c.ready_at, c.id LIMIT 1 FOR UPDATE SKIP LOCKED) t
WHERE (q.agent_id IS NULL OR q.agent_id = :agent_id)
  AND (CAST(:kinds AS text) IS NULL OR CAST(:kinds AS jsonb) ? q.kind)
  AND CAST(q.capabilities AS jsonb) <@ CAST(:skills AS jsonb)
ORDER BY t.priority DESC, t.ready_at, t.id LIMIT 1

-- The same for several: IN a list is four times as dear as = for one. In no order, since a sorter would carry every
-- column: the caller sorts.
-- name: claim_candidates
SELECT t.* FROM tasks t WHERE t.rowid IN (
  SELECT h.rowid FROM queues q JOIN tasks h ON h.rowid IN (
    SELECT c.rowid FROM tasks c
    WHERE c.status = 'queued' AND c.queue = q.name
      AND (c.concurrency_key IS NULL OR c.concurrency_limit > (
        SELECT count(*) FROM tasks r WHERE r.status = 'running' AND r.concurrency_key = c.concurrency_key))
    ORDER BY c.priority DESC, c.ready_at, c.id LIMIT :limit)
  WHERE (q.agent_id IS NULL OR q.agent_id = :agent_id)
    AND (:kinds IS NULL OR q.kind IN (SELECT value FROM json_each(:kinds)))
    AND (q.capabilities = '[]' OR NOT EXISTS (
      SELECT 1 FROM json_each(q.capabilities) need WHERE need.value NOT IN (SELECT value FROM json_each(:skills))))
  ORDER BY h.priority DESC, h.ready_at, h.id LIMIT :limit)

-- name: claim_candidates (postgres)
SELECT t.* FROM queues q CROSS JOIN LATERAL (
  SELECT c.* FROM tasks c
  WHERE c.status = 'queued' AND c.queue = q.name
    AND (c.concurrency_key IS NULL OR c.concurrency_limit > (
      SELECT count(*) FROM tasks r WHERE r.status = 'running' AND r.concurrency_key = c.concurrency_key))
  ORDER BY c.priority DESC, c.ready_at, c.id LIMIT :limit FOR UPDATE SKIP LOCKED) t
WHERE (q.agent_id IS NULL OR q.agent_id = :agent_id)
  AND (CAST(:kinds AS text) IS NULL OR CAST(:kinds AS jsonb) ? q.kind)
  AND CAST(q.capabilities AS jsonb) <@ CAST(:skills AS jsonb)
ORDER BY t.priority DESC, t.ready_at, t.id LIMIT :limit

-- name: concurrency_guard
SELECT 1 AS guarded WHERE :key = :key

-- name: concurrency_guard (postgres)
SELECT 1 AS guarded FROM pg_advisory_xact_lock(hashtextextended('concurrency ' || :key, hashtext(current_schema())))

-- name: concurrency_running
SELECT count(*) AS running FROM tasks WHERE status = 'running' AND concurrency_key = :key

-- name: due_tasks
SELECT id FROM tasks WHERE due_at <= :now ORDER BY due_at, id LIMIT :limit {{skip_locked}}

-- What is due by a clock that was ahead, and what stands behind all others in its queue by one: of each priority that a
-- queue has, the end alone is looked at. Not (long): the timer asks once, at its start, and nothing is handed on until
-- it knows.
-- name: tasks_ahead
WITH RECURSIVE line (queue, priority) AS (
  SELECT q.name, (SELECT MAX(t.priority) FROM tasks t WHERE t.status = 'queued' AND t.queue = q.name) FROM queues q
  UNION ALL
  SELECT line.queue, (
    SELECT MAX(t.priority) FROM tasks t
    WHERE t.status = 'queued' AND t.queue = line.queue AND t.priority < line.priority)
  FROM line WHERE line.priority IS NOT NULL)
SELECT DISTINCT id FROM (
  SELECT id FROM tasks WHERE due_at > :now AND updated_at > :ahead
  UNION ALL SELECT t.id FROM line CROSS JOIN tasks t
    WHERE t.status = 'queued' AND t.queue = line.queue AND t.priority = line.priority AND t.ready_at > :ahead
  UNION ALL SELECT id FROM tasks WHERE status = 'paused' AND updated_at > :ahead) AS ahead

-- What is queued in each queue, counted up to a number, and who is first.
-- name: queued_by_queue
SELECT q.kind, q.agent_id, q.capabilities, (
  SELECT count(*) FROM (SELECT 1 FROM tasks t WHERE t.status = 'queued' AND t.queue = q.name LIMIT :at_most) AS part
) AS tasks, (
  SELECT t.id FROM tasks t WHERE t.status = 'queued' AND t.queue = q.name
  ORDER BY t.priority DESC, t.ready_at, t.id LIMIT 1) AS first_id, (
  SELECT t.concurrency_key FROM tasks t WHERE t.status = 'queued' AND t.queue = q.name
  ORDER BY t.priority DESC, t.ready_at, t.id LIMIT 1) AS first_key
FROM queues q

-- The queues of what agents do, as the tasks that are queued there.
-- name: queues_for_agents
SELECT name, agent_id, capabilities AS required_capabilities, 'queued' AS status FROM queues
WHERE substr(kind, 1, 7) <> 'system.'

-- name: task_kinds
SELECT DISTINCT kind FROM queues WHERE substr(kind, 1, 7) <> 'system.' ORDER BY kind LIMIT 1000

-- name: why_not_queued
SELECT
  (SELECT count(*) FROM (
    SELECT 1 FROM tasks WHERE status = 'pending' AND waits_on > 0 LIMIT :at_most) AS part) AS blocked,
  (SELECT count(*) FROM (
    SELECT 1 FROM tasks WHERE status = 'pending' AND system = 0 AND due_at IS NOT NULL LIMIT :at_most) AS part
  ) AS scheduled,
  (SELECT count(*) FROM (
    SELECT 1 FROM tasks WHERE approval = 'required' AND status = 'pending' AND waits_on = 0 AND system = 0
    LIMIT :at_most) AS part) AS gated,
  (SELECT count(*) FROM (SELECT 1 FROM tasks WHERE status = 'paused' LIMIT :at_most) AS part) AS paused

-- name: archivable_tasks
SELECT t.id FROM tasks t
WHERE t.created_at < :before AND t.finished_at < :before AND t.waits_on = 0
  AND (SELECT 1 FROM dependencies d WHERE d.parent_id = t.id LIMIT 1) IS NULL
ORDER BY t.created_at, t.id LIMIT :limit {{skip_locked}}

-- name: anything_archivable
SELECT t.id FROM tasks t
WHERE t.created_at < :before AND t.finished_at < :before AND t.waits_on = 0
  AND (SELECT 1 FROM dependencies d WHERE d.parent_id = t.id LIMIT 1) IS NULL
ORDER BY t.created_at LIMIT 1

-- name: archive_copy
INSERT INTO archived_tasks SELECT * FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))

-- name: archive_copy (postgres)
INSERT INTO archived_tasks SELECT * FROM tasks WHERE id IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))

-- name: archive_remove
DELETE FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))

-- name: archive_remove (postgres)
DELETE FROM tasks WHERE id IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))

-- name: unarchive_copy
INSERT INTO tasks SELECT * FROM archived_tasks WHERE id = :id

-- name: unarchive_remove
DELETE FROM archived_tasks WHERE id = :id

-- name: archived_task_by_id (short)
SELECT * FROM archived_tasks WHERE id = :id

-- name: archived_task_by_idempotency_key
SELECT * FROM archived_tasks WHERE idempotency_key = :key AND key_owner = :owner

-- name: tasks_find
SELECT * FROM tasks WHERE TRUE {{filters}} ORDER BY created_at DESC, id DESC LIMIT :limit

-- name: tasks_find_count
SELECT count(*) AS n FROM (SELECT 1 FROM tasks WHERE TRUE {{filters}} LIMIT :counted) AS matched

-- Tags are those of hot and of archived tasks: what is older than all of these, or newer, is passed over at once. They are
-- counted in an order as well: PostgreSQL would else read them all first.
-- name: tasks_tagged
SELECT tasks.* FROM task_tags CROSS JOIN tasks ON tasks.id = tagged_id
WHERE tag = :task_tag AND tagged_at >= (SELECT MIN(created_at) FROM tasks) {{filters}}
ORDER BY tagged_at DESC, tagged_id DESC LIMIT :limit

-- name: tasks_tagged (postgres)
SELECT tasks.* FROM task_tags JOIN tasks ON tasks.id = tagged_id
WHERE tag = :task_tag AND tagged_at >= (SELECT MIN(created_at) FROM tasks) {{filters}}
ORDER BY tagged_at DESC, tagged_id DESC LIMIT :limit

-- name: tasks_tagged_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM task_tags CROSS JOIN tasks ON tasks.id = tagged_id
  WHERE tag = :task_tag AND tagged_at >= (SELECT MIN(created_at) FROM tasks) {{filters}}
  ORDER BY tagged_at DESC, tagged_id DESC LIMIT :counted) AS matched

-- name: tasks_tagged_count (postgres)
SELECT count(*) AS n FROM (
  SELECT 1 FROM task_tags JOIN tasks ON tasks.id = tagged_id
  WHERE tag = :task_tag AND tagged_at >= (SELECT MIN(created_at) FROM tasks) {{filters}}
  ORDER BY tagged_at DESC, tagged_id DESC LIMIT :counted) AS matched

-- name: archived_tasks_find
SELECT * FROM archived_tasks WHERE TRUE {{filters}} ORDER BY created_at DESC, id DESC LIMIT :limit

-- name: archived_tasks_find_count
SELECT count(*) AS n FROM (SELECT 1 FROM archived_tasks WHERE TRUE {{filters}} LIMIT :counted) AS matched

-- name: archived_tasks_tagged
SELECT archived_tasks.* FROM task_tags CROSS JOIN archived_tasks ON archived_tasks.id = tagged_id
WHERE tag = :task_tag AND tagged_at <= (SELECT MAX(created_at) FROM archived_tasks) {{filters}}
ORDER BY tagged_at DESC, tagged_id DESC LIMIT :limit

-- name: archived_tasks_tagged (postgres)
SELECT archived_tasks.* FROM task_tags JOIN archived_tasks ON archived_tasks.id = tagged_id
WHERE tag = :task_tag AND tagged_at <= (SELECT MAX(created_at) FROM archived_tasks) {{filters}}
ORDER BY tagged_at DESC, tagged_id DESC LIMIT :limit

-- name: archived_tasks_tagged_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM task_tags CROSS JOIN archived_tasks ON archived_tasks.id = tagged_id
  WHERE tag = :task_tag AND tagged_at <= (SELECT MAX(created_at) FROM archived_tasks) {{filters}}
  ORDER BY tagged_at, tagged_id LIMIT :counted) AS matched

-- name: archived_tasks_tagged_count (postgres)
SELECT count(*) AS n FROM (
  SELECT 1 FROM task_tags JOIN archived_tasks ON archived_tasks.id = tagged_id
  WHERE tag = :task_tag AND tagged_at <= (SELECT MAX(created_at) FROM archived_tasks) {{filters}}
  ORDER BY tagged_at, tagged_id LIMIT :counted) AS matched

-- name: filter.task_not_system
AND system = 0

-- name: filter.task_status_pending
AND status = 'pending'

-- name: filter.task_status_queued
AND status = 'queued'

-- name: filter.task_status_running
AND status = 'running'

-- name: filter.task_status_paused
AND status = 'paused'

-- name: filter.task_status_completed
AND status = 'completed'

-- Said twice, the second time as what PostgreSQL is told late: nearly all that has ended is completed, and it would look
-- for it among all tasks, the newest of which may all be waiting.
-- name: filter.task_status_completed (postgres)
AND status = 'completed' AND status BETWEEN (SELECT 'completed') AND (SELECT 'completed')

-- name: filter.task_status_failed
AND status = 'failed'

-- name: filter.task_status_cancelled
AND status = 'cancelled'

-- name: filter.task_status_timed_out
AND status = 'timed_out'

-- What is queued and cannot be claimed now: nobody can take it up, or its concurrency key is held.
-- name: filter.task_in_queues
AND status = 'queued' AND queue IN (SELECT value FROM json_each(:queues_held_up))

-- name: filter.task_in_queues (postgres)
AND status = 'queued' AND queue = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:queues_held_up AS jsonb))))

-- name: filter.task_key_held
AND status = 'queued' AND queue NOT IN (SELECT value FROM json_each(:queues_held_up))
AND concurrency_key IN (SELECT value FROM json_each(:keys_held)) AND concurrency_limit <= (
  SELECT count(*) FROM tasks r WHERE r.status = 'running' AND r.concurrency_key = tasks.concurrency_key)

-- name: filter.task_key_held (postgres)
AND status = 'queued' AND queue <> ALL (ARRAY(SELECT jsonb_array_elements_text(CAST(:queues_held_up AS jsonb))))
AND concurrency_key = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:keys_held AS jsonb))))
AND concurrency_limit <= (
  SELECT count(*) FROM tasks r WHERE r.status = 'running' AND r.concurrency_key = tasks.concurrency_key)

-- name: filter.task_schedules
AND schedule IS NOT NULL

-- name: filter.task_blocked
AND status = 'pending' AND waits_on > 0

-- What an agent works on; what names it, and what it ended, that is not told already.
-- name: filter.task_leased
AND status = 'running' AND lease_agent_id = :task_agent

-- name: filter.task_named
AND agent_id = :task_agent AND (lease_agent_id IS NULL OR lease_agent_id <> :task_agent)

-- name: filter.task_finished
AND finished_by = :task_agent AND (agent_id IS NULL OR agent_id <> :task_agent)
AND (lease_agent_id IS NULL OR lease_agent_id <> :task_agent)

-- name: filter.task_kind
AND kind = :task_kind

-- name: filter.task_system_kind
AND (kind = :task_kind OR (kind >= :kind_low AND kind < :kind_high))

-- name: filter.task_parent
AND parent_id = :task_parent

-- What counts an agent's tasks, by one column each.
-- name: filter.task_assignee
AND agent_id = :task_agent

-- name: filter.task_finisher
AND finished_by = :task_agent

-- name: task_tags_count
SELECT count(*) AS n FROM (SELECT 1 FROM task_tags WHERE tag = :task_tag LIMIT :counted) AS part

-- The same asked of what another filter has found. Of a column as it stands an engine would look for an index of its own,
-- and take the one of which a million are alike.
-- name: filter.task_status_beside
AND status || '' = :task_status

-- name: filter.task_blocked_beside
AND status || '' = 'pending' AND waits_on > 0

-- name: filter.task_schedules_beside
AND schedule || '' IS NOT NULL

-- name: filter.task_kind_beside
AND kind || '' = :task_kind

-- name: filter.task_system_kind_beside
AND (kind || '' = :task_kind OR (kind || '' >= :kind_low AND kind || '' < :kind_high))

-- name: filter.task_parent_beside
AND parent_id || '' = :task_parent

-- One row is looked up for each; whether there is any PostgreSQL would find out by reading all that is tagged so.
-- name: filter.task_tag_beside
AND id = (SELECT tagged_id FROM task_tags WHERE tag = :task_tag AND tagged_at = created_at AND tagged_id = id)

-- name: filter.task_agent_beside
AND (agent_id || '' = :task_agent OR finished_by || '' = :task_agent
  OR (status || '' = 'running' AND lease_agent_id || '' = :task_agent))

-- name: filter.task_text (long)
AND {{text_holds}}

-- name: filter.task_text_indexed (long)
AND id IN ({{texts_holding}})

-- Looked up first: of what holds a text PostgreSQL takes so much to be there that it reads the list until it meets it.
-- name: filter.task_text_indexed (postgres)
AND id = ANY (ARRAY({{texts_holding}}))

-- name: filter.task_text_among (long)
AND {{among_texts}}

-- name: tasks_every
SELECT id, title, description, created_at AS at FROM tasks WHERE id > :after ORDER BY id LIMIT :limit

-- name: tasks_every_in_time
SELECT id, title, description, created_at AS at FROM tasks
WHERE (created_at, id) > (:after_at, :after) ORDER BY created_at, id LIMIT :limit

-- name: archive_every
SELECT id, title, description, created_at AS at FROM archived_tasks WHERE id > :after ORDER BY id LIMIT :limit

-- name: archive_every_in_time
SELECT id, title, description, created_at AS at FROM archived_tasks
WHERE (created_at, id) > (:after_at, :after) ORDER BY created_at, id LIMIT :limit

-- name: filter.task_after
AND (created_at, id) < (:after_at, :after_id)

-- name: filter.task_tagged_after
AND (tagged_at, tagged_id) < (:after_at, :after_id)

-- name: task_counts
SELECT
  (SELECT count(*) FROM (
    SELECT 1 FROM tasks WHERE status = 'pending' AND system = 0 LIMIT :counted) AS part) AS pending,
  (SELECT count(*) FROM (
    SELECT 1 FROM tasks WHERE status = 'queued' AND system = 0 LIMIT :counted) AS part) AS queued,
  (SELECT count(*) FROM (
    SELECT 1 FROM tasks WHERE status = 'running' AND system = 0 LIMIT :counted) AS part) AS running,
  (SELECT count(*) FROM (
    SELECT 1 FROM tasks WHERE status = 'paused' AND system = 0 LIMIT :counted) AS part) AS paused,
  (SELECT count(*) FROM (
    SELECT 1 FROM tasks WHERE status = 'failed' AND system = 0 LIMIT :counted) AS part) AS failed,
  (SELECT count(*) FROM (
    SELECT 1 FROM tasks WHERE status = 'timed_out' AND system = 0 LIMIT :counted) AS part) AS timed_out

-- name: complete_kinds
SELECT DISTINCT kind AS value FROM queues
WHERE kind >= :low AND kind < :high AND kind NOT LIKE 'system.%' ORDER BY kind LIMIT 100

-- name: complete_task_ids
SELECT id AS value FROM tasks WHERE id >= :low AND id < :high ORDER BY id LIMIT 100

-- name: task_by_token (short)
SELECT id, lease_agent_id FROM tasks WHERE lease_token_hash = :lease_token_hash

-- name: leases_held
SELECT id, lease_instance_id FROM tasks
WHERE lease_agent_id = :agent_id AND status = 'running' AND lease_expires_at > :now ORDER BY started_at, id LIMIT :limit

-- name: tasks_pinned
SELECT id, status FROM tasks WHERE agent_id = :agent_id AND status <> 'completed' ORDER BY id

-- name: tasks_pinned_whole
SELECT * FROM tasks WHERE agent_id = :agent_id AND status <> 'completed' ORDER BY id {{for_update}}

-- What waits for one agent alone, counted up to a number.
-- name: tasks_waiting_for
SELECT id FROM tasks WHERE agent_id = :agent_id AND status <> 'completed'
AND status IN ('pending', 'queued', 'paused') ORDER BY id LIMIT :counted

-- name: agent_leases
SELECT id, due_at FROM tasks WHERE lease_agent_id = :id AND status = 'running' ORDER BY id

-- What agents work on, the longest first.
-- name: leases_of_many
SELECT id, lease_agent_id, started_at FROM tasks
WHERE status = 'running' AND lease_agent_id IN (SELECT value FROM json_each(:ids)) ORDER BY started_at, id LIMIT :limit

-- name: leases_of_many (postgres)
SELECT id, lease_agent_id, started_at FROM tasks
WHERE status = 'running' AND lease_agent_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))
ORDER BY started_at, id LIMIT :limit

-- name: instance_leases
SELECT id FROM tasks WHERE lease_agent_id = :agent_id AND lease_instance_id = :instance_id AND status = 'running'
ORDER BY id

-- How much is ready in each queue, counted up to a number: who asks needs no more of it than that.
-- name: ready_by_queue
SELECT q.kind, q.agent_id, q.capabilities, (
  SELECT count(*) FROM (SELECT 1 FROM tasks t WHERE t.status = 'queued' AND t.queue = q.name LIMIT :at_most) AS ready
) AS tasks FROM queues q

-- A system task's queue is named after its kind alone, so that each kind is one look at the head of its queue.
-- name: system_ready
SELECT k.value AS kind FROM json_each(:kinds) AS k
WHERE EXISTS (SELECT 1 FROM tasks t WHERE t.status = 'queued' AND t.queue = k.value || '||')

-- name: system_ready (postgres)
SELECT k.value AS kind FROM jsonb_array_elements_text(CAST(:kinds AS jsonb)) AS k (value)
WHERE EXISTS (SELECT 1 FROM tasks t WHERE t.status = 'queued' AND t.queue = k.value || '||')

-- name: archived_task_whole
SELECT * FROM archived_tasks WHERE id = :id {{for_update}}

-- name: due.tasks
SELECT MIN(due_at) AS at FROM tasks WHERE due_at IS NOT NULL

-- What the queue tells of an agent, wherever a statement calls it `a`.
-- name: fragment.running_of_agent
(SELECT count(*) FROM tasks t WHERE t.lease_agent_id = a.id AND t.status = 'running')

-- name: fragment.work_of_agent
(SELECT count(*) FROM tasks t WHERE t.lease_agent_id = a.id AND t.status = 'running') AS running,
EXISTS (SELECT 1 FROM tasks t WHERE t.due_at <= :now) AS anything_due

-- In an order, so that it is looked up: PostgreSQL takes one agent of few for as good as the next, and reads until it
-- meets one.
-- name: fragment.worked_of_agent
COALESCE((SELECT 1 FROM tasks f WHERE f.finished_by = a.id ORDER BY f.finished_at LIMIT 1), 0)

-- name: fragment.attempts_of_agent
SELECT status, finished_at - started_at AS duration, started_at - ready_at AS wait FROM tasks
WHERE finished_by = :agent_id ORDER BY finished_at DESC LIMIT :limit

-- What a client's hook tells of an agent's leases.
-- name: leases_glance
SELECT id, title, started_at, lease_expires_at FROM tasks
WHERE lease_agent_id = :agent_id AND status = 'running' ORDER BY started_at, id LIMIT :limit

-- And of what is ready for it alone, or for those who can do what it can; what anybody may take is nobody's news.
-- name: work_glance
SELECT t.id, t.title, t.attempt FROM queues q CROSS JOIN tasks t ON t.rowid IN (
  SELECT h.rowid FROM tasks h WHERE h.status = 'queued' AND h.queue = q.name
  ORDER BY h.priority DESC, h.ready_at, h.id LIMIT :limit)
WHERE t.system = 0 AND (q.agent_id = :agent_id OR (q.agent_id IS NULL AND q.capabilities <> '[]' AND NOT EXISTS (
  SELECT 1 FROM json_each(q.capabilities) need WHERE need.value NOT IN (SELECT value FROM json_each(:skills)))))
ORDER BY t.priority DESC, t.ready_at, t.id LIMIT :limit

-- name: work_glance (postgres)
SELECT t.id, t.title, t.attempt FROM queues q CROSS JOIN LATERAL (
  SELECT * FROM tasks h WHERE h.status = 'queued' AND h.queue = q.name AND h.system = 0
  ORDER BY h.priority DESC, h.ready_at, h.id LIMIT :limit) AS t
WHERE q.agent_id = :agent_id OR (q.agent_id IS NULL AND q.capabilities <> '[]'
  AND CAST(q.capabilities AS jsonb) <@ CAST(:skills AS jsonb))
ORDER BY t.priority DESC, t.ready_at, t.id LIMIT :limit
