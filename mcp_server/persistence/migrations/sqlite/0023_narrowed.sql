-- Questions that take more than a yes are few among those that were ever asked.
CREATE INDEX approvals_answered ON approvals (created_at, id) WHERE choices IS NOT NULL OR free_text = 1;

-- How much of an inbox is unread is counted in the index alone: SQLite looks a column up in the table that an index does not
-- hold, also where its condition tells what stands there.
DROP INDEX deliveries_unread;
CREATE INDEX deliveries_unread ON deliveries (party, place, read_at) WHERE read_at IS NULL;
