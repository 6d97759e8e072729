-- By what text tasks and documents are found, folded (kernel/searching.py). Derived: this migration's filling
-- (persistence/texts.py) and every write make it anew. `is_new` until the index below has it.
CREATE TABLE texts (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind TEXT COLLATE "C" NOT NULL,
  about TEXT COLLATE "C" NOT NULL UNIQUE,
  is_new BIGINT NOT NULL,
  folded TEXT COLLATE "C" NOT NULL
);

CREATE INDEX texts_new ON texts (number) WHERE is_new = 1;

-- Our own trigrams: pg_trgm has none for what the database's locale calls no letters, and needs to be installed.
CREATE FUNCTION text_trigrams(folded TEXT) RETURNS TEXT[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
'SELECT array_agg(DISTINCT a || b || c)
FROM (SELECT string_to_array(folded, NULL) AS s) AS characters, unnest(s, s[2:], s[3:]) AS t (a, b, c)
WHERE c IS NOT NULL';

-- Which texts hold which three characters; whether they stand there in order, the text itself tells.
CREATE INDEX text_index ON texts USING gin (text_trigrams(folded)) WHERE is_new = 0;
