-- name: message_insert
INSERT INTO messages (id, thread_id, place, sender, sender_party, recipients, subject, body, importance, ack_due_at,
  created_at, version, idempotency_key, key_owner, content_hash)
VALUES (:id, :thread_id, :place, :sender, :sender_party, :recipients, :subject, :body, :importance, :ack_due_at,
  :created_at, :version, :idempotency_key, :key_owner, :content_hash)

-- name: message_by_idempotency_key
SELECT * FROM messages WHERE idempotency_key = :key AND key_owner = :owner

-- name: delivery_insert
INSERT INTO deliveries (message_id, party, place, ack_due_at) VALUES (:message_id, :party, :place, :ack_due_at)

-- name: delivery_update
UPDATE deliveries SET
  read_at = COALESCE(:read_at, read_at),
  acknowledged_at = COALESCE(:acknowledged_at, acknowledged_at),
  ack_missed_at = COALESCE(:ack_missed_at, ack_missed_at),
  ack_due_at = COALESCE(:ack_due_at, ack_due_at)
WHERE message_id = :message_id AND party = :party

-- name: delivery_update (postgres)
UPDATE deliveries SET
  read_at = COALESCE(CAST(:read_at AS bigint), read_at),
  acknowledged_at = COALESCE(CAST(:acknowledged_at AS bigint), acknowledged_at),
  ack_missed_at = COALESCE(CAST(:ack_missed_at AS bigint), ack_missed_at),
  ack_due_at = COALESCE(CAST(:ack_due_at AS bigint), ack_due_at)
WHERE message_id = :message_id AND party = :party

-- name: delivery_move
UPDATE deliveries SET party = :to, place = :place WHERE message_id = :message_id AND party = :party

-- name: delivery_delete
DELETE FROM deliveries WHERE message_id = :message_id AND party = :party

-- name: delivery_for_update
SELECT * FROM deliveries WHERE message_id = :message_id AND party = :party {{for_update}}

-- Of what somebody has not read, what another has got as well.
-- name: deliveries_of_both
SELECT d.message_id FROM deliveries d JOIN deliveries o ON o.message_id = d.message_id AND o.party = :other
WHERE d.party = :party AND d.read_at IS NULL

-- name: deliveries_overdue
SELECT * FROM deliveries
WHERE ack_due_at <= :now AND ack_due_at IS NOT NULL AND acknowledged_at IS NULL AND ack_missed_at IS NULL
ORDER BY ack_due_at LIMIT :limit {{skip_locked}}

-- name: deliveries_ahead
SELECT d.message_id, d.party, m.ack_due_at - m.created_at AS within
FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.ack_due_at > :now AND d.acknowledged_at IS NULL AND d.ack_missed_at IS NULL AND m.created_at > :ahead
  AND d.ack_due_at > :ahead + (m.ack_due_at - m.created_at)

-- name: inbox_end
SELECT place FROM deliveries WHERE party = :party ORDER BY place DESC LIMIT 1

-- name: inbox_unread
SELECT d.*, {{name_of_party}} AS name, {{message_told}}
FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.party = :party AND d.read_at IS NULL AND (:thread_id IS NULL OR m.thread_id = :thread_id)
  AND {{important}}
ORDER BY d.place LIMIT :limit

-- name: inbox_unread (postgres)
SELECT d.*, {{name_of_party}} AS name, {{message_told}}
FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.party = :party AND d.read_at IS NULL
  AND (CAST(:thread_id AS text) IS NULL OR m.thread_id = :thread_id) AND {{important}}
ORDER BY d.place LIMIT :limit FOR UPDATE OF d

-- name: inbox_any_unread
SELECT 1 AS found FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.party = :party AND d.read_at IS NULL AND (:thread_id IS NULL OR m.thread_id = :thread_id)
  AND {{important}} LIMIT 1

-- name: inbox_any_unread (postgres)
SELECT 1 AS found FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.party = :party AND d.read_at IS NULL
  AND (CAST(:thread_id AS text) IS NULL OR m.thread_id = :thread_id) AND {{important}} LIMIT 1

-- name: inbox_unread_ids
SELECT * FROM deliveries WHERE party = :party AND read_at IS NULL ORDER BY place {{for_update}}

-- name: inbox_unread_known
SELECT message_id FROM deliveries WHERE party = :party AND read_at IS NULL ORDER BY place LIMIT :counted

-- name: inbox
SELECT d.*, {{name_of_party}} AS name, {{message_told}} FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.party = :party AND d.place > :place {{filters}} ORDER BY d.place LIMIT :limit

-- name: filter.inbox_unread
AND d.read_at IS NULL

-- name: filter.of_importance
AND {{important}}

-- name: filter.inbox_thread
AND m.thread_id = :thread_id

-- name: inbox_count
SELECT count(*) AS n FROM deliveries WHERE party = :party AND read_at IS NULL

-- name: thread_end
SELECT place FROM messages WHERE thread_id = :thread_id ORDER BY place DESC LIMIT 1

-- name: thread_of
SELECT thread_id FROM messages WHERE id = :id

-- name: thread_start
SELECT place FROM messages WHERE thread_id = :thread_id ORDER BY place LIMIT 1

-- What rebuilding does last: messages that stand below zero, in the order sent, fill the places that are free, as
-- migration 0008 numbered them.
-- name: threads_fill
WITH numbered AS (
  SELECT thread_id, row_number() OVER (PARTITION BY thread_id ORDER BY id) AS place FROM messages),
free AS (
  SELECT n.thread_id, n.place, row_number() OVER (PARTITION BY n.thread_id ORDER BY n.place) AS nth FROM numbered n
  WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.thread_id = n.thread_id AND m.place = n.place)),
unplaced AS (
  SELECT id, thread_id, row_number() OVER (PARTITION BY thread_id ORDER BY created_at, place DESC) AS nth
  FROM messages WHERE place < 0)
UPDATE messages SET place = free.place
FROM unplaced JOIN free ON free.thread_id = unplaced.thread_id AND free.nth = unplaced.nth
WHERE unplaced.id = messages.id

-- name: thread_part
SELECT 1 AS found FROM messages m
WHERE m.thread_id = :thread_id AND (m.sender_party = :party
  OR EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = m.id AND d.party = :party)) LIMIT 1

-- Who takes part in a thread, but for one.
-- name: thread_parties
SELECT parties.party FROM (
  SELECT m.sender_party AS party FROM messages m WHERE m.thread_id = :thread_id
  UNION
  SELECT d.party FROM deliveries d JOIN messages m ON m.id = d.message_id WHERE m.thread_id = :thread_id) AS parties
WHERE parties.party <> :party ORDER BY parties.party

-- A thread with what became of each message in one inbox.
-- name: thread
SELECT m.id AS message_id, m.place, m.sender_party, {{message_told}}, m.ack_due_at, d.party, d.read_at,
  d.acknowledged_at, {{name_of_party}} AS name
FROM messages m LEFT JOIN deliveries d ON d.message_id = m.id AND d.party = :party
WHERE m.thread_id = :thread_id AND m.place > :place {{filters}} ORDER BY m.place LIMIT :limit

-- What became of messages that a party sent into a thread, from one place to another.
-- name: thread_states
SELECT d.*, {{name_of_party}} AS name FROM messages m JOIN deliveries d ON d.message_id = m.id
WHERE m.thread_id = :thread_id AND m.sender_party = :party AND m.place >= :first AND m.place <= :last
ORDER BY d.message_id, d.party

-- name: sent
SELECT m.id AS message_id, {{message_told}}, m.ack_due_at FROM messages m
WHERE m.sender_party = :party {{filters}} ORDER BY m.created_at DESC, m.id DESC LIMIT :limit

-- name: filter.sent_before
AND (m.created_at, m.id) < (:before_at, :before_id)

-- What became of messages.
-- name: states_of
SELECT d.*, {{name_of_party}} AS name FROM deliveries d WHERE d.message_id IN (SELECT value FROM json_each(:ids))
ORDER BY d.message_id, d.party

-- name: states_of (postgres)
SELECT d.*, {{name_of_party}} AS name FROM deliveries d
WHERE d.message_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))
ORDER BY d.message_id, d.party

-- What a party sent or got, with what became of it in its inbox.
-- name: messages_found
SELECT m.id AS message_id, {{message_told}}, m.sender_party, m.ack_due_at, d.party, d.read_at, d.acknowledged_at, {{name_of_party}} AS name
FROM messages m LEFT JOIN deliveries d ON d.message_id = m.id AND d.party = :party
WHERE (m.sender_party = :party OR d.party IS NOT NULL) {{filters}} ORDER BY m.created_at DESC, m.id DESC LIMIT :limit

-- name: messages_found_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM messages m LEFT JOIN deliveries d ON d.message_id = m.id AND d.party = :party
  WHERE (m.sender_party = :party OR d.party IS NOT NULL) {{filters}} LIMIT :counted) AS matched

-- name: filter.found_sent
AND m.sender_party = :sent_by

-- name: filter.message_text (long)
AND {{text_holds}}

-- name: filter.message_text_indexed (long)
AND m.id IN ({{texts_holding}})

-- name: filter.message_text_indexed (postgres)
AND m.id = ANY (ARRAY({{texts_holding}}))

-- name: filter.message_text_among (long)
AND {{among_texts}}

-- name: messages_every
SELECT id, sender, recipients, subject, body, created_at AS at FROM messages WHERE id > :after ORDER BY id LIMIT :limit

-- name: messages_every_in_time
SELECT id, sender, recipients, subject, body, created_at AS at FROM messages
WHERE (created_at, id) > (:after_at, :after) ORDER BY created_at, id LIMIT :limit

-- Acknowledgements that are owed by a party or to it.
-- name: owed
SELECT d.*, {{name_of_party}} AS name, {{message_told}} FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.ack_due_at IS NOT NULL AND d.acknowledged_at IS NULL AND (d.party = :party OR m.sender_party = :party)
{{filters}} ORDER BY d.ack_due_at, d.message_id, d.party LIMIT :limit

-- name: filter.owed_to_sender
AND m.sender_party = :party

-- name: filter.owed_after
AND (d.ack_due_at, d.message_id, d.party) > (:after_at, :after_id, :after_party)

-- On PostgreSQL keeps everyone else until the commit from giving out a place in the same thread or inbox.
-- name: order_guard
SELECT :name AS guarded

-- name: order_guard (postgres)
SELECT 1 AS guarded FROM pg_advisory_xact_lock(hashtextextended(:name, hashtext(current_schema())))

-- name: message_whole
SELECT * FROM messages WHERE id = :id {{for_update}}

-- name: deliveries_whole
SELECT * FROM deliveries WHERE message_id = :id ORDER BY party

-- name: deliveries_of
SELECT party FROM deliveries WHERE message_id = :id ORDER BY party

-- name: message_clear
DELETE FROM messages WHERE id = :id

-- name: delivery_restore
INSERT INTO deliveries (message_id, party, place, read_at, acknowledged_at, ack_due_at, ack_missed_at)
VALUES (:message_id, :party, :place, :read_at, :acknowledged_at, :ack_due_at, :ack_missed_at)

-- name: due.acknowledgements
SELECT MIN(ack_due_at) AS at FROM deliveries
WHERE ack_due_at IS NOT NULL AND acknowledged_at IS NULL AND ack_missed_at IS NULL

-- What inboxes tell of an agent, wherever a statement calls it `a`.
-- name: fragment.unread_of_agent
(SELECT count(*) FROM deliveries d WHERE d.party = a.id AND d.read_at IS NULL)

-- What is told of a message `m` wherever it stands in a list.
-- name: fragment.message_told
m.thread_id, m.sender, m.recipients, m.subject, m.body, m.importance, m.created_at

-- Whether a message `m` is as important as some, whose names stand in one text.
-- name: fragment.important
instr(:importances, m.importance) > 0

-- name: fragment.important (postgres)
strpos(:importances, m.importance) > 0

-- name: filter.seen_message
AND (aggregate_type <> 'message'
  OR EXISTS (SELECT 1 FROM messages WHERE messages.id = aggregate_id AND messages.sender_party = :reader_party)
  OR EXISTS (SELECT 1 FROM deliveries WHERE message_id = aggregate_id AND party = :reader_party))

-- What a client's hook tells of an inbox: what came last and is unread.
-- name: inbox_glance
SELECT m.id, m.sender, m.subject, substr(m.body, 1, 400) AS body, m.importance
FROM deliveries d JOIN messages m ON m.id = d.message_id
WHERE d.party = :party AND d.read_at IS NULL ORDER BY d.place DESC LIMIT :limit
