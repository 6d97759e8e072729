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

CREATE INDEX events_at ON events (at, xid, seq);
CREATE INDEX events_types ON events (type, xid, seq);
CREATE INDEX events_actors ON events (actor, xid, seq);
CREATE INDEX events_correlations ON events (correlation_id, xid, seq);

-- Which tasks have a tag, archived ones too, in the order of their lists; and which documents.
CREATE TABLE task_tags (
  tag TEXT COLLATE "C" NOT NULL,
  tagged_at BIGINT NOT NULL,
  tagged_id TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tag, tagged_at, tagged_id)
);
INSERT INTO task_tags SELECT DISTINCT each.value, tasks.created_at, tasks.id
  FROM tasks, jsonb_array_elements_text(CAST(tasks.tags AS jsonb)) AS each (value) WHERE tasks.tags <> '[]';
INSERT INTO task_tags SELECT DISTINCT each.value, archived_tasks.created_at, archived_tasks.id
  FROM archived_tasks, jsonb_array_elements_text(CAST(archived_tasks.tags AS jsonb)) AS each (value)
  WHERE archived_tasks.tags <> '[]' ON CONFLICT DO NOTHING;
CREATE FUNCTION tag_task() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'UPDATE' THEN DELETE FROM task_tags WHERE tagged_id = OLD.id AND tagged_at = OLD.created_at AND tag IN (SELECT jsonb_array_elements_text(CAST(OLD.tags AS jsonb))); END IF; INSERT INTO task_tags SELECT tag, NEW.created_at, NEW.id FROM jsonb_array_elements_text(CAST(NEW.tags AS jsonb)) AS each (tag) ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE TRIGGER tasks_tagged AFTER INSERT ON tasks FOR EACH ROW WHEN (NEW.tags <> '[]') EXECUTE FUNCTION tag_task();
CREATE TRIGGER archived_tasks_tagged AFTER INSERT ON archived_tasks FOR EACH ROW WHEN (NEW.tags <> '[]')
  EXECUTE FUNCTION tag_task();
CREATE TRIGGER tasks_retagged AFTER UPDATE OF tags ON tasks FOR EACH ROW WHEN (NEW.tags <> OLD.tags)
  EXECUTE FUNCTION tag_task();

CREATE TABLE document_tags (
  tag TEXT COLLATE "C" NOT NULL,
  tagged_id TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tag, tagged_id)
);
INSERT INTO document_tags SELECT DISTINCT each.value, documents.id
  FROM documents, jsonb_array_elements_text(CAST(documents.tags AS jsonb)) AS each (value) WHERE documents.tags <> '[]';
CREATE FUNCTION tag_document() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'UPDATE' THEN DELETE FROM document_tags WHERE tagged_id = OLD.id AND tag IN (SELECT jsonb_array_elements_text(CAST(OLD.tags AS jsonb))); END IF; INSERT INTO document_tags SELECT tag, NEW.id FROM jsonb_array_elements_text(CAST(NEW.tags AS jsonb)) AS each (tag) ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE TRIGGER documents_tagged AFTER INSERT ON documents FOR EACH ROW WHEN (NEW.tags <> '[]')
  EXECUTE FUNCTION tag_document();
CREATE TRIGGER documents_retagged AFTER UPDATE OF tags ON documents FOR EACH ROW WHEN (NEW.tags <> OLD.tags)
  EXECUTE FUNCTION tag_document();
