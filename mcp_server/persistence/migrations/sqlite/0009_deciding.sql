-- What a task asked about will do; whose the question is; whether the operator named its people; idempotency keys.
ALTER TABLE approvals ADD COLUMN about TEXT;
ALTER TABLE approvals ADD COLUMN requester TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN named_by_operator INTEGER NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN idempotency_key TEXT;
ALTER TABLE approvals ADD COLUMN key_owner TEXT;
ALTER TABLE approvals ADD COLUMN content_hash TEXT;
UPDATE approvals SET requester =
  CASE WHEN substr(requested_by, 1, 6) = 'agent:' THEN substr(requested_by, 7) ELSE requested_by END;
UPDATE approvals SET named_by_operator = 1
  WHERE substr(action, 1, 56) = 'Send this email. Not on the list of allowed recipients: ';
CREATE INDEX approvals_requester ON approvals (requester) WHERE status = 'pending';
CREATE UNIQUE INDEX approvals_idempotency ON approvals (idempotency_key, key_owner) WHERE idempotency_key IS NOT NULL;

-- Sealed states that came back with an answer: each counts once, in whichever process.
CREATE TABLE spent_seals (
  id TEXT PRIMARY KEY,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whether a task ended because of a person's no, to itself or to what it hung on.
ALTER TABLE tasks ADD COLUMN refused INTEGER;
ALTER TABLE archived_tasks ADD COLUMN refused INTEGER;
