-- Calls that land together, and the keys under which that is repeated.
CREATE TABLE commits (
  id TEXT PRIMARY KEY,
  idempotency_key TEXT NOT NULL,
  key_owner TEXT NOT NULL,
  content_hash TEXT NOT NULL,
  tools TEXT NOT NULL,
  made TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  UNIQUE (idempotency_key, key_owner)
) STRICT, WITHOUT ROWID;

-- What is done once people have said yes, as whom, and what came of it; what else than yes or no may be answered; whether
-- it is for those alone who take part.
ALTER TABLE approvals ADD COLUMN calls TEXT;
ALTER TABLE approvals ADD COLUMN asked_as TEXT;
ALTER TABLE approvals ADD COLUMN outcome TEXT;
ALTER TABLE approvals ADD COLUMN ran_at INTEGER;
ALTER TABLE approvals ADD COLUMN choices TEXT;
ALTER TABLE approvals ADD COLUMN free_text INTEGER NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN private INTEGER NOT NULL DEFAULT 0;
