-- A named configuration in an environment, and what of it is live.
CREATE TABLE deployments (
  id TEXT COLLATE "C" PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  environment TEXT COLLATE "C" NOT NULL,
  target TEXT COLLATE "C" NOT NULL,
  tags TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  live_revision BIGINT,
  previous_revision BIGINT,
  live TEXT COLLATE "C",
  drift TEXT COLLATE "C",
  run_id TEXT COLLATE "C",
  error TEXT COLLATE "C",
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);

CREATE UNIQUE INDEX deployments_name ON deployments (name, environment);

-- Each configuration that a deployment has had.
CREATE TABLE deployment_revisions (
  id TEXT COLLATE "C" PRIMARY KEY,
  deployment_id TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  config TEXT COLLATE "C" NOT NULL,
  config_hash TEXT COLLATE "C" NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);

CREATE INDEX deployment_revisions_of ON deployment_revisions (deployment_id, revision);

-- What would happen, by a hash over all of it.
CREATE TABLE deployment_plans (
  id TEXT COLLATE "C" PRIMARY KEY,
  deployment_id TEXT COLLATE "C" NOT NULL,
  operation TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  newest BIGINT NOT NULL,
  live_revision BIGINT,
  observed TEXT COLLATE "C" NOT NULL,
  steps TEXT COLLATE "C" NOT NULL,
  warnings TEXT COLLATE "C" NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);

-- What was decided to happen: each phase is written down before it is tried and when it is done.
CREATE TABLE deployment_runs (
  id TEXT COLLATE "C" PRIMARY KEY,
  deployment_id TEXT COLLATE "C" NOT NULL,
  operation TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  plan_hash TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  status_before TEXT COLLATE "C" NOT NULL,
  phases TEXT COLLATE "C" NOT NULL,
  failure TEXT COLLATE "C",
  task_id TEXT COLLATE "C" NOT NULL,
  approval_id TEXT COLLATE "C",
  error TEXT COLLATE "C",
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  ended_at BIGINT,
  version BIGINT NOT NULL
);

CREATE INDEX deployment_runs_task ON deployment_runs (task_id);
