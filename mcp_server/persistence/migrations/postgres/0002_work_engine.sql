ALTER TABLE tasks ADD COLUMN schedule TEXT COLLATE "C";
ALTER TABLE tasks ADD COLUMN approval TEXT COLLATE "C";
ALTER TABLE tasks ADD COLUMN approved_by TEXT COLLATE "C";

-- One column says when time alone will change a task, whatever it waits for: one index instead of three.
ALTER TABLE tasks ADD COLUMN due_at BIGINT;
UPDATE tasks SET due_at = CASE
  WHEN status = 'running' THEN LEAST(lease_expires_at, COALESCE(deadline_at, lease_expires_at))
  WHEN status = 'pending' AND waits_on = 0 THEN run_at END;
DROP INDEX tasks_due;
DROP INDEX tasks_leases;
DROP INDEX tasks_deadlines;
CREATE INDEX tasks_timers ON tasks (due_at, status) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_system ON tasks (status) WHERE system = 1;
CREATE INDEX tasks_gated ON tasks (created_at) WHERE approval = 'required';

-- Finished work past its retention: the columns of tasks in the same order, and none of its hot indexes.
CREATE TABLE archived_tasks (
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
  version BIGINT NOT NULL,
  schedule TEXT COLLATE "C",
  approval TEXT COLLATE "C",
  approved_by TEXT COLLATE "C",
  due_at BIGINT
);

CREATE INDEX archived_tasks_created ON archived_tasks (created_at, id);
CREATE INDEX archived_tasks_parent ON archived_tasks (parent_id, created_at) WHERE parent_id IS NOT NULL;
CREATE INDEX archived_tasks_idempotency ON archived_tasks (idempotency_key) WHERE idempotency_key IS NOT NULL;

ALTER TABLE agents ADD COLUMN budget TEXT COLLATE "C";
ALTER TABLE instances ADD COLUMN lost_at BIGINT;
ALTER TABLE instances ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
CREATE INDEX instances_alive ON instances (last_seen_at) WHERE lost_at IS NULL;

-- What agents reported to have used, by calendar month (UTC): a budget must not need a scan of all finished tasks.
CREATE TABLE agent_usage (
  agent_id TEXT COLLATE "C" NOT NULL,
  month TEXT COLLATE "C" NOT NULL,
  tokens BIGINT NOT NULL,
  cost_usd DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (agent_id, month)
);
