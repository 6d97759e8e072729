-- Holds and places in line belong to a party: an agent by its id, or a principal. Those of before belong to who acquired
-- them, as far as the log still says it, else to the owner that was given. `pattern` is 1 where the name is a glob.
CREATE TABLE new_lock_holds (
  name TEXT COLLATE "C" NOT NULL,
  party TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  speaker TEXT COLLATE "C" NOT NULL,
  mode TEXT COLLATE "C" NOT NULL,
  fencing_token BIGINT NOT NULL,
  pattern BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  acquired_at BIGINT NOT NULL,
  PRIMARY KEY (name, party, owner)
);

INSERT INTO new_lock_holds (name, party, owner, speaker, mode, fencing_token, pattern, expires_at, acquired_at)
SELECT h.name, CASE WHEN substr(h.actor, 1, 6) = 'agent:' THEN substr(h.actor, 7) ELSE h.actor END, h.owner, h.actor, h.mode,
  h.fencing_token,
  CASE WHEN h.name LIKE '%*%' OR h.name LIKE '%?%' OR h.name LIKE '%[%' THEN 1 ELSE 0 END, h.expires_at, h.acquired_at
FROM (
  SELECT lock_holds.*, COALESCE((
    SELECT e.actor FROM events e
    WHERE e.aggregate_id = lock_holds.name AND e.type = 'lock.acquired' AND e.version = lock_holds.fencing_token
  ), lock_holds.owner) AS actor FROM lock_holds
) AS h;

DROP TABLE lock_holds;
ALTER TABLE new_lock_holds RENAME TO lock_holds;
CREATE INDEX lock_holds_expiring ON lock_holds (expires_at);
CREATE INDEX lock_holds_patterns ON lock_holds (name) WHERE pattern = 1;
CREATE INDEX lock_holds_parties ON lock_holds (party);
CREATE INDEX lock_holds_owners ON lock_holds (owner);

-- Who waits, in order. A waiter that is not seen again before `expires_at` no longer counts.
DROP TABLE lock_waiters;
CREATE TABLE lock_waiters (
  name TEXT COLLATE "C" NOT NULL,
  party TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  speaker TEXT COLLATE "C" NOT NULL,
  mode TEXT COLLATE "C" NOT NULL,
  pattern BIGINT NOT NULL,
  since BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (name, party, owner)
);
CREATE INDEX lock_waiters_expiring ON lock_waiters (expires_at);
