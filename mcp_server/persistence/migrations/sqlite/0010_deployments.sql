-- A named configuration in an environment, and what of it is live.
CREATE TABLE deployments (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  environment TEXT NOT NULL,
  target TEXT NOT NULL,
  tags TEXT NOT NULL,
  status TEXT NOT NULL,
  revision INTEGER NOT NULL,
  live_revision INTEGER,
  previous_revision INTEGER,
  live TEXT,
  drift TEXT,
  run_id TEXT,
  error TEXT,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX deployments_name ON deployments (name, environment);

-- Each configuration that a deployment has had.
CREATE TABLE deployment_revisions (
  id TEXT PRIMARY KEY,
  deployment_id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  config TEXT NOT NULL,
  config_hash TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;

CREATE INDEX deployment_revisions_of ON deployment_revisions (deployment_id, revision);

-- What would happen, by a hash over all of it.
CREATE TABLE deployment_plans (
  id TEXT PRIMARY KEY,
  deployment_id TEXT NOT NULL,
  operation TEXT NOT NULL,
  revision INTEGER NOT NULL,
  newest INTEGER NOT NULL,
  live_revision INTEGER,
  observed TEXT NOT NULL,
  steps TEXT NOT NULL,
  warnings TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;

-- What was decided to happen: each phase is written down before it is tried and when it is done.
CREATE TABLE deployment_runs (
  id TEXT PRIMARY KEY,
  deployment_id TEXT NOT NULL,
  operation TEXT NOT NULL,
  revision INTEGER NOT NULL,
  plan_hash TEXT NOT NULL,
  status TEXT NOT NULL,
  status_before TEXT NOT NULL,
  phases TEXT NOT NULL,
  failure TEXT,
  task_id TEXT NOT NULL,
  approval_id TEXT,
  error TEXT,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  ended_at INTEGER,
  version INTEGER NOT NULL
) STRICT;

CREATE INDEX deployment_runs_task ON deployment_runs (task_id);
