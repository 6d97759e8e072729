-- name: message_insert
INSERT INTO messages (id, thread_id, sender, subject, body, importance, ack_due_at, created_at, version)
VALUES (:id, :thread_id, :sender, :subject, :body, :importance, :ack_due_at, :created_at, :version)

-- name: delivery_insert
INSERT INTO deliveries (message_id, agent_id, place, ack_due_at) VALUES (:message_id, :agent_id, :place, :ack_due_at)

-- name: delivery_update
UPDATE deliveries SET
  read_at = COALESCE(:read_at, read_at),
  acknowledged_at = COALESCE(:acknowledged_at, acknowledged_at),
  ack_missed_at = COALESCE(:ack_missed_at, ack_missed_at)
WHERE message_id = :message_id AND agent_id = :agent_id

-- name: delivery_update (postgres)
UPDATE deliveries SET
  read_at = COALESCE(CAST(:read_at AS bigint), read_at),
  acknowledged_at = COALESCE(CAST(:acknowledged_at AS bigint), acknowledged_at),
  ack_missed_at = COALESCE(CAST(:ack_missed_at AS bigint), ack_missed_at)
WHERE message_id = :message_id AND agent_id = :agent_id

-- name: delivery_for_update
SELECT * FROM deliveries WHERE message_id = :message_id AND agent_id = :agent_id {{for_update}}

-- name: deliveries_overdue
SELECT * FROM deliveries
WHERE ack_due_at <= :now AND ack_due_at IS NOT NULL AND acknowledged_at IS NULL AND ack_missed_at IS NULL
ORDER BY ack_due_at LIMIT :limit {{skip_locked}}

-- name: inbox_end
SELECT place FROM deliveries WHERE agent_id = :agent_id ORDER BY place DESC LIMIT 1

-- name: inbox_unread
SELECT d.*, m.thread_id, m.sender, m.subject, m.body, m.importance, m.created_at
FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.agent_id = :agent_id AND d.read_at IS NULL AND (:thread_id IS NULL OR m.thread_id = :thread_id)
ORDER BY d.place LIMIT :limit

-- name: inbox_unread (postgres)
SELECT d.*, m.thread_id, m.sender, m.subject, m.body, m.importance, m.created_at
FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.agent_id = :agent_id AND d.read_at IS NULL
  AND (CAST(:thread_id AS text) IS NULL OR m.thread_id = :thread_id)
ORDER BY d.place LIMIT :limit FOR UPDATE OF d

-- name: inbox_any_unread
SELECT 1 AS found FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.agent_id = :agent_id AND d.read_at IS NULL AND (:thread_id IS NULL OR m.thread_id = :thread_id) LIMIT 1

-- name: inbox_any_unread (postgres)
SELECT 1 AS found FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.agent_id = :agent_id AND d.read_at IS NULL
  AND (CAST(:thread_id AS text) IS NULL OR m.thread_id = :thread_id) LIMIT 1

-- name: inbox_after
SELECT d.*, m.thread_id, m.sender, m.subject, m.body, m.importance, m.created_at
FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.agent_id = :agent_id AND d.place > :place AND (:thread_id IS NULL OR m.thread_id = :thread_id)
ORDER BY d.place LIMIT :limit

-- name: inbox_after (postgres)
SELECT d.*, m.thread_id, m.sender, m.subject, m.body, m.importance, m.created_at
FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.agent_id = :agent_id AND d.place > :place
  AND (CAST(:thread_id AS text) IS NULL OR m.thread_id = :thread_id)
ORDER BY d.place LIMIT :limit

-- name: inbox_count
SELECT count(*) AS n FROM deliveries WHERE agent_id = :agent_id AND read_at IS NULL

-- name: thread_known
SELECT 1 AS found FROM messages WHERE thread_id = :thread_id LIMIT 1

-- name: message_whole
SELECT * FROM messages WHERE id = :id {{for_update}}

-- name: deliveries_whole
SELECT * FROM deliveries WHERE message_id = :id ORDER BY agent_id

-- name: message_clear
DELETE FROM messages WHERE id = :id

-- name: delivery_restore
INSERT INTO deliveries (message_id, agent_id, place, read_at, acknowledged_at, ack_due_at, ack_missed_at)
VALUES (:message_id, :agent_id, :place, :read_at, :acknowledged_at, :ack_due_at, :ack_missed_at)

-- name: due.acknowledgements
SELECT MIN(ack_due_at) AS at FROM deliveries
WHERE ack_due_at IS NOT NULL AND acknowledged_at IS NULL AND ack_missed_at IS NULL

-- What inboxes tell of an agent, wherever a statement calls it `a`.
-- name: fragment.unread_of_agent
(SELECT count(*) FROM deliveries d WHERE d.agent_id = a.id AND d.read_at IS NULL)
