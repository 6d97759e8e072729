-- Up to where the event log was thinned out: a reader whose cursor lies before it may have missed something.
CREATE TABLE event_horizon (
  name TEXT PRIMARY KEY,
  xid INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
