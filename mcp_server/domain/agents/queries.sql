-- name: agent_for_update
SELECT * FROM agents WHERE id = :id {{for_update}}

-- name: agent_by_name
SELECT * FROM agents WHERE name = :name {{for_update}}

-- name: agent_by_reference (short)
SELECT id, name, registered_by FROM agents
WHERE id = :reference OR name = :reference OR id = (SELECT agent_id FROM instances WHERE id = :reference)
ORDER BY CASE WHEN id = :reference THEN 0 ELSE 1 END LIMIT 1

-- name: instances_seen_of
SELECT * FROM instances WHERE agent_id = :agent_id ORDER BY last_seen_at DESC LIMIT 2

-- name: agent_staying
SELECT id, name, lifecycle FROM agents WHERE id = :id {{for_update}}

-- name: agent_delete
DELETE FROM agents WHERE id = :id

-- name: instance_by_label
SELECT * FROM instances WHERE agent_id = :agent_id AND label = :label {{for_update}}

-- name: instance_for_update
SELECT * FROM instances WHERE id = :id AND agent_id = :agent_id {{for_update}}

-- name: instance_seen
UPDATE instances SET last_seen_at = :now WHERE id = :id

-- name: instances_seen
UPDATE instances SET last_seen_at = :now WHERE id IN (SELECT value FROM json_each(:ids)) AND last_seen_at < :now

-- name: instances_seen (postgres)
UPDATE instances SET last_seen_at = :now
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) AND last_seen_at < :now

-- Which of some agents has no instance that lives, and when one was seen last.
-- name: agents_away
SELECT a.name, (SELECT MAX(i.last_seen_at) FROM instances i WHERE i.agent_id = a.id) AS last_seen_at
FROM agents a WHERE a.id IN (SELECT value FROM json_each(:ids)) AND NOT EXISTS (SELECT 1 FROM instances i
  WHERE i.agent_id = a.id AND i.last_seen_at > :alive_since AND i.lost_at IS NULL) ORDER BY a.name

-- name: agents_away (postgres)
SELECT a.name, (SELECT MAX(i.last_seen_at) FROM instances i WHERE i.agent_id = a.id) AS last_seen_at
FROM agents a WHERE a.id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) AND NOT EXISTS (SELECT 1
  FROM instances i WHERE i.agent_id = a.id AND i.last_seen_at > :alive_since AND i.lost_at IS NULL) ORDER BY a.name

-- name: silent_instances
SELECT * FROM instances WHERE lost_at IS NULL AND last_seen_at <= CAST(:now AS BIGINT) - CAST(:alive_for AS BIGINT) ORDER BY last_seen_at LIMIT :limit
{{skip_locked}}

-- name: usage_add
INSERT INTO agent_usage (agent_id, month, tokens, cost_usd) VALUES (:agent_id, :month, :tokens, :cost_usd)
ON CONFLICT (agent_id, month) DO UPDATE SET
  tokens = agent_usage.tokens + excluded.tokens, cost_usd = agent_usage.cost_usd + excluded.cost_usd

-- name: usage_of (short)
SELECT tokens, cost_usd FROM agent_usage WHERE agent_id = :agent_id AND month = :month

-- name: instances_ahead
SELECT id FROM instances WHERE lost_at IS NULL AND last_seen_at > :ahead

-- name: instances_of
SELECT i.*, p.process_status, p.process_reason, p.starts, p.adopted, p.exit
FROM instances i LEFT JOIN {{process_of_instance}} p ON p.id = i.id
WHERE i.agent_id = :agent_id ORDER BY i.last_seen_at DESC, i.id LIMIT 50

-- name: fragment.agent_as_seen
SELECT a.*,
  {{running_of_agent}} AS running,
  {{worked_of_agent}} AS has_worked,
  (SELECT count(*) FROM instances i WHERE i.agent_id = a.id) AS instances_known,
  (SELECT count(*) FROM instances i WHERE i.agent_id = a.id AND i.last_seen_at > :alive_since AND i.lost_at IS NULL) AS instances_alive,
  {{processes_running_of_agent}} AS processes_running,
  {{processes_settled_of_agent}} AS processes_settled,
  {{unread_of_agent}} AS unread
FROM agents a

-- name: agents_find
{{agent_as_seen}} WHERE TRUE {{filters}} ORDER BY a.name LIMIT :limit

-- name: agent_now
{{agent_as_seen}} WHERE a.id = :id

-- name: agents_find_count
SELECT count(*) AS n FROM (SELECT 1 FROM agents a WHERE :alive_since = :alive_since {{filters}} LIMIT :counted) AS matched

-- name: filter.agent_id
AND a.id = :agent_id

-- name: filter.agent_name
AND a.name = :agent_name

-- name: filter.agent_capability
AND a.skills LIKE :agent_capability ESCAPE '\'

-- name: filter.agent_tag
AND a.tags LIKE :agent_tag ESCAPE '\'

-- name: filter.agent_after
AND a.name > :agent_after

-- name: filter.agent_terminated
AND a.lifecycle = 'terminated'

-- name: filter.agent_maintenance
AND a.lifecycle IN ('paused', 'draining')

-- What the domain's `derive_status` says of an agent that works: by what is started for it, by its leases, then by its instances.
-- name: filter.agent_scaling
AND a.lifecycle = 'active' AND a.launcher IS NOT NULL
AND a.desired_instances <> {{processes_settled_of_agent}}

-- name: filter.agent_busy
AND a.lifecycle = 'active' AND (a.launcher IS NULL OR a.desired_instances = {{processes_settled_of_agent}})
AND a.max_concurrent_tasks <= {{running_of_agent}}

-- name: filter.agent_active
AND a.lifecycle = 'active' AND (a.launcher IS NULL OR a.desired_instances = {{processes_settled_of_agent}})
AND {{running_of_agent}} > 0 AND a.max_concurrent_tasks > {{running_of_agent}}

-- name: filter.agent_initializing
AND a.lifecycle = 'active' AND (a.launcher IS NULL OR a.desired_instances = {{processes_settled_of_agent}})
AND {{running_of_agent}} = 0 AND {{worked_of_agent}} = 0
AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.agent_id = a.id)

-- name: filter.agent_idle
AND a.lifecycle = 'active' AND (a.launcher IS NULL OR a.desired_instances = {{processes_settled_of_agent}})
AND {{running_of_agent}} = 0
AND (EXISTS (SELECT 1 FROM instances i WHERE i.agent_id = a.id
  AND ((i.last_seen_at > :alive_since AND i.lost_at IS NULL) OR (a.launcher IS NOT NULL AND a.desired_instances = 0)))
  OR ({{worked_of_agent}} = 1 AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.agent_id = a.id)))

-- name: filter.agent_error
AND a.lifecycle = 'active' AND (a.launcher IS NULL OR a.desired_instances = {{processes_settled_of_agent}})
AND {{running_of_agent}} = 0
AND EXISTS (SELECT 1 FROM instances i WHERE i.agent_id = a.id)
AND (a.launcher IS NULL OR a.desired_instances > 0)
AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.agent_id = a.id AND i.last_seen_at > :alive_since AND i.lost_at IS NULL)

-- name: agents_scaled
SELECT a.id, a.name, a.skills, a.scaling, a.desired_instances, {{running_of_agent}} AS running
FROM agents a WHERE a.scaling IS NOT NULL AND a.lifecycle = 'active' ORDER BY a.id

-- Those who may take work up, how much room they have, and what they have used in a month.
-- name: agents_able
SELECT a.id, a.name, a.lifecycle, a.skills, a.max_concurrent_tasks, a.operator_set, a.budget,
  {{running_of_agent}} AS running, COALESCE(u.tokens, 0) AS tokens, COALESCE(u.cost_usd, 0.0) AS cost_usd,
  (SELECT count(*) FROM instances i WHERE i.agent_id = a.id) AS instances_known,
  (SELECT count(*) FROM instances i WHERE i.agent_id = a.id AND i.last_seen_at > :alive_since AND i.lost_at IS NULL) AS instances_alive
FROM agents a LEFT JOIN agent_usage u ON u.agent_id = a.id AND u.month = :month
WHERE a.lifecycle <> 'terminated' ORDER BY a.name LIMIT 1000

-- Who was terminated, the last first: so many may be meant by a task that nobody can do.
-- name: agents_left
SELECT name, skills FROM agents WHERE lifecycle = 'terminated' ORDER BY updated_at DESC, id LIMIT 100

-- name: agent_attempts
{{attempts_of_agent}}

-- name: agent_at_work
SELECT a.*,
  (SELECT i.last_seen_at FROM instances i WHERE i.id = :instance_id AND i.agent_id = a.id) AS instance_seen_at,
  {{work_of_agent}}
FROM agents a WHERE a.id = :agent_id {{for_update}}

-- An agent by its id or name, wherever a statement says which by `:reference`.
-- name: fragment.agent_referred_to
(SELECT id, name FROM agents WHERE id = :reference OR name = :reference
  ORDER BY CASE WHEN id = :reference THEN 0 ELSE 1 END LIMIT 1)

-- Those whom somebody may have meant who named another.
-- name: fragment.agents_at_hand
(SELECT id, name FROM agents WHERE lifecycle <> 'terminated' ORDER BY name LIMIT 1000)

-- name: agents_staying
SELECT id, name FROM agents WHERE lifecycle <> 'terminated' ORDER BY name LIMIT :limit

-- name: agent_names
SELECT named.name FROM {{agents_at_hand}} AS named

-- What people call the party of a delivery, wherever a statement calls that `d`.
-- name: fragment.name_of_party
COALESCE((SELECT a.name FROM agents a WHERE a.id = d.party), d.party)

-- The skill as JSON, quotes included.
-- name: agents_with_skill
SELECT id FROM agents WHERE instr(skills, :skill) > 0 AND lifecycle <> 'terminated' ORDER BY id LIMIT :limit

-- name: agents_with_skill (postgres)
SELECT id FROM agents WHERE strpos(skills, :skill) > 0 AND lifecycle <> 'terminated' ORDER BY id LIMIT :limit

-- So many of each skill: several cost one look through all agents, which costs as much as four of the above.
-- name: agents_with_skills
SELECT skill, id FROM (
  SELECT skill.value AS skill, a.id AS id, ROW_NUMBER() OVER (PARTITION BY skill.value ORDER BY a.id) AS place
  FROM agents a, json_each(a.skills) AS skill
  WHERE a.lifecycle <> 'terminated' AND skill.value IN (SELECT value FROM json_each(:skills))) AS found
WHERE place <= :limit ORDER BY skill, id

-- name: agents_with_skills (postgres)
SELECT skill, id FROM (
  SELECT skill.value AS skill, a.id AS id, ROW_NUMBER() OVER (PARTITION BY skill.value ORDER BY a.id) AS place
  FROM agents a, jsonb_array_elements_text(CAST(a.skills AS jsonb)) AS skill (value)
  WHERE a.lifecycle <> 'terminated'
    AND skill.value = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:skills AS jsonb))))) AS found
WHERE place <= :limit ORDER BY skill, id

-- name: due.instances
SELECT MIN(last_seen_at) + :alive_for AS at FROM instances WHERE lost_at IS NULL

-- name: instance_whole
SELECT * FROM instances WHERE id = :id {{for_update}}

-- name: usage_whole
SELECT agent_id, month, tokens, cost_usd FROM agent_usage ORDER BY agent_id, month

-- name: usage_save
INSERT INTO agent_usage (agent_id, month, tokens, cost_usd) VALUES (:agent_id, :month, :tokens, :cost_usd)
ON CONFLICT (agent_id, month) DO UPDATE SET tokens = excluded.tokens, cost_usd = excluded.cost_usd

-- By name or by id; names come first, since that is what people know.
-- name: complete_agents
SELECT value FROM (
  SELECT 0 AS place, name AS value FROM agents WHERE name LIKE :prefix ESCAPE '\' AND lifecycle <> 'terminated'
  UNION ALL SELECT 1, id FROM agents WHERE id LIKE :prefix ESCAPE '\') AS found
ORDER BY place, value LIMIT 100

-- name: complete_capabilities
SELECT DISTINCT skill.value AS value FROM agents a, json_each(a.skills) AS skill
WHERE a.lifecycle <> 'terminated' AND skill.value LIKE :prefix ESCAPE '\' ORDER BY 1 LIMIT 100

-- name: complete_capabilities (postgres)
SELECT DISTINCT skill.value AS value FROM agents a, jsonb_array_elements_text(CAST(a.skills AS jsonb)) AS skill (value)
WHERE a.lifecycle <> 'terminated' AND skill.value LIKE :prefix ESCAPE '\' ORDER BY 1 LIMIT 100

-- What rebuilding leaves over.
-- name: instances_orphans_clear
DELETE FROM instances WHERE agent_id NOT IN (SELECT id FROM agents)

-- Whom a client's hook speaks for.
-- name: agent_glance
SELECT id, name, skills FROM agents WHERE id = :reference OR name = :reference
ORDER BY CASE WHEN id = :reference THEN 0 ELSE 1 END LIMIT 1

-- name: names_of_agents
SELECT id, name FROM agents WHERE id IN (SELECT value FROM json_each(:ids))

-- name: names_of_agents (postgres)
SELECT id, name FROM agents WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))

-- name: instance_signs
SELECT id, agent_id, last_seen_at, lost_at FROM instances
WHERE id IN (SELECT value FROM json_each(:ids)) OR agent_id IN (SELECT value FROM json_each(:ids)) LIMIT 1000

-- name: instance_signs (postgres)
SELECT id, agent_id, last_seen_at, lost_at FROM instances
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))))
  OR agent_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) LIMIT 1000
