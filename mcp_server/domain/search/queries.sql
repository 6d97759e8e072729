-- name: text_insert
INSERT INTO texts (kind, about, at, is_new, folded) VALUES (:kind, :about, :at, 1, :folded)

-- What holds a text, wherever a statement has something whose id it calls `id`: read one after the other.
-- name: fragment.text_holds
EXISTS (SELECT 1 FROM texts t WHERE t.about = id AND instr(t.folded, :text_needle) > 0)

-- Of each its text is looked up; whether there is any, PostgreSQL would find out by reading all texts beside the list.
-- name: fragment.text_holds (postgres)
strpos((SELECT t.folded FROM texts t WHERE t.about = id), :text_needle) > 0

-- name: fragment.text_begins
EXISTS (SELECT 1 FROM texts t WHERE t.about = id AND instr(t.folded, :text_needle) = 1)

-- name: fragment.text_begins (postgres)
EXISTS (SELECT 1 FROM texts t WHERE t.about = id AND strpos(t.folded, :text_needle) = 1)

-- The ids of what holds a text: what the index proposes, and what it does not have yet. From its end FTS5 passes over what
-- has common parts alone in a third of the time.
-- name: fragment.texts_holding
SELECT t.about FROM texts t WHERE t.number IN (
  SELECT number FROM (
    SELECT rowid AS number FROM text_index WHERE text_index MATCH :text_trigrams ORDER BY rowid DESC LIMIT -1) AS proposed
  UNION ALL SELECT n.number FROM texts n WHERE n.is_new = 1)
AND t.kind = :text_kind AND instr(t.folded, :text_needle) > 0

-- name: fragment.texts_holding (postgres)
SELECT t.about FROM texts t
WHERE t.is_new = 0 AND text_trigrams(t.folded) @> CAST(:text_trigrams AS text[])
  AND t.kind = :text_kind AND strpos(t.folded, :text_needle) > 0
UNION ALL SELECT t.about FROM texts t
WHERE t.is_new = 1 AND t.kind = :text_kind AND strpos(t.folded, :text_needle) > 0

-- Of what very many hold the newest, of those that hold it still.
-- name: fragment.among_texts
id IN (SELECT value FROM json_each(:text_ids)) AND created_at > :text_newer_than AND {{text_holds}}

-- name: fragment.among_texts (postgres)
id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:text_ids AS jsonb)))) AND created_at > :text_newer_than
AND {{text_holds}}

-- How many texts the index proposes, counted up to a number.
-- name: texts_proposed (long)
SELECT count(*) AS n FROM (
  SELECT 1 FROM text_index WHERE text_index MATCH :text_trigrams ORDER BY rowid DESC LIMIT :at_most) AS proposed

-- PostgreSQL's stops nowhere: it is not asked where each part of the text stands in four times as many, as far as they
-- were counted when the server last did; then it is one more.
-- name: texts_proposed (postgres)
SELECT CASE WHEN (
  SELECT MIN(COALESCE(known.share, 0)) FROM unnest(CAST(:text_trigrams AS text[])) AS asked (part)
  LEFT JOIN (
    SELECT each.part, each.share FROM pg_stats, unnest(
      CAST(CAST(most_common_elems AS text) AS text[]), most_common_elem_freqs) AS each (part, share)
    WHERE schemaname = current_schema() AND tablename = 'text_index') AS known ON known.part = asked.part
  ) * (SELECT reltuples FROM pg_class WHERE oid = CAST('text_index' AS regclass)) > 4 * :at_most
THEN :at_most + 1 ELSE (
  SELECT count(*) FROM (
    SELECT 1 FROM texts t WHERE t.is_new = 0 AND text_trigrams(t.folded) @> CAST(:text_trigrams AS text[])
    LIMIT :at_most) AS proposed) END AS n

-- The newest of what very many hold, and since when each is there, `:text_kept` at most: read from the newest text of
-- which the list may still have something, and what the index does not have yet beside. A row about nothing says where
-- this ends: what is not told is as old as that, or older.
-- name: texts_walked (long)
WITH reached (number) AS MATERIALIZED (
  SELECT rowid FROM text_index WHERE text_index MATCH :text_trigrams AND rowid < (
    SELECT (MAX(span) + 1) * :text_span FROM text_spans WHERE kind = :text_kind AND oldest_at <= :text_before)
  ORDER BY rowid DESC LIMIT :at_most),
ended (at) AS (
  SELECT MAX(newest_at) FROM text_spans WHERE kind = :text_kind
    AND span <= (SELECT MIN(number) / :text_span FROM reached) AND (SELECT count(*) FROM reached) = :at_most)
SELECT about, at FROM (
  SELECT t.about, t.at FROM reached CROSS JOIN texts t ON t.number = reached.number
  WHERE t.kind = :text_kind AND instr(t.folded, :text_needle) > 0
  UNION ALL SELECT n.about, n.at FROM texts n WHERE n.is_new = 1 AND n.kind = :text_kind
    AND instr(n.folded, :text_needle) > 0
  UNION ALL SELECT '', at FROM ended WHERE at IS NOT NULL) AS found
ORDER BY about = '' DESC, at DESC LIMIT :text_kept

-- PostgreSQL's index has no order, so the texts are read instead of it, span by span, and nothing is asked of the
-- trigrams but that there are some.
-- name: texts_walked (postgres)
SELECT about, at FROM ({{texts_by_spans}}) AS walked WHERE CAST(:text_trigrams AS text[]) IS NOT NULL
ORDER BY about = '' DESC, at DESC

-- The same of what is too short for an index, which the texts themselves are read for, from the newest on.
-- name: texts_passed (long)
{{texts_by_spans}}

-- name: fragment.texts_by_spans
WITH reached AS MATERIALIZED (
  SELECT t.about, t.at, s.span FROM (
    SELECT span FROM text_spans WHERE kind = :text_kind AND span <= (
      SELECT MAX(span) FROM text_spans WHERE kind = :text_kind AND oldest_at <= :text_before)) AS s
  CROSS JOIN texts t ON t.number >= s.span * :text_span AND t.number < (s.span + 1) * :text_span
    AND t.is_new = 0 AND t.kind = :text_kind AND instr(t.folded, :text_needle) > 0
  ORDER BY s.span DESC LIMIT :at_most)
SELECT about, at FROM (
  SELECT reached.about, reached.at FROM reached
  UNION ALL SELECT n.about, n.at FROM texts n WHERE n.is_new = 1 AND n.kind = :text_kind
    AND instr(n.folded, :text_needle) > 0
  UNION ALL SELECT '', newest.at FROM (
    SELECT MAX(newest_at) AS at FROM text_spans WHERE kind = :text_kind
      AND span <= (SELECT MIN(span) FROM reached) AND (SELECT count(*) FROM reached) = :at_most) AS newest
  WHERE newest.at IS NOT NULL) AS found
ORDER BY about = '' DESC, at DESC LIMIT :text_kept

-- name: fragment.texts_by_spans (postgres)
WITH reached AS MATERIALIZED (
  SELECT held.about, held.at, s.span FROM (
    SELECT span FROM text_spans WHERE kind = :text_kind AND span <= (
      SELECT MAX(span) FROM text_spans WHERE kind = :text_kind AND oldest_at <= :text_before)) AS s
  CROSS JOIN LATERAL (
    SELECT t.about, t.at FROM texts t
    WHERE t.number >= s.span * :text_span AND t.number < (s.span + 1) * :text_span
      AND t.is_new = 0 AND t.kind = :text_kind AND strpos(t.folded, :text_needle) > 0) AS held
  ORDER BY s.span DESC LIMIT :at_most)
SELECT about, at FROM (
  SELECT reached.about, reached.at FROM reached
  UNION ALL SELECT n.about, n.at FROM texts n WHERE n.is_new = 1 AND n.kind = :text_kind
    AND strpos(n.folded, :text_needle) > 0
  UNION ALL SELECT '', MAX(newest_at) FROM text_spans WHERE kind = :text_kind
    AND span <= (SELECT MIN(span) FROM reached) AND (SELECT count(*) FROM reached) = :at_most
  HAVING MAX(newest_at) IS NOT NULL) AS found
ORDER BY about = '' DESC, at DESC LIMIT :text_kept

-- name: texts_new
SELECT number, length(folded) AS characters FROM texts WHERE is_new = 1 ORDER BY number LIMIT :limit

-- name: texts_index
INSERT OR REPLACE INTO text_index (rowid, folded)
SELECT number, folded FROM texts WHERE is_new = 1 AND number <= :upto

-- An index of PostgreSQL's takes in what is no longer new by itself.
-- name: texts_index (postgres)
SELECT 1 AS indexed WHERE :upto = :upto

-- Between which moments lies what the texts of a span tell of. It grows alone: what is gone does no harm.
-- name: texts_spanned
INSERT INTO text_spans (kind, span, oldest_at, newest_at)
SELECT kind, number / :text_span, MIN(at), MAX(at) FROM texts WHERE is_new = 1 AND number <= :upto GROUP BY 1, 2
ON CONFLICT (kind, span) DO UPDATE SET
  oldest_at = MIN(text_spans.oldest_at, excluded.oldest_at), newest_at = MAX(text_spans.newest_at, excluded.newest_at)

-- name: texts_spanned (postgres)
INSERT INTO text_spans (kind, span, oldest_at, newest_at)
SELECT kind, number / :text_span, MIN(at), MAX(at) FROM texts WHERE is_new = 1 AND number <= :upto GROUP BY 1, 2
ON CONFLICT (kind, span) DO UPDATE SET oldest_at = LEAST(text_spans.oldest_at, excluded.oldest_at),
  newest_at = GREATEST(text_spans.newest_at, excluded.newest_at)

-- name: texts_indexed
UPDATE texts SET is_new = 0 WHERE is_new = 1 AND number <= :upto
