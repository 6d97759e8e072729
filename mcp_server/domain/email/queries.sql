-- name: email_for_update
SELECT * FROM emails WHERE id = :id {{for_update}}

-- name: email_by_id
SELECT * FROM emails WHERE id = :id {{filters}}

-- name: email_of_task
SELECT id FROM emails WHERE task_id = :task_id

-- name: email_by_task
SELECT * FROM emails WHERE task_id = :task_id {{for_update}}

-- name: email_by_idempotency_key
SELECT * FROM emails WHERE idempotency_key = :key AND key_owner = :owner

-- name: emails_since
SELECT recipients, cc, bcc, created_at FROM emails WHERE created_at > :since AND created_at <= :until
ORDER BY created_at

-- What was sent in the same words since a moment, the latest first.
-- name: emails_alike
SELECT id, recipients, cc, bcc, created_by, created_at FROM emails
WHERE created_at > :since AND created_at <= :until AND subject = :subject
  AND coalesce(text, '') = :text AND coalesce(html, '') = :html
  AND status NOT IN ('failed', 'cancelled', 'rejected') ORDER BY created_at DESC LIMIT 100

-- name: emails_find
SELECT * FROM emails WHERE TRUE {{filters}} ORDER BY created_at DESC, id DESC LIMIT :limit

-- name: emails_find_count
SELECT count(*) AS n FROM (SELECT 1 FROM emails WHERE TRUE {{filters}} LIMIT :counted) AS matched

-- name: filter.email_status
AND status = :email_status

-- name: filter.email_since
AND created_at >= :email_since

-- name: filter.email_until
AND created_at <= :email_until

-- name: filter.email_text (long)
AND {{text_holds}}

-- name: filter.email_text_indexed (long)
AND id IN ({{texts_holding}})

-- name: filter.email_text_indexed (postgres)
AND id = ANY (ARRAY({{texts_holding}}))

-- name: filter.email_text_among (long)
AND {{among_texts}}

-- name: emails_every
SELECT id, recipients, cc, bcc, created_at AS at FROM emails WHERE id > :after ORDER BY id LIMIT :limit

-- name: emails_every_in_time
SELECT id, recipients, cc, bcc, created_at AS at FROM emails
WHERE (created_at, id) > (:after_at, :after) ORDER BY created_at, id LIMIT :limit

-- name: filter.email_template
AND template >= :template_low AND template < :template_high

-- name: filter.email_after
AND (created_at, id) < (:after_at, :after_id)

-- name: complete_email_ids
SELECT id AS value FROM emails WHERE id >= :low AND id < :high {{filters}} ORDER BY id LIMIT 100

-- Whose mail it is: the principal's that had it sent, whoever spoke for it.
-- name: fragment.mail_is_the_readers
(created_by IN (:reader_label, :reader_principal) OR
  substr(created_by, length(created_by) - length(CAST(:reader_via AS TEXT)) + 1) = :reader_via)

-- Mails whose being sent is what people are asked about, by the task that waits for them.
-- name: fragment.mails_to_send
(SELECT task_id FROM emails)

-- name: filter.email_own
AND {{mail_is_the_readers}}

-- name: filter.seen_email
AND (aggregate_type <> 'email'
  OR EXISTS (SELECT 1 FROM emails WHERE emails.id = aggregate_id AND {{mail_is_the_readers}}))
