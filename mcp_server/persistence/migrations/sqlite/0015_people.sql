-- People who use this server: a role, and a profile.
CREATE TABLE users (
  id TEXT PRIMARY KEY,
  role TEXT NOT NULL,
  status TEXT NOT NULL,
  display_name TEXT,
  address TEXT,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;

-- Keys, known by the SHA-256 of their text, and what narrows each. The text before it was rotated may count for a while.
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  holder_kind TEXT NOT NULL,
  holder_id TEXT NOT NULL,
  name TEXT,
  role TEXT,
  permissions TEXT,
  toolsets TEXT,
  agent TEXT,
  namespace TEXT,
  sha256 TEXT NOT NULL,
  old_sha256 TEXT,
  old_until INTEGER,
  source TEXT,
  expires_at INTEGER,
  revoked_at INTEGER,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX api_keys_sha256 ON api_keys (sha256);
CREATE UNIQUE INDEX api_keys_old_sha256 ON api_keys (old_sha256) WHERE old_sha256 IS NOT NULL;

-- When each was last used. It is no event.
CREATE TABLE key_uses (
  key_id TEXT PRIMARY KEY,
  used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
