-- Every list is read in its own order, whatever it is narrowed by, however much there is: an index for each way to narrow
-- one. `system` stands at the end so that the server's own tasks are passed over without reading them.
DROP INDEX tasks_created;
CREATE INDEX tasks_created ON tasks (created_at, id, system);
CREATE INDEX tasks_queued ON tasks (status, created_at, id, system) WHERE status = 'queued';
DROP INDEX tasks_running;
CREATE INDEX tasks_running ON tasks (status, lease_agent_id, queue) WHERE status = 'running';
DROP INDEX tasks_paused;
CREATE INDEX tasks_paused ON tasks (status, created_at, id, system, queue) WHERE status = 'paused';
CREATE INDEX tasks_pending ON tasks (status, created_at, id, system, queue) WHERE status = 'pending';
DROP INDEX tasks_blocked;
CREATE INDEX tasks_blocked ON tasks (status, created_at, id, system) WHERE status = 'pending' AND waits_on > 0;
-- Of terms joined by OR, SQLite takes one for the whole; of IN it does not.
DROP INDEX tasks_dead;
CREATE INDEX tasks_ended ON tasks (status, created_at, id, system)
  WHERE status = 'completed' OR status = 'failed' OR status = 'cancelled' OR status = 'timed_out';
CREATE INDEX tasks_kinds ON tasks (kind, created_at, id, system);
CREATE INDEX tasks_named ON tasks (agent_id, created_at, id) WHERE agent_id IS NOT NULL;
CREATE INDEX tasks_finishers ON tasks (finished_by, created_at, id) WHERE finished_by IS NOT NULL;

DROP INDEX archived_tasks_created;
CREATE INDEX archived_tasks_created ON archived_tasks (created_at, id, system);
CREATE INDEX archived_tasks_ended ON archived_tasks (status, created_at, id, system);
CREATE INDEX archived_tasks_kinds ON archived_tasks (kind, created_at, id, system);
CREATE INDEX archived_tasks_named ON archived_tasks (agent_id, created_at, id) WHERE agent_id IS NOT NULL;
CREATE INDEX archived_tasks_finishers ON archived_tasks (finished_by, created_at, id) WHERE finished_by IS NOT NULL;

CREATE INDEX dependencies_tasks ON dependencies (task_id, parent_id);
CREATE INDEX queues_agents ON queues (agent_id);
CREATE INDEX queues_kinds ON queues (kind);

CREATE INDEX documents_keys ON documents (key, id);
CREATE INDEX documents_namespaces ON documents (namespace, expires_at, bytes) WHERE deleted = 0;
CREATE INDEX documents_deleted ON documents (deleted, id) WHERE deleted = 1;

CREATE INDEX emails_statuses ON emails (status, created_at, id);
CREATE INDEX emails_templates ON emails (template, created_at, id) WHERE template IS NOT NULL;
CREATE INDEX approvals_statuses ON approvals (status, created_at, id);
CREATE INDEX deployments_statuses ON deployments (status, name, environment);
CREATE INDEX deployments_targets ON deployments (target, name, environment);
CREATE INDEX deployments_environments ON deployments (environment, name);

-- The rowid, which is the number of an event, stands at the end of each.
CREATE INDEX events_at ON events (at);
CREATE INDEX events_types ON events (type);
CREATE INDEX events_actors ON events (actor);
CREATE INDEX events_correlations ON events (correlation_id);

-- Which tasks have a tag, archived ones too, in the order of their lists; and which documents.
CREATE TABLE task_tags (
  tag TEXT NOT NULL,
  tagged_at INTEGER NOT NULL,
  tagged_id TEXT NOT NULL,
  PRIMARY KEY (tag, tagged_at, tagged_id)
) STRICT, WITHOUT ROWID;
INSERT INTO task_tags SELECT DISTINCT each.value, tasks.created_at, tasks.id FROM tasks, json_each(tasks.tags) AS each
  WHERE tasks.tags <> '[]';
INSERT INTO task_tags SELECT DISTINCT each.value, archived_tasks.created_at, archived_tasks.id FROM archived_tasks, json_each(archived_tasks.tags) AS each
  WHERE archived_tasks.tags <> '[]' ON CONFLICT DO NOTHING;
CREATE TRIGGER tasks_tagged AFTER INSERT ON tasks WHEN NEW.tags <> '[]' BEGIN
  INSERT INTO task_tags SELECT value, NEW.created_at, NEW.id FROM json_each(NEW.tags) WHERE TRUE ON CONFLICT DO NOTHING; END;
CREATE TRIGGER archived_tasks_tagged AFTER INSERT ON archived_tasks WHEN NEW.tags <> '[]' BEGIN
  INSERT INTO task_tags SELECT value, NEW.created_at, NEW.id FROM json_each(NEW.tags) WHERE TRUE ON CONFLICT DO NOTHING; END;
CREATE TRIGGER tasks_retagged AFTER UPDATE OF tags ON tasks WHEN NEW.tags <> OLD.tags BEGIN
  DELETE FROM task_tags WHERE tagged_id = NEW.id AND tagged_at = NEW.created_at AND tag IN (SELECT value FROM json_each(OLD.tags)); INSERT INTO task_tags SELECT value, NEW.created_at, NEW.id FROM json_each(NEW.tags) WHERE TRUE ON CONFLICT DO NOTHING; END;

CREATE TABLE document_tags (
  tag TEXT NOT NULL,
  tagged_id TEXT NOT NULL,
  PRIMARY KEY (tag, tagged_id)
) STRICT, WITHOUT ROWID;
INSERT INTO document_tags SELECT DISTINCT each.value, documents.id FROM documents, json_each(documents.tags) AS each
  WHERE documents.tags <> '[]';
CREATE TRIGGER documents_tagged AFTER INSERT ON documents WHEN NEW.tags <> '[]' BEGIN
  INSERT INTO document_tags SELECT value, NEW.id FROM json_each(NEW.tags) WHERE TRUE ON CONFLICT DO NOTHING; END;
CREATE TRIGGER documents_retagged AFTER UPDATE OF tags ON documents WHEN NEW.tags <> OLD.tags BEGIN
  DELETE FROM document_tags WHERE tagged_id = NEW.id AND tag IN (SELECT value FROM json_each(OLD.tags)); INSERT INTO document_tags SELECT value, NEW.id FROM json_each(NEW.tags) WHERE TRUE ON CONFLICT DO NOTHING; END;
