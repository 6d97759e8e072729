-- Questions that take more than a yes are few among those that were ever asked.
CREATE INDEX approvals_answered ON approvals (created_at, id) WHERE choices IS NOT NULL OR free_text = 1;

-- What of an inbox is unread is found and counted in the index alone: SQLite looks a column up in the table that an index
-- does not hold, also where its condition tells what stands there. With it as a column to be equal, no count of the table
-- makes it take the index of all that ever came.
DROP INDEX deliveries_unread;
CREATE INDEX deliveries_unread ON deliveries (party, read_at, place) WHERE read_at IS NULL;
