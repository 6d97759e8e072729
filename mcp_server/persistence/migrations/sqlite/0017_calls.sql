-- Calls: who takes part stands in the row, as JSON.
CREATE TABLE calls (
  id TEXT PRIMARY KEY,
  purpose TEXT NOT NULL,
  status TEXT NOT NULL,
  media TEXT NOT NULL,
  record INTEGER NOT NULL,
  task_id TEXT NOT NULL,
  opened_by TEXT NOT NULL,
  opener TEXT NOT NULL,
  participants TEXT NOT NULL,
  asked TEXT NOT NULL,
  muted INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  reason TEXT,
  minutes_max REAL NOT NULL,
  expires_at INTEGER NOT NULL,
  due_at INTEGER,
  started_at INTEGER,
  ended_at INTEGER,
  forgotten_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX calls_task ON calls (task_id);
CREATE INDEX calls_due ON calls (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX calls_old ON calls (ended_at) WHERE ended_at IS NOT NULL AND forgotten_at IS NULL;

-- The transcript. It is in no event, so that it goes when its time is over; `peer` is 0 where no connection said it.
CREATE TABLE call_lines (
  call_id TEXT NOT NULL,
  n INTEGER NOT NULL,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  peer INTEGER NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (call_id, n)
) STRICT, WITHOUT ROWID;

-- What was recorded: 16-bit PCM, one channel, 16,000 samples a second.
CREATE TABLE call_audio (
  call_id TEXT NOT NULL,
  n INTEGER NOT NULL,
  pcm BLOB NOT NULL,
  level_dbfs REAL NOT NULL,
  PRIMARY KEY (call_id, n)
) STRICT;

-- Which server holds a call; until when, once somebody is there.
CREATE TABLE call_owners (
  call_id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  fence INTEGER NOT NULL,
  expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX call_owners_due ON call_owners (expires_at) WHERE expires_at IS NOT NULL;

-- What others ask of the server that holds a call, and its answers. Short-lived.
CREATE TABLE call_requests (
  id TEXT PRIMARY KEY,
  call_id TEXT NOT NULL,
  peer INTEGER NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL,
  answer TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX call_requests_of ON call_requests (call_id, created_at);
CREATE INDEX call_requests_due ON call_requests (expires_at);

-- What those who have joined come back with, as SHA-256.
CREATE TABLE call_returns (
  call_id TEXT NOT NULL,
  peer INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  PRIMARY KEY (call_id, peer)
) STRICT, WITHOUT ROWID;
