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
  LIMIT 10000) AS matched

-- name: state_deleted
SELECT d.* FROM documents d WHERE (d.deleted = 1 OR d.expires_at <= :now) {{filters}} ORDER BY d.id LIMIT :limit

-- name: state_deleted_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM documents d WHERE (d.deleted = 1 OR d.expires_at <= :now) {{filters}} LIMIT 10000) AS matched

-- name: filter.document_range
AND d.id >= :range_low AND d.id < :range_high

-- What a caller reaches whose key has a prefix: that namespace, and those that begin with it and a mark between words.
-- name: filter.namespaces_within
AND (namespace = :within OR (substr(namespace, 1, length(CAST(:within AS TEXT))) = :within
  AND (:is_open = 1 OR substr(namespace, length(CAST(:within AS TEXT)) + 1, 1) IN ('.', '-', '_'))))

-- name: filter.document_prefix
AND d.key LIKE :document_prefix ESCAPE '\'

-- name: filter.document_tag
AND d.tags LIKE :document_tag ESCAPE '\'

-- name: filter.document_text
AND {{text_holds}}

-- name: filter.document_text_indexed
AND d.id IN ({{texts_holding}})

-- name: documents_every
SELECT d.id, v.value FROM documents d
LEFT JOIN document_versions v ON v.document_id = d.id AND v.version = d.version
WHERE d.id > :after ORDER BY d.id LIMIT :limit

-- name: filter.document_after
AND d.id > :document_after

-- name: namespaces
SELECT namespace, count(*) AS documents, SUM(bytes) AS bytes FROM documents
WHERE deleted = 0 AND (expires_at IS NULL OR expires_at > :now) {{filters}} GROUP BY namespace ORDER BY namespace LIMIT 100

-- name: expired_documents
SELECT id FROM documents WHERE expires_at IS NOT NULL AND deleted = 0 AND expires_at <= :now
ORDER BY expires_at LIMIT :limit

-- name: documents_ahead
SELECT id FROM documents WHERE expires_at IS NOT NULL AND deleted = 0 AND expires_at > :now AND updated_at > :ahead

-- name: complete_namespaces
SELECT DISTINCT namespace AS value FROM documents WHERE namespace LIKE :prefix ESCAPE '\' AND deleted = 0
ORDER BY namespace LIMIT 100

-- name: complete_keys
SELECT key AS value FROM documents WHERE key LIKE :prefix ESCAPE '\' AND namespace = :namespace AND deleted = 0
ORDER BY key LIMIT 100

-- name: due.documents
SELECT MIN(expires_at) AS at FROM documents WHERE expires_at IS NOT NULL AND deleted = 0

-- name: versions_whole
SELECT version, sha256, bytes, author, at FROM document_versions WHERE document_id = :id ORDER BY version

-- What rebuilding from a snapshot clears away first.
-- name: versions_clear
DELETE FROM document_versions WHERE document_id = :id
