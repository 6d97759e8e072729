-- name: lock_guard
SELECT last_token FROM locks WHERE name = :name

-- name: lock_guard (postgres)
SELECT last_token FROM pg_advisory_xact_lock(hashtextextended('lock ' || :name, 0)) AS guarded
LEFT JOIN locks ON name = :name

-- name: lock_token_save
INSERT INTO locks (name, last_token) VALUES (:name, :token)
ON CONFLICT (name) DO UPDATE SET last_token = :token

-- name: lock_holds
SELECT * FROM lock_holds WHERE name = :name ORDER BY acquired_at, owner

-- name: lock_hold_insert
INSERT INTO lock_holds (name, owner, mode, fencing_token, expires_at, acquired_at)
VALUES (:name, :owner, :mode, :fencing_token, :expires_at, :acquired_at)

-- name: lock_hold_renew
UPDATE lock_holds SET expires_at = :expires_at WHERE name = :name AND owner = :owner

-- name: lock_hold_delete
DELETE FROM lock_holds WHERE name = :name AND owner = :owner

-- name: lock_waiters_before
SELECT owner, mode FROM lock_waiters
WHERE name = :name AND owner <> :owner AND expires_at > :now
  AND (since < :since OR (since = :since AND owner < :owner))
ORDER BY since, owner

-- name: lock_waiter
SELECT since FROM lock_waiters WHERE name = :name AND owner = :owner AND expires_at > :now

-- name: lock_waiter_save
INSERT INTO lock_waiters (name, owner, mode, since, expires_at) VALUES (:name, :owner, :mode, :since, :expires_at)
ON CONFLICT (name, owner) DO UPDATE SET mode = :mode, since = :since, expires_at = :expires_at

-- name: lock_waiter_delete
DELETE FROM lock_waiters WHERE name = :name AND owner = :owner

-- name: expired_holds
SELECT name, owner FROM lock_holds WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit

-- name: lock_line_guard
SELECT 1 AS guarded

-- name: lock_line_guard (postgres)
SELECT 1 AS guarded FROM pg_advisory_xact_lock(hashtextextended('lock lines', 0))

-- name: lock_waits
SELECT w.owner AS waiter, w.name, h.owner AS holder
FROM lock_waiters w JOIN lock_holds h ON h.name = w.name AND h.owner <> w.owner
WHERE w.expires_at > :now AND h.expires_at > :now

-- name: lock_holds_of
SELECT * FROM lock_holds WHERE owner = :owner ORDER BY name

-- name: lock_waiters_delete_of
DELETE FROM lock_waiters WHERE owner = :owner

-- name: locks_held
SELECT * FROM lock_holds WHERE expires_at > :now ORDER BY name, acquired_at, owner LIMIT :limit

-- name: locks_awaited
SELECT name, owner, mode, since FROM lock_waiters WHERE expires_at > :now ORDER BY name, since, owner LIMIT :limit

-- name: due.lock_holds
SELECT MIN(expires_at) AS at FROM lock_holds

-- name: lock_holds_whole
SELECT owner, mode, fencing_token, expires_at, acquired_at FROM lock_holds WHERE name = :name ORDER BY owner

-- What rebuilding from a snapshot clears away first.
-- name: lock_holds_clear
DELETE FROM lock_holds WHERE name = :id
