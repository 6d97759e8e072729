-- name: user_by_id
SELECT * FROM users WHERE id = :id

-- name: user_for_update
SELECT * FROM users WHERE id = :id {{for_update}}

-- name: users
SELECT * FROM users ORDER BY id

-- name: user_names
SELECT id FROM users ORDER BY id

-- name: user_profile (short)
SELECT id, display_name, address, status FROM users WHERE id = :id

-- name: key_by_id
SELECT * FROM api_keys WHERE id = :id

-- name: key_for_update
SELECT * FROM api_keys WHERE id = :id {{for_update}}

-- What every request over HTTP asks of a key that was seen before: whether what was made of it still is so.
-- name: key_as_known (short)
SELECT k.version, u.version AS user_version, u.status AS user_status
FROM api_keys k LEFT JOIN users u ON u.id = k.holder_id AND k.holder_kind = 'user'
WHERE k.id = :id AND (k.sha256 = :sha256 OR k.old_sha256 = :sha256)

-- name: key_by_sha256 (short)
SELECT k.*, u.role AS user_role, u.status AS user_status, u.version AS user_version, s.used_at
FROM api_keys k
LEFT JOIN users u ON u.id = k.holder_id AND k.holder_kind = 'user'
LEFT JOIN key_uses s ON s.key_id = k.id
WHERE k.sha256 = :sha256 OR k.old_sha256 = :sha256

-- name: key_standing (short)
SELECT k.*, u.role AS user_role, u.status AS user_status, u.version AS user_version
FROM api_keys k LEFT JOIN users u ON u.id = k.holder_id AND k.holder_kind = 'user'
WHERE k.id = :id

-- name: keys
SELECT k.*, u.status AS user_status, s.used_at
FROM api_keys k
LEFT JOIN users u ON u.id = k.holder_id AND k.holder_kind = 'user'
LEFT JOIN key_uses s ON s.key_id = k.id
ORDER BY k.created_at, k.id

-- name: key_of_sha256
SELECT * FROM api_keys WHERE sha256 = :sha256 OR old_sha256 = :sha256

-- name: keys_from_file
SELECT * FROM api_keys WHERE source = :source AND revoked_at IS NULL ORDER BY id

-- name: any_key
SELECT 1 AS found FROM api_keys LIMIT 1

-- name: key_used
INSERT INTO key_uses (key_id, used_at) VALUES (:key_id, :used_at)
ON CONFLICT (key_id) DO UPDATE SET used_at = :used_at WHERE key_uses.used_at < :used_at
