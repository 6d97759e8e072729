CREATE TABLE agents (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  description TEXT NOT NULL,
  capabilities TEXT NOT NULL,
  skills TEXT NOT NULL,
  max_concurrent_tasks INTEGER NOT NULL,
  tags TEXT NOT NULL,
  lifecycle TEXT NOT NULL,
  lifecycle_reason TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;

CREATE TABLE instances (
  id TEXT PRIMARY KEY,
  agent_id TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
  label TEXT NOT NULL,
  host TEXT,
  pid INTEGER,
  started_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  UNIQUE (agent_id, label)
) STRICT;

CREATE TABLE queues (
  name TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  agent_id TEXT,
  capabilities TEXT NOT NULL
) STRICT;

CREATE TABLE tasks (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  kind TEXT NOT NULL,
  description TEXT NOT NULL,
  input TEXT,
  priority INTEGER NOT NULL,
  queue TEXT NOT NULL,
  agent_id TEXT,
  required_capabilities TEXT NOT NULL,
  depends_on TEXT NOT NULL,
  on_parent_failure TEXT NOT NULL,
  parent_id TEXT,
  run_at INTEGER,
  timeout_seconds REAL,
  max_attempts INTEGER,
  retry_delay_seconds REAL NOT NULL,
  retry_max_delay_seconds REAL NOT NULL,
  concurrency_key TEXT,
  concurrency_limit INTEGER NOT NULL,
  tags TEXT NOT NULL,
  idempotency_key TEXT,
  content_hash TEXT,
  status TEXT NOT NULL,
  waits_on INTEGER NOT NULL,
  ready_at INTEGER,
  attempt INTEGER NOT NULL,
  attempts_forgiven INTEGER NOT NULL,
  lease_agent_id TEXT,
  lease_instance_id TEXT,
  lease_seconds REAL,
  lease_expires_at INTEGER,
  deadline_at INTEGER,
  started_at INTEGER,
  finished_at INTEGER,
  finished_by TEXT,
  progress TEXT,
  result TEXT,
  error TEXT,
  usage TEXT,
  last_finish TEXT,
  cancel_reason TEXT,
  cancel_requested INTEGER NOT NULL,
  system INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;

-- Each index is partial, so that finished work costs the hot path nothing.
CREATE INDEX tasks_ready ON tasks (queue, priority DESC, ready_at, id) WHERE status = 'queued';
CREATE INDEX tasks_due ON tasks (run_at) WHERE status = 'pending' AND waits_on = 0;
CREATE INDEX tasks_blocked ON tasks (waits_on) WHERE status = 'pending' AND waits_on > 0;
CREATE INDEX tasks_leases ON tasks (lease_expires_at) WHERE status = 'running';
CREATE INDEX tasks_deadlines ON tasks (deadline_at) WHERE status = 'running' AND deadline_at IS NOT NULL;
CREATE INDEX tasks_running ON tasks (lease_agent_id) WHERE status = 'running';
CREATE INDEX tasks_concurrency ON tasks (concurrency_key) WHERE status = 'running' AND concurrency_key IS NOT NULL;
CREATE INDEX tasks_paused ON tasks (id) WHERE status = 'paused';
CREATE UNIQUE INDEX tasks_idempotency ON tasks (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_created ON tasks (created_at, id);
CREATE INDEX tasks_parent ON tasks (parent_id, created_at) WHERE parent_id IS NOT NULL;
CREATE INDEX tasks_finished ON tasks (finished_by, finished_at) WHERE finished_by IS NOT NULL;
CREATE INDEX tasks_dead ON tasks (status, created_at) WHERE status IN ('failed', 'timed_out');

CREATE TABLE dependencies (
  parent_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  PRIMARY KEY (parent_id, task_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
  id TEXT PRIMARY KEY,
  namespace TEXT NOT NULL,
  key TEXT NOT NULL,
  version INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  author TEXT NOT NULL,
  tags TEXT NOT NULL,
  expires_at INTEGER,
  deleted INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX documents_expiring ON documents (expires_at) WHERE expires_at IS NOT NULL AND deleted = 0;

-- A version and its event share one payload: the event names the version, the value is here.
CREATE TABLE document_versions (
  document_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  value TEXT,
  sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  author TEXT NOT NULL,
  at INTEGER NOT NULL,
  note TEXT,
  PRIMARY KEY (document_id, version)
) STRICT;

CREATE TABLE locks (
  name TEXT PRIMARY KEY,
  last_token INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lock_holds (
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  mode TEXT NOT NULL,
  fencing_token INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  acquired_at INTEGER NOT NULL,
  PRIMARY KEY (name, owner)
) STRICT, WITHOUT ROWID;

CREATE INDEX lock_holds_expiring ON lock_holds (expires_at);

-- Who waits, in order. A waiter that is not seen again before `expires_at` no longer counts.
CREATE TABLE lock_waiters (
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  mode TEXT NOT NULL,
  since INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (name, owner)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: numbers must not restart when the table is emptied, since cursors outlive rows.
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  type TEXT NOT NULL,
  aggregate_type TEXT NOT NULL,
  aggregate_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  actor TEXT NOT NULL,
  correlation_id TEXT NOT NULL,
  causation_seq INTEGER,
  data TEXT NOT NULL
) STRICT;

CREATE INDEX events_aggregate ON events (aggregate_id, seq);
