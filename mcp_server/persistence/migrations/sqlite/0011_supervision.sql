-- What runs an agent's instances, how many of them there are to be, the rules by which that changes, and the last
-- decision about it.
ALTER TABLE agents ADD COLUMN launcher TEXT;
ALTER TABLE agents ADD COLUMN scaling TEXT;
ALTER TABLE agents ADD COLUMN desired_instances INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN decision TEXT;
CREATE INDEX agents_scaled ON agents (id) WHERE scaling IS NOT NULL;

-- Places for processes: what is wanted there, and what runs there now.
CREATE TABLE processes (
  id TEXT PRIMARY KEY,
  owner_kind TEXT NOT NULL,
  owner_id TEXT NOT NULL,
  slot INTEGER NOT NULL,
  scope TEXT NOT NULL,
  spec TEXT NOT NULL,
  wanted INTEGER NOT NULL,
  status TEXT NOT NULL,
  reason TEXT,
  host TEXT,
  pid INTEGER,
  started TEXT,
  boot TEXT,
  started_at INTEGER,
  stop_signal TEXT,
  stop_grace INTEGER,
  stop_at INTEGER,
  log TEXT,
  adopted INTEGER NOT NULL,
  starts INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  retry_at INTEGER,
  exit TEXT,
  exited_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX processes_slots ON processes (owner_kind, owner_id, slot);
CREATE INDEX processes_supervised ON processes (created_at, id) WHERE status <> 'stopped';

-- Who supervises what belongs to a scope on a host, and until when unless it is heard of again.
CREATE TABLE supervisors (
  scope TEXT NOT NULL,
  host TEXT NOT NULL,
  holder TEXT NOT NULL,
  fence INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (scope, host)
) STRICT, WITHOUT ROWID;
