-- An inbox is a party's: an agent's by its id, or a person's as `user:NAME`.
ALTER TABLE deliveries RENAME COLUMN agent_id TO party;
CREATE INDEX deliveries_owed ON deliveries (ack_due_at, message_id, party)
  WHERE ack_due_at IS NOT NULL AND acknowledged_at IS NULL;

-- Whose a message is, and its place in its thread, which is the order in which they were sent.
ALTER TABLE messages ADD COLUMN sender_party TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE messages SET sender_party = CASE WHEN sender LIKE 'agent:%' THEN substr(sender, 7) ELSE sender END;
ALTER TABLE messages ADD COLUMN place BIGINT NOT NULL DEFAULT 0;
UPDATE messages SET place = ranked.place FROM (
  SELECT m.id, row_number() OVER (PARTITION BY m.thread_id ORDER BY m.created_at, MIN(e.seq)) AS place
  FROM messages m JOIN events e ON e.aggregate_id = m.id AND e.type IN ('message.sent', 'message.snapshot')
  GROUP BY m.id, m.thread_id, m.created_at) AS ranked
WHERE ranked.id = messages.id;
-- Whom its sender named, as people call them; of old messages only ids are known.
ALTER TABLE messages ADD COLUMN recipients TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE messages SET recipients = COALESCE((
  SELECT string_agg(sorted.party, ' ') FROM (
    SELECT d.party FROM deliveries d WHERE d.message_id = messages.id ORDER BY d.party) AS sorted), '');
DROP INDEX messages_thread;
CREATE UNIQUE INDEX messages_thread ON messages (thread_id, place);
CREATE INDEX messages_sent ON messages (sender_party, created_at, id);

ALTER TABLE messages ADD COLUMN idempotency_key TEXT COLLATE "C";
ALTER TABLE messages ADD COLUMN key_owner TEXT COLLATE "C";
ALTER TABLE messages ADD COLUMN content_hash TEXT COLLATE "C";
CREATE UNIQUE INDEX messages_idempotency ON messages (idempotency_key, key_owner) WHERE idempotency_key IS NOT NULL;
