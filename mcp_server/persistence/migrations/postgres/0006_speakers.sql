-- The principal that registered an agent; others speak as it only with the right to control agents.
ALTER TABLE agents ADD COLUMN registered_by TEXT COLLATE "C";
UPDATE agents SET registered_by = (
  SELECT e.actor FROM events e WHERE e.aggregate_id = agents.id AND e.type = 'agent.registered' ORDER BY e.seq LIMIT 1);

-- What of an agent an operator set, as a JSON list: nobody else changes it.
ALTER TABLE agents ADD COLUMN operator_set TEXT COLLATE "C" NOT NULL DEFAULT '[]';

UPDATE agents SET operator_set = '["budget","capabilities","max_concurrent_tasks"]' WHERE registered_by LIKE 'user:%';

-- Of a lease only the hash of its token is kept. Idempotency keys belong to the principal that used them.
ALTER TABLE tasks ADD COLUMN lease_token_hash TEXT COLLATE "C";
ALTER TABLE tasks ADD COLUMN key_owner TEXT COLLATE "C";
ALTER TABLE archived_tasks ADD COLUMN lease_token_hash TEXT COLLATE "C";
ALTER TABLE archived_tasks ADD COLUMN key_owner TEXT COLLATE "C";
UPDATE tasks SET key_owner = created_by WHERE idempotency_key IS NOT NULL;
UPDATE archived_tasks SET key_owner = created_by WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_tokens ON tasks (lease_token_hash) WHERE lease_token_hash IS NOT NULL;
DROP INDEX tasks_idempotency;
CREATE UNIQUE INDEX tasks_idempotency ON tasks (idempotency_key, key_owner) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_pinned ON tasks (agent_id) WHERE agent_id IS NOT NULL AND status <> 'completed';

ALTER TABLE emails ADD COLUMN key_owner TEXT COLLATE "C";
UPDATE emails SET key_owner = created_by WHERE idempotency_key IS NOT NULL;
DROP INDEX emails_idempotency;
CREATE UNIQUE INDEX emails_idempotency ON emails (idempotency_key, key_owner) WHERE idempotency_key IS NOT NULL;
