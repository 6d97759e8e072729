-- People who use this server: a role, and a profile.
CREATE TABLE users (
  id TEXT COLLATE "C" PRIMARY KEY,
  role TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  display_name TEXT COLLATE "C",
  address TEXT COLLATE "C",
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);

-- Keys, known by the SHA-256 of their text, and what narrows each. The text before it was rotated may count for a while.
CREATE TABLE api_keys (
  id TEXT COLLATE "C" PRIMARY KEY,
  holder_kind TEXT COLLATE "C" NOT NULL,
  holder_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C",
  role TEXT COLLATE "C",
  permissions TEXT COLLATE "C",
  toolsets TEXT COLLATE "C",
  agent TEXT COLLATE "C",
  namespace TEXT COLLATE "C",
  sha256 TEXT COLLATE "C" NOT NULL,
  old_sha256 TEXT COLLATE "C",
  old_until BIGINT,
  source TEXT COLLATE "C",
  expires_at BIGINT,
  revoked_at BIGINT,
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_keys_sha256 ON api_keys (sha256);
CREATE UNIQUE INDEX api_keys_old_sha256 ON api_keys (old_sha256) WHERE old_sha256 IS NOT NULL;

-- When each was last used. It is no event.
CREATE TABLE key_uses (
  key_id TEXT COLLATE "C" PRIMARY KEY,
  used_at BIGINT NOT NULL
);
