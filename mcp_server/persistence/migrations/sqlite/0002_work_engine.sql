ALTER TABLE tasks ADD COLUMN schedule TEXT;
ALTER TABLE tasks ADD COLUMN approval TEXT;
ALTER TABLE tasks ADD COLUMN approved_by TEXT;

-- One column says when time alone will change a task, whatever it waits for: one index instead of three.
ALTER TABLE tasks ADD COLUMN due_at INTEGER;
UPDATE tasks SET due_at = CASE
  WHEN status = 'running' THEN MIN(lease_expires_at, COALESCE(deadline_at, lease_expires_at))
  WHEN status = 'pending' AND waits_on = 0 THEN run_at END;
DROP INDEX tasks_due;
DROP INDEX tasks_leases;
DROP INDEX tasks_deadlines;
CREATE INDEX tasks_timers ON tasks (due_at, status) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_system ON tasks (status) WHERE system = 1;
CREATE INDEX tasks_gated ON tasks (created_at) WHERE approval = 'required';

-- Finished work past its retention: the columns of tasks in the same order, and none of its hot indexes.
CREATE TABLE archived_tasks (
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
  version INTEGER NOT NULL,
  schedule TEXT,
  approval TEXT,
  approved_by TEXT,
  due_at INTEGER
) STRICT;

CREATE INDEX archived_tasks_created ON archived_tasks (created_at, id);
CREATE INDEX archived_tasks_parent ON archived_tasks (parent_id, created_at) WHERE parent_id IS NOT NULL;
CREATE INDEX archived_tasks_idempotency ON archived_tasks (idempotency_key) WHERE idempotency_key IS NOT NULL;

ALTER TABLE agents ADD COLUMN budget TEXT;
ALTER TABLE instances ADD COLUMN lost_at INTEGER;
ALTER TABLE instances ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX instances_alive ON instances (last_seen_at) WHERE lost_at IS NULL;

-- What agents reported to have used, by calendar month (UTC): a budget must not need a scan of all finished tasks.
CREATE TABLE agent_usage (
  agent_id TEXT NOT NULL,
  month TEXT NOT NULL,
  tokens INTEGER NOT NULL,
  cost_usd REAL NOT NULL,
  PRIMARY KEY (agent_id, month)
) STRICT, WITHOUT ROWID;
