-- Two names that are no globs meet where they are equal; a glob may meet any.
-- name: lock_guard
SELECT :name AS guarded

-- name: lock_guard (postgres)
SELECT pg_advisory_xact_lock_shared(hashtextextended('lock globs', hashtext(current_schema()))) IS NULL AS guarded,
  pg_advisory_xact_lock(hashtextextended('lock ' || :name, hashtext(current_schema()))) IS NULL AS alone

-- name: lock_guard_all
SELECT 1 AS guarded

-- name: lock_guard_all (postgres)
SELECT pg_advisory_xact_lock(hashtextextended('lock globs', hashtext(current_schema()))) IS NULL AS guarded

-- name: lock_token
SELECT last_token FROM locks WHERE name = :name

-- name: lock_token_save
INSERT INTO locks (name, last_token) VALUES (:name, :token)
ON CONFLICT (name) DO UPDATE SET last_token = :token

-- name: lock_tokens_raise
UPDATE locks SET last_token = last_token + 1 WHERE name IN (SELECT value FROM json_each(:names))

-- name: lock_tokens_raise (postgres)
UPDATE locks SET last_token = last_token + 1
WHERE name = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:names AS jsonb))))

-- name: lock_tokens
SELECT name, last_token FROM locks WHERE name IN (SELECT value FROM json_each(:names))

-- name: lock_tokens (postgres)
SELECT name, last_token FROM locks WHERE name = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:names AS jsonb))))

-- What is live of a party's is another's, under the last tokens.
-- name: lock_holds_give
UPDATE lock_holds SET party = :heir, owner = '', speaker = :speaker, acquired_at = :acquired_at,
  fencing_token = (SELECT last_token FROM locks WHERE locks.name = lock_holds.name)
WHERE party = :party AND expires_at > :now AND name IN (SELECT value FROM json_each(:names))

-- name: lock_holds_give (postgres)
UPDATE lock_holds SET party = :heir, owner = '', speaker = :speaker, acquired_at = :acquired_at,
  fencing_token = (SELECT last_token FROM locks WHERE locks.name = lock_holds.name)
WHERE party = :party AND expires_at > :now
  AND name = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:names AS jsonb))))

-- name: lock_holds
SELECT * FROM lock_holds WHERE name = :name
UNION ALL SELECT * FROM lock_holds WHERE pattern = 1 AND name <> :name
ORDER BY acquired_at, name, party, owner

-- What a glob may meet: names that begin as it does, and all globs.
-- name: lock_holds_within
SELECT * FROM lock_holds WHERE pattern = 0 AND name >= :low AND name < :high
UNION ALL SELECT * FROM lock_holds WHERE pattern = 1
ORDER BY acquired_at, name, party, owner

-- name: lock_holds_on
SELECT * FROM lock_holds WHERE pattern = 0 AND name IN (SELECT value FROM json_each(:names))
UNION ALL SELECT * FROM lock_holds WHERE pattern = 1
ORDER BY acquired_at, name, party, owner

-- name: lock_holds_on (postgres)
SELECT * FROM lock_holds
WHERE pattern = 0 AND name = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:names AS jsonb))))
UNION ALL SELECT * FROM lock_holds WHERE pattern = 1
ORDER BY acquired_at, name, party, owner

-- name: lock_globs_held
SELECT DISTINCT name FROM lock_holds WHERE pattern = 1 AND expires_at > :now ORDER BY name

-- name: lock_globs_of
SELECT count(*) AS n FROM lock_holds WHERE pattern = 1 AND party = :party

-- name: lock_holds_of_party
SELECT * FROM lock_holds WHERE party = :party ORDER BY name, owner

-- What a party holds, each lock once, counted up to a number.
-- name: lock_names_of_party
SELECT name, MAX(expires_at) AS expires_at, CASE WHEN COUNT(*) = 1 THEN MAX(owner) ELSE '' END AS owner
FROM lock_holds WHERE party = :party AND expires_at > :now
GROUP BY name ORDER BY name LIMIT :counted

-- name: lock_holds_of_owner
SELECT * FROM lock_holds WHERE owner = :owner ORDER BY name, party

-- name: lock_hold_insert
INSERT INTO lock_holds (name, party, owner, speaker, mode, fencing_token, pattern, expires_at, acquired_at)
VALUES (:name, :party, :owner, :speaker, :mode, :fencing_token, :pattern, :expires_at, :acquired_at)

-- name: lock_hold_renew
UPDATE lock_holds SET expires_at = :expires_at WHERE name = :name AND fencing_token = :fencing_token

-- name: lock_hold_delete
DELETE FROM lock_holds WHERE name = :name AND fencing_token = :fencing_token

-- name: lock_hold_of_delete
DELETE FROM lock_holds WHERE name = :name AND party = :party AND owner = :owner

-- name: lock_line
SELECT * FROM lock_waiters WHERE (name = :name OR pattern = 1) AND expires_at > :now

-- name: lock_holds_of_others
SELECT * FROM lock_holds WHERE expires_at > :now AND party <> :party ORDER BY expires_at DESC LIMIT :limit

-- name: lock_line_all
SELECT * FROM lock_waiters WHERE expires_at > :now

-- Who wants one thing waits for what is held and for those who came before. So any circle leads through somebody who
-- waits and has something else: a hold, or another place. `:party` and `:owner` are about to wait for `:name`.
-- name: lock_circle_possible
WITH wanted AS (
  SELECT name, party, owner FROM lock_waiters WHERE expires_at > :now UNION SELECT :name, :party, :owner)
SELECT 1 AS possible FROM wanted w
WHERE EXISTS (SELECT 1 FROM lock_holds h WHERE h.party = w.party AND h.owner = w.owner AND h.expires_at > :now)
UNION ALL
SELECT 1 FROM wanted GROUP BY party, owner HAVING count(*) > 1
LIMIT 1

-- name: lock_places_of
SELECT * FROM lock_waiters WHERE party = :party AND owner = :owner AND expires_at > :now ORDER BY name

-- name: lock_place
SELECT * FROM lock_waiters WHERE name = :name AND party = :party AND owner = :owner

-- name: lock_waiter_save
INSERT INTO lock_waiters (name, party, owner, speaker, mode, pattern, since, expires_at)
VALUES (:name, :party, :owner, :speaker, :mode, :pattern, :since, :expires_at)
ON CONFLICT (name, party, owner) DO UPDATE SET mode = :mode, since = :since, expires_at = :expires_at

-- name: lock_waiter_stay
UPDATE lock_waiters SET expires_at = :expires_at WHERE name = :name AND party = :party AND owner = :owner

-- name: lock_waiter_delete
DELETE FROM lock_waiters WHERE name = :name AND party = :party AND owner = :owner

-- name: lock_waiters_of_owner
SELECT * FROM lock_waiters WHERE owner = :owner ORDER BY name, party

-- name: lapsed_waiters
SELECT * FROM lock_waiters WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit

-- name: expired_holds
SELECT DISTINCT name, MIN(expires_at) AS oldest FROM lock_holds WHERE expires_at <= :now GROUP BY name
ORDER BY MIN(expires_at) LIMIT :limit

-- name: lock_holds_named
SELECT * FROM lock_holds WHERE name = :name ORDER BY fencing_token

-- A hold does not say when it was granted or renewed last, the log does.
-- name: lock_holds_live
SELECT DISTINCT name FROM lock_holds WHERE expires_at > :now AND {{anything_told_ahead}} ORDER BY name

-- A place in line lasts two seconds.
-- name: lock_waiters_ahead
SELECT * FROM lock_waiters WHERE expires_at > :ahead

-- name: lock_line_guard
SELECT 1 AS guarded

-- name: lock_line_guard (postgres)
SELECT 1 AS guarded FROM pg_advisory_xact_lock(hashtextextended('lock lines', hashtext(current_schema())))

-- The names of held locks around one, by the alphabet.
-- name: lock_names_around
SELECT name FROM (SELECT DISTINCT name FROM lock_holds WHERE name >= :name AND expires_at > :now ORDER BY name LIMIT 500) AS after_it
UNION ALL SELECT name FROM (
  SELECT DISTINCT name FROM lock_holds WHERE name < :name AND expires_at > :now ORDER BY name DESC LIMIT 500) AS before_it

-- name: locks_find
SELECT f.name FROM (
  SELECT name FROM lock_holds WHERE expires_at > :now UNION SELECT name FROM lock_waiters WHERE expires_at > :now
) AS f WHERE TRUE {{filters}} ORDER BY f.name LIMIT :limit

-- name: locks_find_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM (
    SELECT name FROM lock_holds WHERE expires_at > :now UNION SELECT name FROM lock_waiters WHERE expires_at > :now
  ) AS f WHERE TRUE {{filters}} LIMIT :counted) AS matched

-- name: fragment.locks_of_party
(SELECT name FROM lock_holds WHERE party = :lock_party AND expires_at > :now
  UNION SELECT name FROM lock_waiters WHERE party = :lock_party AND expires_at > :now)

-- name: locks_find_of
SELECT f.name FROM {{locks_of_party}} AS f WHERE TRUE {{filters}} ORDER BY f.name LIMIT :limit

-- name: locks_find_of_count
SELECT count(*) AS n FROM (SELECT 1 FROM {{locks_of_party}} AS f WHERE TRUE {{filters}} LIMIT :counted) AS matched

-- name: filter.lock_name
AND f.name = :lock_name

-- name: filter.lock_prefix
AND f.name LIKE :lock_prefix ESCAPE '\'

-- name: filter.lock_after
AND f.name > :lock_after

-- name: locks_held
SELECT * FROM lock_holds WHERE name >= :first AND name <= :last AND expires_at > :now
ORDER BY name, acquired_at, party, owner

-- name: locks_awaited
SELECT * FROM lock_waiters WHERE name >= :first AND name <= :last AND expires_at > :now
ORDER BY name, since, party, owner

-- name: due.lock_holds
SELECT MIN(expires_at) AS at FROM lock_holds

-- name: due.lock_waiters
SELECT MIN(expires_at) AS at FROM lock_waiters

-- name: lock_holds_whole
SELECT party, owner, speaker, mode, fencing_token, expires_at, acquired_at FROM lock_holds WHERE name = :name
ORDER BY party, owner

-- What rebuilding from a snapshot clears away first.
-- name: lock_holds_clear
DELETE FROM lock_holds WHERE name = :id
