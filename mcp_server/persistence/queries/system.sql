-- name: table_counts
SELECT (SELECT count(*) FROM agents) AS agents, (SELECT count(*) FROM documents WHERE deleted = 0) AS documents
