-- Idempotency keys of calls.
ALTER TABLE calls ADD COLUMN idempotency_key TEXT COLLATE "C";
ALTER TABLE calls ADD COLUMN key_owner TEXT COLLATE "C";
ALTER TABLE calls ADD COLUMN content_hash TEXT COLLATE "C";
CREATE UNIQUE INDEX calls_idempotency ON calls (idempotency_key, key_owner) WHERE idempotency_key IS NOT NULL;
