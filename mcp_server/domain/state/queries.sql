-- name: document_for_update
SELECT * FROM documents WHERE id = :id {{for_update}}

-- name: document_current (short)
SELECT d.*, v.value FROM documents d JOIN document_versions v ON v.document_id = d.id AND v.version = d.version
WHERE d.id = :id

-- name: document_at_version (short)
SELECT d.namespace, d.key, d.tags, d.expires_at, d.deleted,
  v.version, v.value, v.sha256, v.bytes, v.author, v.note, v.at AS updated_at
FROM document_versions v JOIN documents d ON d.id = v.document_id
WHERE v.document_id = :id AND v.version = :version

-- name: version_chain
SELECT version, value, delta FROM document_versions WHERE document_id = :id AND version >= :version
ORDER BY version LIMIT :limit

-- name: version_compact
UPDATE document_versions SET value = NULL, delta = :delta WHERE document_id = :id AND version = :version

-- name: version_insert
INSERT INTO document_versions (document_id, version, value, sha256, bytes, author, at, note)
VALUES (:document_id, :version, :value, :sha256, :bytes, :author, :at, :note)

-- name: state_history
SELECT version, author, at, note, bytes, sha256 FROM document_versions
WHERE document_id = :id AND version >= :low AND version <= :high ORDER BY version DESC LIMIT :limit

-- name: state_find
SELECT d.* FROM documents d WHERE d.deleted = 0 AND (d.expires_at IS NULL OR d.expires_at > :now) {{filters}}
ORDER BY d.id LIMIT :limit

-- Documents as a key-value store lists them; the value only where it may hold metadata.
-- name: state_keys
SELECT d.key, d.version, d.sha256, d.expires_at,
  CASE WHEN v.value LIKE '%"$metadata"%' THEN v.value END AS value
FROM documents d JOIN document_versions v ON v.document_id = d.id AND v.version = d.version
WHERE d.id > :low AND d.id < :high AND d.deleted = 0 AND (d.expires_at IS NULL OR d.expires_at > :now)
ORDER BY d.id LIMIT :limit

-- name: state_find_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM documents d WHERE d.deleted = 0 AND (d.expires_at IS NULL OR d.expires_at > :now) {{filters}}
  LIMIT :counted) AS matched

-- name: state_deleted
SELECT d.* FROM documents d WHERE d.deleted = 1 {{filters}} ORDER BY d.id LIMIT :limit

-- name: state_deleted_count
SELECT count(*) AS n FROM (SELECT 1 FROM documents d WHERE d.deleted = 1 {{filters}} LIMIT :counted) AS matched

-- What has expired a moment ago and is not deleted yet.
-- name: state_expired
SELECT d.* FROM documents d WHERE d.deleted = 0 AND d.expires_at IS NOT NULL AND d.expires_at <= :now {{filters}}
ORDER BY d.id LIMIT :limit

-- name: state_expired_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM documents d WHERE d.deleted = 0 AND d.expires_at IS NOT NULL AND d.expires_at <= :now {{filters}}
  LIMIT :counted) AS matched

-- Wherever a key begins so, in the order of the keys.
-- name: state_keyed
SELECT d.* FROM documents d
WHERE d.key >= :low AND d.key < :high AND d.deleted = 0 AND (d.expires_at IS NULL OR d.expires_at > :now) {{filters}}
ORDER BY d.key, d.id LIMIT :limit

-- name: state_keyed_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM documents d
  WHERE d.key >= :low AND d.key < :high AND d.deleted = 0 AND (d.expires_at IS NULL OR d.expires_at > :now) {{filters}}
  LIMIT :counted) AS matched

-- name: state_tagged
SELECT d.* FROM document_tags CROSS JOIN documents d ON d.id = tagged_id
WHERE tag = :document_tag AND d.deleted = 0 AND (d.expires_at IS NULL OR d.expires_at > :now) {{filters}}
ORDER BY tagged_id LIMIT :limit

-- name: state_tagged (postgres)
SELECT d.* FROM document_tags JOIN documents d ON d.id = tagged_id
WHERE tag = :document_tag AND d.deleted = 0 AND (d.expires_at IS NULL OR d.expires_at > :now) {{filters}}
ORDER BY tagged_id LIMIT :limit

-- name: state_tagged_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM document_tags CROSS JOIN documents d ON d.id = tagged_id
  WHERE tag = :document_tag AND d.deleted = 0 AND (d.expires_at IS NULL OR d.expires_at > :now) {{filters}}
  LIMIT :counted) AS matched

-- name: state_tagged_count (postgres)
SELECT count(*) AS n FROM (
  SELECT 1 FROM document_tags JOIN documents d ON d.id = tagged_id
  WHERE tag = :document_tag AND d.deleted = 0 AND (d.expires_at IS NULL OR d.expires_at > :now) {{filters}}
  LIMIT :counted) AS matched

-- name: filter.document_range
AND d.id >= :range_low AND d.id < :range_high

-- What a caller reaches whose key has a prefix: that namespace, and those that begin with it and a mark between words.
-- name: filter.namespaces_within
AND (namespace = :within OR (substr(namespace, 1, length(CAST(:within AS TEXT))) = :within
  AND (:is_open = 1 OR substr(namespace, length(CAST(:within AS TEXT)) + 1, 1) IN ('.', '-', '_'))))

-- name: filter.document_prefix
AND d.key >= :range_low AND d.key < :range_high

-- name: filter.document_tag
AND EXISTS (SELECT 1 FROM document_tags WHERE tag = :document_tag AND tagged_id = d.id)

-- name: filter.document_text (long)
AND {{text_holds}}

-- name: filter.document_text_indexed (long)
AND d.id IN ({{texts_holding}})

-- name: filter.document_text_indexed (postgres)
AND d.id = ANY (ARRAY({{texts_holding}}))

-- name: documents_every
SELECT d.id, v.value FROM documents d
LEFT JOIN document_versions v ON v.document_id = d.id AND v.version = d.version
WHERE d.id > :after ORDER BY d.id LIMIT :limit

-- name: filter.document_after
AND d.id > :document_after

-- name: filter.document_key_after
AND (d.key, d.id) > (:after_key, :after_id)

-- name: filter.document_tagged_after
AND tagged_id > :document_after

-- Each with its documents, counted up to a number. From one namespace to the next is one look at an index, and what is
-- in it is read once: both figures in one text, `count bytes`.
-- name: namespaces
WITH RECURSIVE walk (namespace) AS (
  SELECT MIN(namespace) FROM documents WHERE namespace >= CAST(:within AS TEXT) AND deleted = 0
  UNION ALL
  SELECT (SELECT MIN(d.namespace) FROM documents d WHERE d.namespace > walk.namespace AND d.deleted = 0) FROM walk
  WHERE walk.namespace IS NOT NULL)
SELECT part.namespace, (
  SELECT count(*) || ' ' || COALESCE(SUM(live.bytes), 0) FROM (
    SELECT d.bytes FROM documents d WHERE d.namespace = part.namespace AND d.deleted = 0
    AND (d.expires_at IS NULL OR d.expires_at > :now) LIMIT :counted) AS live
) AS held
FROM (SELECT namespace FROM walk WHERE namespace IS NOT NULL {{filters}} LIMIT 100) AS part ORDER BY part.namespace

-- name: expired_documents
SELECT id FROM documents WHERE expires_at IS NOT NULL AND deleted = 0 AND expires_at <= :now
ORDER BY expires_at LIMIT :limit

-- name: documents_ahead
SELECT id FROM documents WHERE expires_at IS NOT NULL AND deleted = 0 AND expires_at > :now AND updated_at > :ahead

-- name: complete_namespaces
WITH RECURSIVE walk (value) AS (
  SELECT MIN(namespace) FROM documents WHERE namespace >= :low AND deleted = 0
  UNION ALL
  SELECT (SELECT MIN(d.namespace) FROM documents d WHERE d.namespace > walk.value AND d.deleted = 0) FROM walk
  WHERE walk.value < :high)
SELECT part.value FROM (SELECT value FROM walk WHERE value < :high LIMIT 100) AS part ORDER BY part.value

-- name: complete_keys
SELECT key AS value FROM documents
WHERE id >= CAST(:namespace AS TEXT) || '/' || CAST(:low AS TEXT)
  AND id < CAST(:namespace AS TEXT) || '/' || CAST(:high AS TEXT) AND deleted = 0
ORDER BY id LIMIT 100

-- name: due.documents
SELECT MIN(expires_at) AS at FROM documents WHERE expires_at IS NOT NULL AND deleted = 0

-- name: versions_whole
SELECT version, sha256, bytes, author, at FROM document_versions WHERE document_id = :id ORDER BY version

-- What rebuilding from a snapshot clears away first.
-- name: versions_clear
DELETE FROM document_versions WHERE document_id = :id
