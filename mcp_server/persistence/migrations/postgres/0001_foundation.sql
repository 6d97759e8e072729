CREATE TABLE agents (
  id TEXT COLLATE "C" PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL UNIQUE,
  kind TEXT COLLATE "C" NOT NULL,
  description TEXT COLLATE "C" NOT NULL,
  capabilities TEXT COLLATE "C" NOT NULL,
  skills TEXT COLLATE "C" NOT NULL,
  max_concurrent_tasks BIGINT NOT NULL,
  tags TEXT COLLATE "C" NOT NULL,
  lifecycle TEXT COLLATE "C" NOT NULL,
  lifecycle_reason TEXT COLLATE "C",
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);

CREATE TABLE instances (
  id TEXT COLLATE "C" PRIMARY KEY,
  agent_id TEXT COLLATE "C" NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
  label TEXT COLLATE "C" NOT NULL,
  host TEXT COLLATE "C",
  pid BIGINT,
  started_at BIGINT NOT NULL,
  last_seen_at BIGINT NOT NULL,
  UNIQUE (agent_id, label)
);

CREATE TABLE queues (
  name TEXT COLLATE "C" PRIMARY KEY,
  kind TEXT COLLATE "C" NOT NULL,
  agent_id TEXT COLLATE "C",
  capabilities TEXT COLLATE "C" NOT NULL
);

CREATE TABLE tasks (
  id TEXT COLLATE "C" PRIMARY KEY,
  title TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  description TEXT COLLATE "C" NOT NULL,
  input TEXT COLLATE "C",
  priority BIGINT NOT NULL,
  queue TEXT COLLATE "C" NOT NULL,
  agent_id TEXT COLLATE "C",
  required_capabilities TEXT COLLATE "C" NOT NULL,
  depends_on TEXT COLLATE "C" NOT NULL,
  on_parent_failure TEXT COLLATE "C" NOT NULL,
  parent_id TEXT COLLATE "C",
  run_at BIGINT,
  timeout_seconds DOUBLE PRECISION,
  max_attempts BIGINT,
  retry_delay_seconds DOUBLE PRECISION NOT NULL,
  retry_max_delay_seconds DOUBLE PRECISION NOT NULL,
  concurrency_key TEXT COLLATE "C",
  concurrency_limit BIGINT NOT NULL,
  tags TEXT COLLATE "C" NOT NULL,
  idempotency_key TEXT COLLATE "C",
  content_hash TEXT COLLATE "C",
  status TEXT COLLATE "C" NOT NULL,
  waits_on BIGINT NOT NULL,
  ready_at BIGINT,
  attempt BIGINT NOT NULL,
  attempts_forgiven BIGINT NOT NULL,
  lease_agent_id TEXT COLLATE "C",
  lease_instance_id TEXT COLLATE "C",
  lease_seconds DOUBLE PRECISION,
  lease_expires_at BIGINT,
  deadline_at BIGINT,
  started_at BIGINT,
  finished_at BIGINT,
  finished_by TEXT COLLATE "C",
  progress TEXT COLLATE "C",
  result TEXT COLLATE "C",
  error TEXT COLLATE "C",
  usage TEXT COLLATE "C",
  last_finish TEXT COLLATE "C",
  cancel_reason TEXT COLLATE "C",
  cancel_requested BIGINT NOT NULL,
  system BIGINT NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);

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
  parent_id TEXT COLLATE "C" NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  task_id TEXT COLLATE "C" NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  PRIMARY KEY (parent_id, task_id)
);

CREATE TABLE documents (
  id TEXT COLLATE "C" PRIMARY KEY,
  namespace TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  bytes BIGINT NOT NULL,
  author TEXT COLLATE "C" NOT NULL,
  tags TEXT COLLATE "C" NOT NULL,
  expires_at BIGINT,
  deleted BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE INDEX documents_expiring ON documents (expires_at) WHERE expires_at IS NOT NULL AND deleted = 0;

-- A version and its event share one payload: the event names the version, the value is here.
CREATE TABLE document_versions (
  document_id TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  value TEXT COLLATE "C",
  sha256 TEXT COLLATE "C" NOT NULL,
  bytes BIGINT NOT NULL,
  author TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  note TEXT COLLATE "C",
  PRIMARY KEY (document_id, version)
);

CREATE TABLE locks (
  name TEXT COLLATE "C" PRIMARY KEY,
  last_token BIGINT NOT NULL
);

CREATE TABLE lock_holds (
  name TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  mode TEXT COLLATE "C" NOT NULL,
  fencing_token BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  acquired_at BIGINT NOT NULL,
  PRIMARY KEY (name, owner)
);

CREATE INDEX lock_holds_expiring ON lock_holds (expires_at);

-- Who waits, in order. A waiter that is not seen again before `expires_at` no longer counts.
CREATE TABLE lock_waiters (
  name TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  mode TEXT COLLATE "C" NOT NULL,
  since BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (name, owner)
);

-- Commits arrive out of order here, so readers order by (xid, seq) and stay below the oldest open transaction.
CREATE TABLE events (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
  at BIGINT NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  aggregate_type TEXT COLLATE "C" NOT NULL,
  aggregate_id TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  actor TEXT COLLATE "C" NOT NULL,
  correlation_id TEXT COLLATE "C" NOT NULL,
  causation_seq BIGINT,
  data TEXT COLLATE "C" NOT NULL
);

CREATE INDEX events_order ON events (xid, seq);
CREATE INDEX events_aggregate ON events (aggregate_id, seq);
