-- By what text tasks and documents are found, folded (kernel/searching.py). Derived: this migration's filling
-- (persistence/texts.py) and every write make it anew. `is_new` until the index below has it.
CREATE TABLE texts (
  number INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  about TEXT NOT NULL UNIQUE,
  is_new INTEGER NOT NULL,
  folded TEXT NOT NULL
) STRICT;

CREATE INDEX texts_new ON texts (number) WHERE is_new = 1;

-- Which texts hold which three characters; whether they stand there in order, the text itself tells.
CREATE VIRTUAL TABLE text_index USING fts5(
  folded, content = '', contentless_delete = 1, detail = 'none', tokenize = 'trigram case_sensitive 1');
