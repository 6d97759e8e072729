"""People and keys: who may use this server, as what, and how that is proved."""
