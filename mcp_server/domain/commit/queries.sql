-- name: commit_by_id
SELECT * FROM commits WHERE id = :id

-- name: commit_by_key
SELECT * FROM commits WHERE idempotency_key = :key AND key_owner = :owner
