-- name: deployment_for_update
SELECT * FROM deployments WHERE id = :id {{for_update}}

-- name: deployment_by_id
SELECT * FROM deployments WHERE id = :id

-- name: deployment_by_name
SELECT * FROM deployments WHERE name = :name AND environment = :environment {{for_update}}

-- name: deployment_by_label
SELECT id, name, environment FROM deployments WHERE name || '-' || environment = :label

-- Those that a word may mean: a name, or a name with its environment.
-- name: deployments_live
SELECT * FROM deployments WHERE status = 'live' ORDER BY id

-- name: deployments_named
SELECT * FROM deployments
WHERE name = :name OR name || '/' || environment = :name OR name || '-' || environment = :name
ORDER BY environment LIMIT 10

-- name: deployments_find
SELECT * FROM deployments WHERE TRUE {{filters}} ORDER BY name, environment LIMIT :limit

-- name: deployments_find_count
SELECT count(*) AS n FROM (SELECT 1 FROM deployments WHERE TRUE {{filters}} LIMIT :counted) AS matched

-- name: filter.deployment_name
AND name = :deployment_name

-- name: filter.deployment_environment
AND environment = :deployment_environment

-- name: filter.deployment_target
AND target = :deployment_target

-- name: filter.deployment_status
AND status = :deployment_status

-- name: filter.deployment_after
AND (name > :after_name OR (name = :after_name AND environment > :after_environment))

-- name: deployment_revision_by_id
SELECT * FROM deployment_revisions WHERE id = :id

-- name: deployment_revisions_of
SELECT id, revision, created_by, created_at FROM deployment_revisions WHERE deployment_id = :deployment_id
ORDER BY revision DESC LIMIT :limit

-- name: deployment_plan_by_id
SELECT * FROM deployment_plans WHERE id = :id

-- name: deployment_run_for_update
SELECT * FROM deployment_runs WHERE id = :id {{for_update}}

-- name: deployment_run_by_id
SELECT * FROM deployment_runs WHERE id = :id

-- name: deployment_run_by_task
SELECT * FROM deployment_runs WHERE task_id = :task_id {{for_update}}

-- What brought a revision live last.
-- name: deployment_run_to
SELECT * FROM deployment_runs
WHERE deployment_id = :deployment_id AND revision = :revision AND operation IN ('apply', 'rollback')
  AND status = 'succeeded'
ORDER BY ended_at DESC, id DESC
LIMIT 1

-- Those of a target whose label begins as another's, or the other way round: parts of both could have one name.
-- name: deployments_alike
SELECT deployments.*, deployment_revisions.config FROM deployments
JOIN deployment_revisions ON deployment_revisions.deployment_id = deployments.id
  AND deployment_revisions.revision = deployments.revision
WHERE target = :target AND status <> 'destroyed'
  AND (CAST(:label AS TEXT) LIKE name || '-' || environment || '-%'
    OR name || '-' || environment LIKE CAST(:label AS TEXT) || '-%')
ORDER BY deployments.id

-- name: deployments_beside
SELECT name, environment, live FROM deployments WHERE target = :target AND id <> :id AND live IS NOT NULL ORDER BY id

-- What others have running, or are about to: the configurations of both.
-- name: deployments_running
SELECT d.name, d.environment, d.target, d.created_by, live.config AS live_config, meant.config AS meant
FROM deployments AS d
LEFT JOIN deployment_runs AS run ON run.id = d.run_id AND run.status IN ('waiting', 'running')
LEFT JOIN deployment_revisions AS live ON live.deployment_id = d.id AND live.revision = d.live_revision
  AND d.status NOT IN ('stopped', 'rendered')
LEFT JOIN deployment_revisions AS meant ON meant.deployment_id = d.id AND meant.revision = run.revision
WHERE d.id <> :id AND (live.id IS NOT NULL OR meant.id IS NOT NULL)
ORDER BY d.id

-- name: complete_deployment_ids
SELECT id AS value FROM deployments WHERE id >= :low AND id < :high ORDER BY id LIMIT 100
