-- name: events_after
SELECT *, 0 AS xid FROM events WHERE seq > :seq AND :xid = :xid {{filters}} ORDER BY seq LIMIT :limit

-- By the table's own column, here and below: `xid` alone is what is told, a number made of it, which no index has.
-- name: events_after (postgres)
SELECT seq, at, type, aggregate_type, aggregate_id, version, actor, correlation_id, causation_seq, data,
  xid::text::bigint AS xid
FROM events
WHERE (xid, seq) > (CAST(:xid AS text)::xid8, :seq) AND xid < pg_snapshot_xmin(pg_current_snapshot()) {{filters}}
ORDER BY events.xid, events.seq LIMIT :limit

-- name: events_before
SELECT *, 0 AS xid FROM events WHERE seq < :seq AND :xid = :xid {{filters}} ORDER BY seq DESC LIMIT :limit

-- name: events_before (postgres)
SELECT seq, at, type, aggregate_type, aggregate_id, version, actor, correlation_id, causation_seq, data,
  xid::text::bigint AS xid
FROM events
WHERE (xid, seq) < (CAST(:xid AS text)::xid8, :seq) AND xid < pg_snapshot_xmin(pg_current_snapshot()) {{filters}}
ORDER BY events.xid DESC, events.seq DESC LIMIT :limit

-- The same of some types, or by some actors, each looked up by itself: what is rare is found among a million others.
-- name: events_after_types
SELECT e.*, 0 AS xid FROM json_each(:types) AS one CROSS JOIN events e ON e.seq IN (
  SELECT seq FROM events WHERE type = one.value AND seq > :seq AND :xid = :xid {{filters}} ORDER BY seq LIMIT :limit)
ORDER BY e.seq LIMIT :limit

-- PostgreSQL does not know what is rare of what it is told later, and would read all in the log's order until a page is
-- full. Only one index has the order asked for here and below; `=` would tell that what it begins with orders nothing.
-- name: events_after_types (postgres)
SELECT e.seq, e.at, e.type, e.aggregate_type, e.aggregate_id, e.version, e.actor, e.correlation_id, e.causation_seq, e.data,
  e.xid::text::bigint AS xid
FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS one (value) CROSS JOIN LATERAL (
  SELECT * FROM events
  WHERE type = ANY (ARRAY[one.value]) AND (xid, seq) > (CAST(:xid AS text)::xid8, :seq)
    AND xid < pg_snapshot_xmin(pg_current_snapshot()) {{filters}}
  ORDER BY type, xid, seq LIMIT :limit) AS e
ORDER BY e.xid, e.seq LIMIT :limit

-- name: events_before_types
SELECT e.*, 0 AS xid FROM json_each(:types) AS one CROSS JOIN events e ON e.seq IN (
  SELECT seq FROM events WHERE type = one.value AND seq < :seq AND :xid = :xid {{filters}}
  ORDER BY seq DESC LIMIT :limit)
ORDER BY e.seq DESC LIMIT :limit

-- name: events_before_types (postgres)
SELECT e.seq, e.at, e.type, e.aggregate_type, e.aggregate_id, e.version, e.actor, e.correlation_id, e.causation_seq, e.data,
  e.xid::text::bigint AS xid
FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS one (value) CROSS JOIN LATERAL (
  SELECT * FROM events
  WHERE type = ANY (ARRAY[one.value]) AND (xid, seq) < (CAST(:xid AS text)::xid8, :seq)
    AND xid < pg_snapshot_xmin(pg_current_snapshot()) {{filters}}
  ORDER BY type DESC, xid DESC, seq DESC LIMIT :limit) AS e
ORDER BY e.xid DESC, e.seq DESC LIMIT :limit

-- name: events_after_actors
SELECT e.*, 0 AS xid FROM json_each(:actors) AS one CROSS JOIN events e ON e.seq IN (
  SELECT seq FROM events WHERE actor = one.value AND seq > :seq AND :xid = :xid {{filters}} ORDER BY seq LIMIT :limit)
ORDER BY e.seq LIMIT :limit

-- name: events_after_actors (postgres)
SELECT e.seq, e.at, e.type, e.aggregate_type, e.aggregate_id, e.version, e.actor, e.correlation_id, e.causation_seq, e.data,
  e.xid::text::bigint AS xid
FROM jsonb_array_elements_text(CAST(:actors AS jsonb)) AS one (value) CROSS JOIN LATERAL (
  SELECT * FROM events
  WHERE actor = ANY (ARRAY[one.value]) AND (xid, seq) > (CAST(:xid AS text)::xid8, :seq)
    AND xid < pg_snapshot_xmin(pg_current_snapshot()) {{filters}}
  ORDER BY actor, xid, seq LIMIT :limit) AS e
ORDER BY e.xid, e.seq LIMIT :limit

-- name: events_before_actors
SELECT e.*, 0 AS xid FROM json_each(:actors) AS one CROSS JOIN events e ON e.seq IN (
  SELECT seq FROM events WHERE actor = one.value AND seq < :seq AND :xid = :xid {{filters}}
  ORDER BY seq DESC LIMIT :limit)
ORDER BY e.seq DESC LIMIT :limit

-- name: events_before_actors (postgres)
SELECT e.seq, e.at, e.type, e.aggregate_type, e.aggregate_id, e.version, e.actor, e.correlation_id, e.causation_seq, e.data,
  e.xid::text::bigint AS xid
FROM jsonb_array_elements_text(CAST(:actors AS jsonb)) AS one (value) CROSS JOIN LATERAL (
  SELECT * FROM events
  WHERE actor = ANY (ARRAY[one.value]) AND (xid, seq) < (CAST(:xid AS text)::xid8, :seq)
    AND xid < pg_snapshot_xmin(pg_current_snapshot()) {{filters}}
  ORDER BY actor DESC, xid DESC, seq DESC LIMIT :limit) AS e
ORDER BY e.xid DESC, e.seq DESC LIMIT :limit

-- Who acted, between two texts: from one to the next is one look at an index.
-- name: event_actors
WITH RECURSIVE walk (actor) AS (
  SELECT MIN(actor) FROM events WHERE actor >= :low
  UNION ALL
  SELECT (SELECT MIN(e.actor) FROM events e WHERE e.actor > walk.actor) FROM walk WHERE walk.actor < :high)
SELECT actor FROM walk WHERE actor < :high LIMIT :limit

-- What led to an event, newest first: its cause, or else what happened to the same thing before.
-- name: events_led_to
WITH RECURSIVE chain (seq, depth) AS (
  SELECT e.seq, 0 FROM events e WHERE e.seq = :seq
  UNION ALL
  SELECT COALESCE(e.causation_seq, (
      SELECT b.seq FROM events b
      WHERE b.aggregate_id = e.aggregate_id AND b.aggregate_type = e.aggregate_type AND b.seq < e.seq
      ORDER BY b.seq DESC LIMIT 1)), chain.depth + 1
  FROM chain JOIN events e ON e.seq = chain.seq WHERE chain.depth + 1 < :limit)
SELECT e.*, 0 AS xid FROM chain JOIN events e ON e.seq = chain.seq WHERE TRUE {{filters}} ORDER BY chain.depth

-- name: events_led_to (postgres)
WITH RECURSIVE chain (seq, depth) AS (
  SELECT e.seq, 0 FROM events e WHERE e.seq = :seq
  UNION ALL
  SELECT COALESCE(e.causation_seq, (
      SELECT b.seq FROM events b
      WHERE b.aggregate_id = e.aggregate_id AND b.aggregate_type = e.aggregate_type AND b.seq < e.seq
      ORDER BY b.seq DESC LIMIT 1)), chain.depth + 1
  FROM chain JOIN events e ON e.seq = chain.seq WHERE chain.depth + 1 < :limit)
SELECT e.seq, e.at, e.type, e.aggregate_type, e.aggregate_id, e.version, e.actor, e.correlation_id, e.causation_seq,
  e.data, e.xid::text::bigint AS xid
FROM chain JOIN events e ON e.seq = chain.seq WHERE TRUE {{filters}} ORDER BY chain.depth

-- What the caller may see, by the kind of thing.
-- name: filter.seen
AND aggregate_type IN (SELECT value FROM json_each(:seen))

-- name: filter.seen (postgres)
AND aggregate_type = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:seen AS jsonb))))

-- Of documents, whose ids are namespace/key, those that a caller reaches whose key has a prefix of namespaces.
-- name: filter.documents_within
AND (aggregate_type <> 'document' OR (substr(aggregate_id, 1, length(CAST(:within AS TEXT))) = :within
  AND (:is_open = 1 OR substr(aggregate_id, length(CAST(:within AS TEXT)) + 1, 1) IN ('/', '.', '-', '_'))))

-- name: filter.types
AND type IN (SELECT value FROM json_each(:types))

-- name: filter.types (postgres)
AND type = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:types AS jsonb))))

-- name: filter.aggregate
AND aggregate_id = :aggregate

-- The log is read from where time passes a moment: a thousand events beside it may stand in another order than their
-- times. What a clock that was ahead dated later, and stands before, belongs to what was before.
-- Of two bounds SQLite takes the one that it is told to be the narrower.
-- name: filter.since
AND at >= :since AND likelihood(seq >= (
  SELECT MIN(seq) FROM (SELECT seq FROM events WHERE at >= :since ORDER BY at LIMIT 1000) AS first), 0.0001)

-- name: filter.since (postgres)
AND at >= :since AND xid >= (
  SELECT xid FROM (SELECT xid FROM events WHERE at >= :since ORDER BY at, xid, seq LIMIT 1000) AS first
  ORDER BY xid LIMIT 1)

-- name: filter.until
AND at <= :until AND likelihood(seq <= (
  SELECT MAX(seq) FROM (SELECT seq FROM events WHERE at <= :until ORDER BY at DESC LIMIT 1000) AS last), 0.0001)

-- name: filter.until (postgres)
AND at <= :until AND xid <= (
  SELECT xid FROM (SELECT xid FROM events WHERE at <= :until ORDER BY at DESC, xid DESC, seq DESC LIMIT 1000) AS last
  ORDER BY xid DESC LIMIT 1)

-- name: filter.actor
AND actor = :actor

-- By one of several labels.
-- name: filter.actors
AND actor IN (SELECT value FROM json_each(:actors))

-- name: filter.actors (postgres)
AND actor IN (SELECT jsonb_array_elements_text(CAST(:actors AS jsonb)))

-- Asked of events that the other has found: of the column as it stands an engine would look for its index.
-- name: filter.types_beside
AND type || '' IN (SELECT value FROM json_each(:types))

-- name: filter.types_beside (postgres)
AND type || '' = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:types AS jsonb))))

-- name: filter.actors_beside
AND actor || '' IN (SELECT value FROM json_each(:actors))

-- name: filter.actors_beside (postgres)
AND actor || '' = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:actors AS jsonb))))

-- name: events_count_types
SELECT count(*) AS n FROM (SELECT 1 FROM json_each(:types) AS one CROSS JOIN events e ON e.type = one.value LIMIT :counted) AS part

-- name: events_count_types (postgres)
SELECT count(*) AS n FROM (
  SELECT 1 FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS one (value) CROSS JOIN LATERAL (
    SELECT 1 FROM events WHERE type = one.value LIMIT :counted) AS e LIMIT :counted) AS part

-- name: events_count_actors
SELECT count(*) AS n FROM (SELECT 1 FROM json_each(:actors) AS one CROSS JOIN events e ON e.actor = one.value LIMIT :counted) AS part

-- name: events_count_actors (postgres)
SELECT count(*) AS n FROM (
  SELECT 1 FROM jsonb_array_elements_text(CAST(:actors AS jsonb)) AS one (value) CROSS JOIN LATERAL (
    SELECT 1 FROM events WHERE actor = one.value LIMIT :counted) AS e LIMIT :counted) AS part

-- What a principal did, itself or through agents.
-- name: filter.actor_principal
AND (actor = :actor OR substr(actor, length(actor) - length(CAST(:actor_via AS TEXT)) + 1) = :actor_via)

-- What an agent did, whichever principal it spoke through.
-- name: filter.actor_agent
AND (actor IN (:actor, :actor_id) OR substr(actor, 1, length(CAST(:actor_as AS TEXT))) = :actor_as)

-- Kinds of things of which a caller may see nothing, each between commas.
-- name: filter.correlation
AND correlation_id = :correlation

-- name: event_speaker
SELECT speaker.id, speaker.name FROM {{agent_referred_to}} AS speaker

-- name: event_speakers
SELECT speaker.name FROM {{agents_at_hand}} AS speaker

-- Whether anything was told by a clock that was ahead.
-- name: fragment.anything_told_ahead
EXISTS (SELECT 1 FROM events WHERE at > :ahead)

-- name: event_horizon
SELECT xid, seq, at FROM event_horizon WHERE name = 'events'

-- name: event_horizon_save
INSERT INTO event_horizon (name, xid, seq, at) VALUES ('events', :xid, :seq, :at)
ON CONFLICT (name) DO UPDATE SET xid = excluded.xid, seq = excluded.seq, at = excluded.at

-- The last event older than a moment.
-- name: event_last_before
SELECT MAX(seq) AS seq, 0 AS xid FROM (SELECT seq FROM events WHERE at < :before ORDER BY at DESC LIMIT 1000) AS last
HAVING MAX(seq) IS NOT NULL

-- name: event_last_before (postgres)
SELECT seq, xid::text::bigint AS xid FROM (
  SELECT xid, seq FROM events WHERE at < :before AND xid < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY at DESC, xid DESC, seq DESC LIMIT 1000) AS last
ORDER BY last.xid DESC, last.seq DESC LIMIT 1

-- name: any_event_before
SELECT 1 AS found FROM (SELECT at FROM events WHERE type NOT LIKE '%.snapshot' ORDER BY seq LIMIT 1) AS oldest
WHERE at < :before

-- name: events_between
SELECT seq, 0 AS xid, type, aggregate_type, aggregate_id FROM events
WHERE seq > :seq AND seq <= :upto_seq AND :xid = :xid AND :upto_xid = :upto_xid ORDER BY seq LIMIT :limit

-- name: events_between (postgres)
SELECT seq, xid::text::bigint AS xid, type, aggregate_type, aggregate_id FROM events
WHERE (xid, seq) > (CAST(:xid AS text)::xid8, :seq) AND (xid, seq) <= (CAST(:upto_xid AS text)::xid8, :upto_seq)
ORDER BY events.xid, events.seq LIMIT :limit

-- name: events_of_since
SELECT seq FROM events WHERE aggregate_id = :id AND aggregate_type = :type AND seq > :upto_seq
  AND :upto_xid = :upto_xid LIMIT 1

-- name: events_of_since (postgres)
SELECT seq FROM events WHERE aggregate_id = :id AND aggregate_type = :type
  AND (xid, seq) > (CAST(:upto_xid AS text)::xid8, :upto_seq) LIMIT 1

-- The newest first: what is left of a history is then its beginning, which can be replayed.
-- name: events_drop
DELETE FROM events WHERE seq IN (
  SELECT seq FROM events WHERE aggregate_id = :id AND aggregate_type = :type AND seq <= :upto_seq
    AND :upto_xid = :upto_xid ORDER BY seq DESC LIMIT :limit)
RETURNING seq

-- name: events_drop (postgres)
DELETE FROM events WHERE seq IN (
  SELECT seq FROM events WHERE aggregate_id = :id AND aggregate_type = :type
    AND (xid, seq) <= (CAST(:upto_xid AS text)::xid8, :upto_seq) ORDER BY seq DESC LIMIT :limit)
RETURNING seq

-- name: event_at
SELECT seq, 0 AS xid FROM events WHERE seq = :seq AND :xid = 0

-- name: event_at (postgres)
SELECT seq, xid::text::bigint AS xid FROM events WHERE seq = :seq AND xid = CAST(:xid AS text)::xid8

-- name: event_newest
SELECT seq, at FROM events ORDER BY seq DESC LIMIT 1

-- name: event_newest_of
SELECT type, version, data FROM events WHERE aggregate_id = :id AND aggregate_type = :type ORDER BY seq DESC LIMIT 1

-- name: events_newest_of
SELECT type, version, at, actor, data FROM events WHERE aggregate_id = :id AND aggregate_type = :type
ORDER BY seq DESC LIMIT :limit

-- name: event_last_told
SELECT type, at FROM events WHERE aggregate_id = :id AND aggregate_type = :aggregate_type
  AND (:version IS NULL OR version = :version) AND type IN (SELECT value FROM json_each(:types))
ORDER BY seq DESC LIMIT 1

-- name: event_last_told (postgres)
SELECT type, at FROM events WHERE aggregate_id = :id AND aggregate_type = :aggregate_type
  AND (CAST(:version AS bigint) IS NULL OR version = CAST(:version AS bigint))
  AND type = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:types AS jsonb))))
ORDER BY seq DESC LIMIT 1

-- name: event_last_of
SELECT seq FROM events WHERE aggregate_id = :id AND type = :type ORDER BY seq DESC LIMIT 1

-- Put in an order that no index has: for that of the log it might be read from its first event on.
-- name: events_beside
SELECT e.type, e.aggregate_id, e.version, e.seq > known.seq AS is_later FROM events AS e
JOIN (
  SELECT seq, correlation_id FROM events WHERE aggregate_id = :id AND type = :type ORDER BY seq DESC LIMIT 1
) AS known ON e.correlation_id = known.correlation_id
  AND e.seq > known.seq - :span AND e.seq < known.seq + :span AND e.aggregate_id <> :id
WHERE e.causation_seq >= CASE WHEN e.seq > known.seq THEN known.seq ELSE :cause END
ORDER BY e.seq + 0 LIMIT :limit

-- name: events_latest
SELECT at, type, aggregate_id, actor, data FROM events ORDER BY seq DESC LIMIT :limit

-- name: events_caused_by
SELECT version, type, correlation_id FROM events WHERE aggregate_id = :id AND aggregate_type = :aggregate_type
  AND version >= :low AND version <= :high
  AND substr(correlation_id, 1, length(CAST(:cause AS TEXT))) = CAST(:cause AS TEXT)
ORDER BY seq DESC LIMIT :limit

-- name: events_newest_of_type
SELECT type, aggregate_id, at, version, actor, data FROM events WHERE type = :type ORDER BY seq DESC LIMIT :limit

-- name: events_newest_of_type (postgres)
SELECT type, aggregate_id, at, version, actor, data FROM events WHERE type = :type
ORDER BY xid DESC, seq DESC LIMIT :limit

-- name: events_told_of
SELECT type, aggregate_id, at, version, actor, correlation_id, data
FROM events WHERE aggregate_id = :id AND aggregate_type = :aggregate_type
  AND version >= :low AND version <= :high AND type IN (SELECT value FROM json_each(:types))
ORDER BY seq DESC LIMIT :limit

-- name: events_told_of (postgres)
SELECT type, aggregate_id, at, version, actor, correlation_id, data
FROM events WHERE aggregate_id = :id AND aggregate_type = :aggregate_type
  AND version >= :low AND version <= :high
  AND type = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:types AS jsonb))))
ORDER BY seq DESC LIMIT :limit
