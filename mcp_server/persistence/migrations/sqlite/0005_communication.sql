CREATE TABLE messages (
  id TEXT PRIMARY KEY,
  thread_id TEXT NOT NULL,
  sender TEXT NOT NULL,
  subject TEXT,
  body TEXT NOT NULL,
  importance TEXT NOT NULL,
  ack_due_at INTEGER,
  created_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;

CREATE INDEX messages_thread ON messages (thread_id, created_at);

-- One line of an agent's inbox. Its place in the inbox never changes, so that it serves as a cursor.
CREATE TABLE deliveries (
  message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
  agent_id TEXT NOT NULL,
  place INTEGER NOT NULL,
  read_at INTEGER,
  acknowledged_at INTEGER,
  ack_due_at INTEGER,
  ack_missed_at INTEGER,
  PRIMARY KEY (message_id, agent_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX deliveries_inbox ON deliveries (agent_id, place);
CREATE INDEX deliveries_unread ON deliveries (agent_id, place) WHERE read_at IS NULL;
CREATE INDEX deliveries_due ON deliveries (ack_due_at)
  WHERE ack_due_at IS NOT NULL AND acknowledged_at IS NULL AND ack_missed_at IS NULL;

-- What the outbox holds. `handed_over_at` is set from just before a provider gets a mail to when its answer is kept.
CREATE TABLE emails (
  id TEXT PRIMARY KEY,
  status TEXT NOT NULL,
  provider TEXT NOT NULL,
  message_id TEXT NOT NULL,
  sender TEXT NOT NULL,
  recipients TEXT NOT NULL,
  cc TEXT NOT NULL,
  bcc TEXT NOT NULL,
  reply_to TEXT,
  subject TEXT NOT NULL,
  text TEXT,
  html TEXT,
  attachments TEXT NOT NULL,
  template TEXT,
  approval_mail TEXT,
  send_at INTEGER,
  idempotency_key TEXT,
  content_hash TEXT NOT NULL,
  task_id TEXT NOT NULL,
  approval_id TEXT,
  outcomes TEXT NOT NULL,
  handed_over_at INTEGER,
  error TEXT,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  sent_at INTEGER,
  version INTEGER NOT NULL
) STRICT;

CREATE INDEX emails_created ON emails (created_at, id);
CREATE INDEX emails_task ON emails (task_id);
CREATE INDEX emails_message ON emails (message_id);
CREATE UNIQUE INDEX emails_idempotency ON emails (idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE approvals (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  action TEXT NOT NULL,
  details TEXT,
  action_hash TEXT NOT NULL,
  approvers TEXT NOT NULL,
  needed INTEGER NOT NULL,
  status TEXT NOT NULL,
  answers TEXT NOT NULL,
  task_id TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  expires_at INTEGER,
  remind_at INTEGER,
  due_at INTEGER,
  opened_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  decided_at INTEGER,
  version INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX approvals_task ON approvals (task_id);
CREATE INDEX approvals_created ON approvals (created_at, id);
CREATE INDEX approvals_due ON approvals (due_at) WHERE due_at IS NOT NULL;

-- What links are signed with. It is made at its first use and leaves the database in no export.
CREATE TABLE signing_keys (
  name TEXT PRIMARY KEY,
  secret TEXT NOT NULL
) STRICT, WITHOUT ROWID;
