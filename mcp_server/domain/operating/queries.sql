-- All of it stands in the log.
-- Servers that start side by side tell of the same rules once.
-- name: rules_guard
SELECT 1 AS guarded

-- name: rules_guard (postgres)
SELECT 1 AS guarded FROM pg_advisory_xact_lock(hashtextextended('rules in force', hashtext(current_schema())))
