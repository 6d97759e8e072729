-- What runs an agent's instances, how many of them there are to be, the rules by which that changes, and the last
-- decision about it.
ALTER TABLE agents ADD COLUMN launcher TEXT COLLATE "C";
ALTER TABLE agents ADD COLUMN scaling TEXT COLLATE "C";
ALTER TABLE agents ADD COLUMN desired_instances BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN decision TEXT COLLATE "C";
CREATE INDEX agents_scaled ON agents (id) WHERE scaling IS NOT NULL;

-- Places for processes: what is wanted there, and what runs there now.
CREATE TABLE processes (
  id TEXT COLLATE "C" PRIMARY KEY,
  owner_kind TEXT COLLATE "C" NOT NULL,
  owner_id TEXT COLLATE "C" NOT NULL,
  slot BIGINT NOT NULL,
  scope TEXT COLLATE "C" NOT NULL,
  spec TEXT COLLATE "C" NOT NULL,
  wanted BIGINT NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C",
  host TEXT COLLATE "C",
  pid BIGINT,
  started TEXT COLLATE "C",
  boot TEXT COLLATE "C",
  started_at BIGINT,
  stop_signal TEXT COLLATE "C",
  stop_grace BIGINT,
  stop_at BIGINT,
  log TEXT COLLATE "C",
  adopted BIGINT NOT NULL,
  starts BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  retry_at BIGINT,
  exit TEXT COLLATE "C",
  exited_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);
CREATE UNIQUE INDEX processes_slots ON processes (owner_kind, owner_id, slot);
CREATE INDEX processes_supervised ON processes (created_at, id) WHERE status <> 'stopped';

-- Who supervises what belongs to a scope on a host, and until when unless it is heard of again.
CREATE TABLE supervisors (
  scope TEXT COLLATE "C" NOT NULL,
  host TEXT COLLATE "C" NOT NULL,
  holder TEXT COLLATE "C" NOT NULL,
  fence BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (scope, host)
);
