-- Calls that land together, and the keys under which that is repeated.
CREATE TABLE commits (
  id TEXT COLLATE "C" PRIMARY KEY,
  idempotency_key TEXT COLLATE "C" NOT NULL,
  key_owner TEXT COLLATE "C" NOT NULL,
  content_hash TEXT COLLATE "C" NOT NULL,
  tools TEXT COLLATE "C" NOT NULL,
  made TEXT COLLATE "C" NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  UNIQUE (idempotency_key, key_owner)
);

-- What is done once people have said yes, as whom, and what came of it; what else than yes or no may be answered; whether
-- it is for those alone who take part.
ALTER TABLE approvals ADD COLUMN calls TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN asked_as TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN outcome TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN ran_at BIGINT;
ALTER TABLE approvals ADD COLUMN choices TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN free_text BIGINT NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN private BIGINT NOT NULL DEFAULT 0;
