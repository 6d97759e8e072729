-- Schedules are listed without reading all that ever ran.
CREATE INDEX tasks_schedules ON tasks (created_at, id) WHERE schedule IS NOT NULL;
CREATE INDEX archived_tasks_schedules ON archived_tasks (created_at, id) WHERE schedule IS NOT NULL;
