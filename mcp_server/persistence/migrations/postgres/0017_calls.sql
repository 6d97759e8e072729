-- Calls: who takes part stands in the row, as JSON.
CREATE TABLE calls (
  id TEXT COLLATE "C" PRIMARY KEY,
  purpose TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  media TEXT COLLATE "C" NOT NULL,
  record BIGINT NOT NULL,
  task_id TEXT COLLATE "C" NOT NULL,
  opened_by TEXT COLLATE "C" NOT NULL,
  opener TEXT COLLATE "C" NOT NULL,
  participants TEXT COLLATE "C" NOT NULL,
  asked TEXT COLLATE "C" NOT NULL,
  muted BIGINT NOT NULL,
  lines BIGINT NOT NULL,
  reason TEXT COLLATE "C",
  minutes_max DOUBLE PRECISION NOT NULL,
  expires_at BIGINT NOT NULL,
  due_at BIGINT,
  started_at BIGINT,
  ended_at BIGINT,
  forgotten_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);
CREATE UNIQUE INDEX calls_task ON calls (task_id);
CREATE INDEX calls_due ON calls (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX calls_old ON calls (ended_at) WHERE ended_at IS NOT NULL AND forgotten_at IS NULL;

-- The transcript. It is in no event, so that it goes when its time is over; `peer` is 0 where no connection said it.
CREATE TABLE call_lines (
  call_id TEXT COLLATE "C" NOT NULL,
  n BIGINT NOT NULL,
  at BIGINT NOT NULL,
  who TEXT COLLATE "C" NOT NULL,
  peer BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  text TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (call_id, n)
);

-- What was recorded: 16-bit PCM, one channel, 16,000 samples a second.
CREATE TABLE call_audio (
  call_id TEXT COLLATE "C" NOT NULL,
  n BIGINT NOT NULL,
  pcm BYTEA NOT NULL,
  level_dbfs DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (call_id, n)
);

-- Which server holds a call; until when, once somebody is there.
CREATE TABLE call_owners (
  call_id TEXT COLLATE "C" PRIMARY KEY,
  owner TEXT COLLATE "C" NOT NULL,
  fence BIGINT NOT NULL,
  expires_at BIGINT
);
CREATE INDEX call_owners_due ON call_owners (expires_at) WHERE expires_at IS NOT NULL;

-- What others ask of the server that holds a call, and its answers. Short-lived.
CREATE TABLE call_requests (
  id TEXT COLLATE "C" PRIMARY KEY,
  call_id TEXT COLLATE "C" NOT NULL,
  peer BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  data TEXT COLLATE "C" NOT NULL,
  answer TEXT COLLATE "C",
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX call_requests_of ON call_requests (call_id, created_at);
CREATE INDEX call_requests_due ON call_requests (expires_at);

-- What those who have joined come back with, as SHA-256.
CREATE TABLE call_returns (
  call_id TEXT COLLATE "C" NOT NULL,
  peer BIGINT NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (call_id, peer)
);
