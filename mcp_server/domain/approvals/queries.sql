-- name: approval_for_update
SELECT * FROM approvals WHERE id = :id {{for_update}}

-- name: approval_by_id (short)
SELECT * FROM approvals WHERE id = :id

-- name: approvals_due
SELECT * FROM approvals WHERE due_at <= :now ORDER BY due_at LIMIT :limit {{skip_locked}}

-- name: approvals_ahead
SELECT id FROM approvals WHERE due_at > :now AND opened_at > :ahead

-- name: approvals_find
SELECT * FROM approvals WHERE TRUE {{filters}} ORDER BY created_at DESC, id DESC LIMIT :limit

-- name: approvals_find_count
SELECT count(*) AS n FROM (SELECT 1 FROM approvals WHERE TRUE {{filters}} LIMIT :counted) AS matched

-- name: filter.approval_status
AND status = :approval_status

-- Answered by more than a yes: the row keeps `approved`. Questions that take more are few, and have their own index.
-- name: filter.approval_answered
AND status || '' = 'approved' AND (choices IS NOT NULL OR free_text = 1)

-- name: filter.approval_put_to_beside
AND id = (SELECT asked_id FROM approvers WHERE approver = :approver AND asked_at = created_at AND asked_id = id)

-- name: approvals_put_to
SELECT approvals.* FROM approvers CROSS JOIN approvals ON approvals.id = asked_id
WHERE approver = :approver {{filters}} ORDER BY asked_at DESC, asked_id DESC LIMIT :limit

-- name: approvals_put_to (postgres)
SELECT approvals.* FROM approvers JOIN approvals ON approvals.id = asked_id
WHERE approver = :approver {{filters}} ORDER BY asked_at DESC, asked_id DESC LIMIT :limit

-- name: approvals_put_to_count
SELECT count(*) AS n FROM (
  SELECT 1 FROM approvers CROSS JOIN approvals ON approvals.id = asked_id
  WHERE approver = :approver {{filters}} ORDER BY asked_at DESC, asked_id DESC LIMIT :counted) AS matched

-- name: approvals_put_to_count (postgres)
SELECT count(*) AS n FROM (
  SELECT 1 FROM approvers JOIN approvals ON approvals.id = asked_id
  WHERE approver = :approver {{filters}} ORDER BY asked_at DESC, asked_id DESC LIMIT :counted) AS matched

-- name: filter.approval_task
AND task_id = :approval_task

-- name: filter.approval_after
AND (created_at, id) < (:after_at, :after_id)

-- name: filter.approval_put_to_after
AND (asked_at, asked_id) < (:after_at, :after_id)

-- name: signing_key
SELECT secret FROM signing_keys WHERE name = :name

-- name: signing_key_insert
INSERT INTO signing_keys (name, secret) VALUES (:name, :secret) ON CONFLICT (name) DO NOTHING

-- name: complete_approval_ids
SELECT id AS value FROM approvals WHERE id >= :low AND id < :high {{filters}} ORDER BY id LIMIT 100

-- name: approval_seen_by_id
SELECT * FROM approvals WHERE id = :id {{filters}}

-- Several of them, for who may see them.
-- name: approvals_seen_among
SELECT * FROM approvals WHERE id IN (SELECT value FROM json_each(:ids)) {{filters}}

-- name: approvals_seen_among (postgres)
SELECT * FROM approvals WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) {{filters}}

-- A question about a mail holds the mail, and one with calls may hold mails and messages: it is for who asked, through
-- whomever, and for whom it is put to.
-- name: fragment.approval_is_the_readers
((private = 0 AND NOT EXISTS (SELECT 1 FROM {{mails_to_send}} AS mail WHERE mail.task_id = approvals.task_id))
  OR requested_by IN (:reader_label, :reader_principal)
  OR substr(requested_by, length(requested_by) - length(CAST(:reader_via AS TEXT)) + 1) = :reader_via
  OR lower(approvers) LIKE :reader_asked ESCAPE '\')

-- name: filter.approval_own
AND {{approval_is_the_readers}}

-- name: filter.seen_approval
AND (aggregate_type <> 'approval'
  OR NOT EXISTS (SELECT 1 FROM approvals WHERE approvals.id = aggregate_id AND NOT {{approval_is_the_readers}}))

-- name: due.approvals
SELECT MIN(due_at) AS at FROM approvals WHERE due_at IS NOT NULL

-- name: approval_by_key
SELECT * FROM approvals WHERE idempotency_key = :key AND key_owner = :owner

-- name: approvals_open_of
SELECT id FROM approvals WHERE requester = :requester AND status = 'pending' ORDER BY created_at, id

-- name: approvals_open_whole
SELECT * FROM approvals WHERE requester = :requester AND status = 'pending' ORDER BY created_at, id {{for_update}}

-- name: approvals_open_known
SELECT id FROM approvals WHERE requester = :requester AND status = 'pending' ORDER BY created_at, id LIMIT :counted

-- name: approval_asked_alike
SELECT * FROM approvals
WHERE requester = :requester AND status = 'pending' AND action_hash = :action_hash
ORDER BY created_at, id LIMIT 1 {{for_update}}

-- Questions that are open, by the tasks that wait for them.
-- name: fragment.open_questions
(SELECT id, task_id, approvers, expires_at FROM approvals WHERE status = 'pending')

-- name: spent_seals_forget
DELETE FROM spent_seals WHERE expires_at <= :now

-- name: spent_seal_insert
INSERT INTO spent_seals (id, expires_at) VALUES (:id, :expires_at) ON CONFLICT (id) DO NOTHING

-- What a client's hook tells of questions to people: those that a party asked and are open, or were decided lately.
-- name: approvals_glance
SELECT id, title, status, answers FROM approvals
WHERE requester = :party AND created_at > :oldest AND (status = 'pending' OR decided_at > :since)
ORDER BY created_at DESC, id DESC LIMIT :limit

-- And of whom the open ones are put to.
-- name: approvals_glance_people
SELECT approvers FROM approvals WHERE status = 'pending' LIMIT :limit

-- And what a pipe is told of all open ones.
-- name: approvals_glance_open
SELECT id, title, created_at FROM approvals WHERE status = 'pending' ORDER BY created_at DESC, id DESC LIMIT :limit
