-- What was done in calls under an idempotency key, and what came of it, as JSON. It goes with what was said.
CREATE TABLE call_acts (
  call_id TEXT NOT NULL,
  key_owner TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  content_hash TEXT NOT NULL,
  told TEXT NOT NULL,
  PRIMARY KEY (call_id, key_owner, idempotency_key)
) STRICT, WITHOUT ROWID;

-- Where a piece of a recording begins and how long it is, before the piece itself: what is asked of many pieces reads
-- none of them.
ALTER TABLE call_audio RENAME TO call_audio_before;
CREATE TABLE call_audio (
  call_id TEXT NOT NULL,
  n INTEGER NOT NULL,
  at_bytes INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  level_dbfs REAL NOT NULL,
  pcm BLOB NOT NULL,
  PRIMARY KEY (call_id, n)
) STRICT;
INSERT INTO call_audio (call_id, n, at_bytes, bytes, level_dbfs, pcm)
SELECT call_id, n, SUM(length(pcm)) OVER (PARTITION BY call_id ORDER BY n) - length(pcm), length(pcm), level_dbfs, pcm
FROM call_audio_before;
DROP TABLE call_audio_before;
CREATE UNIQUE INDEX call_audio_at ON call_audio (call_id, at_bytes);
