-- name: text_insert
INSERT INTO texts (kind, about, is_new, folded) VALUES (:kind, :about, 1, :folded)

-- What holds a text, wherever a statement has something whose id it calls `id`: read one after the other.
-- name: fragment.text_holds
EXISTS (SELECT 1 FROM texts t WHERE t.about = id AND instr(t.folded, :text_needle) > 0)

-- name: fragment.text_holds (postgres)
EXISTS (SELECT 1 FROM texts t WHERE t.about = id AND strpos(t.folded, :text_needle) > 0)

-- name: fragment.text_begins
EXISTS (SELECT 1 FROM texts t WHERE t.about = id AND instr(t.folded, :text_needle) = 1)

-- name: fragment.text_begins (postgres)
EXISTS (SELECT 1 FROM texts t WHERE t.about = id AND strpos(t.folded, :text_needle) = 1)

-- The ids of what holds a text: what the index proposes, and what it does not have yet.
-- name: fragment.texts_holding
SELECT t.about FROM texts t WHERE t.number IN (
  SELECT rowid FROM text_index WHERE text_index MATCH :text_trigrams
  UNION ALL SELECT n.number FROM texts n WHERE n.is_new = 1)
AND t.kind = :text_kind AND instr(t.folded, :text_needle) > 0

-- name: fragment.texts_holding (postgres)
SELECT t.about FROM texts t
WHERE t.is_new = 0 AND text_trigrams(t.folded) @> CAST(:text_trigrams AS text[])
  AND t.kind = :text_kind AND strpos(t.folded, :text_needle) > 0
UNION ALL SELECT t.about FROM texts t
WHERE t.is_new = 1 AND t.kind = :text_kind AND strpos(t.folded, :text_needle) > 0

-- How many texts the index proposes, counted up to a number.
-- name: texts_proposed (long)
SELECT count(*) AS n FROM (SELECT 1 FROM text_index WHERE text_index MATCH :text_trigrams LIMIT :at_most) AS proposed

-- name: texts_proposed (postgres)
SELECT count(*) AS n FROM (
  SELECT 1 FROM texts t WHERE t.is_new = 0 AND text_trigrams(t.folded) @> CAST(:text_trigrams AS text[])
  LIMIT :at_most) AS proposed

-- name: texts_new
SELECT number, length(folded) AS characters FROM texts WHERE is_new = 1 ORDER BY number LIMIT :limit

-- name: texts_index
INSERT OR REPLACE INTO text_index (rowid, folded)
SELECT number, folded FROM texts WHERE is_new = 1 AND number <= :upto

-- An index of PostgreSQL's takes in what is no longer new by itself.
-- name: texts_index (postgres)
SELECT 1 AS indexed WHERE :upto = :upto

-- name: texts_indexed
UPDATE texts SET is_new = 0 WHERE is_new = 1 AND number <= :upto
