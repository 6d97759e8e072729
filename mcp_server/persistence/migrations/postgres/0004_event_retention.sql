-- Up to where the event log was thinned out: a reader whose cursor lies before it may have missed something.
CREATE TABLE event_horizon (
  name TEXT COLLATE "C" PRIMARY KEY,
  xid BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL
);
