CREATE TABLE messages (
  id TEXT COLLATE "C" PRIMARY KEY,
  thread_id TEXT COLLATE "C" NOT NULL,
  sender TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C",
  body TEXT COLLATE "C" NOT NULL,
  importance TEXT COLLATE "C" NOT NULL,
  ack_due_at BIGINT,
  created_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);

CREATE INDEX messages_thread ON messages (thread_id, created_at);

-- One line of an agent's inbox. Its place in the inbox never changes, so that it serves as a cursor.
CREATE TABLE deliveries (
  message_id TEXT COLLATE "C" NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
  agent_id TEXT COLLATE "C" NOT NULL,
  place BIGINT NOT NULL,
  read_at BIGINT,
  acknowledged_at BIGINT,
  ack_due_at BIGINT,
  ack_missed_at BIGINT,
  PRIMARY KEY (message_id, agent_id)
);

CREATE UNIQUE INDEX deliveries_inbox ON deliveries (agent_id, place);
CREATE INDEX deliveries_unread ON deliveries (agent_id, place) WHERE read_at IS NULL;
CREATE INDEX deliveries_due ON deliveries (ack_due_at)
  WHERE ack_due_at IS NOT NULL AND acknowledged_at IS NULL AND ack_missed_at IS NULL;

-- What the outbox holds. `handed_over_at` is set from just before a provider gets a mail to when its answer is kept.
CREATE TABLE emails (
  id TEXT COLLATE "C" PRIMARY KEY,
  status TEXT COLLATE "C" NOT NULL,
  provider TEXT COLLATE "C" NOT NULL,
  message_id TEXT COLLATE "C" NOT NULL,
  sender TEXT COLLATE "C" NOT NULL,
  recipients TEXT COLLATE "C" NOT NULL,
  cc TEXT COLLATE "C" NOT NULL,
  bcc TEXT COLLATE "C" NOT NULL,
  reply_to TEXT COLLATE "C",
  subject TEXT COLLATE "C" NOT NULL,
  text TEXT COLLATE "C",
  html TEXT COLLATE "C",
  attachments TEXT COLLATE "C" NOT NULL,
  template TEXT COLLATE "C",
  approval_mail TEXT COLLATE "C",
  send_at BIGINT,
  idempotency_key TEXT COLLATE "C",
  content_hash TEXT COLLATE "C" NOT NULL,
  task_id TEXT COLLATE "C" NOT NULL,
  approval_id TEXT COLLATE "C",
  outcomes TEXT COLLATE "C" NOT NULL,
  handed_over_at BIGINT,
  error TEXT COLLATE "C",
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  sent_at BIGINT,
  version BIGINT NOT NULL
);

CREATE INDEX emails_created ON emails (created_at, id);
CREATE INDEX emails_task ON emails (task_id);
CREATE INDEX emails_message ON emails (message_id);
CREATE UNIQUE INDEX emails_idempotency ON emails (idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE approvals (
  id TEXT COLLATE "C" PRIMARY KEY,
  title TEXT COLLATE "C" NOT NULL,
  action TEXT COLLATE "C" NOT NULL,
  details TEXT COLLATE "C",
  action_hash TEXT COLLATE "C" NOT NULL,
  approvers TEXT COLLATE "C" NOT NULL,
  needed BIGINT NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  answers TEXT COLLATE "C" NOT NULL,
  task_id TEXT COLLATE "C" NOT NULL,
  requested_by TEXT COLLATE "C" NOT NULL,
  expires_at BIGINT,
  remind_at BIGINT,
  due_at BIGINT,
  opened_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  decided_at BIGINT,
  version BIGINT NOT NULL
);

CREATE UNIQUE INDEX approvals_task ON approvals (task_id);
CREATE INDEX approvals_created ON approvals (created_at, id);
CREATE INDEX approvals_due ON approvals (due_at) WHERE due_at IS NOT NULL;

-- What links are signed with. It is made at its first use and leaves the database in no export.
CREATE TABLE signing_keys (
  name TEXT COLLATE "C" PRIMARY KEY,
  secret TEXT COLLATE "C" NOT NULL
);
