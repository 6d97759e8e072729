-- Questions that take more than a yes are few among those that were ever asked.
CREATE INDEX approvals_answered ON approvals (created_at, id) WHERE choices IS NOT NULL OR free_text = 1;
