-- What was done in calls under an idempotency key, and what came of it, as JSON. It goes with what was said.
CREATE TABLE call_acts (
  call_id TEXT COLLATE "C" NOT NULL,
  key_owner TEXT COLLATE "C" NOT NULL,
  idempotency_key TEXT COLLATE "C" NOT NULL,
  content_hash TEXT COLLATE "C" NOT NULL,
  told TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (call_id, key_owner, idempotency_key)
);

-- Where a piece of a recording begins and how long it is, before the piece itself: what is asked of many pieces reads
-- none of them.
ALTER TABLE call_audio RENAME TO call_audio_before;
ALTER INDEX call_audio_pkey RENAME TO call_audio_before_pkey;
CREATE TABLE call_audio (
  call_id TEXT COLLATE "C" NOT NULL,
  n BIGINT NOT NULL,
  at_bytes BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  level_dbfs DOUBLE PRECISION NOT NULL,
  pcm BYTEA NOT NULL,
  PRIMARY KEY (call_id, n)
);
INSERT INTO call_audio (call_id, n, at_bytes, bytes, level_dbfs, pcm)
SELECT call_id, n, SUM(length(pcm)) OVER (PARTITION BY call_id ORDER BY n) - length(pcm), length(pcm), level_dbfs, pcm
FROM call_audio_before;
DROP TABLE call_audio_before;
CREATE UNIQUE INDEX call_audio_at ON call_audio (call_id, at_bytes);
