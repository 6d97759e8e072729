-- Whom a question is put to and who has answered it, as they are looked for, in the order of the list of questions. Kept by triggers, as tags are.
CREATE TABLE approvers (
  approver TEXT NOT NULL,
  asked_at INTEGER NOT NULL,
  asked_id TEXT NOT NULL,
  PRIMARY KEY (approver, asked_at, asked_id)
) STRICT, WITHOUT ROWID;
INSERT INTO approvers SELECT DISTINCT lower(each.value), approvals.created_at, approvals.id
  FROM approvals, json_each(approvals.approvers) AS each WHERE approvals.approvers <> '[]';
INSERT INTO approvers SELECT DISTINCT lower(each.value ->> '$.by'), approvals.created_at, approvals.id
  FROM approvals, json_each(approvals.answers) AS each
  WHERE approvals.answers <> '[]' AND each.value ->> '$.by' IS NOT NULL ON CONFLICT DO NOTHING;
CREATE TRIGGER approvals_put AFTER INSERT ON approvals WHEN NEW.approvers <> '[]' OR NEW.answers <> '[]' BEGIN
  INSERT INTO approvers SELECT named.approver, NEW.created_at, NEW.id FROM (SELECT lower(value) AS approver FROM json_each(NEW.approvers) UNION SELECT lower(value ->> '$.by') FROM json_each(NEW.answers)) AS named WHERE named.approver IS NOT NULL ON CONFLICT DO NOTHING; END;
CREATE TRIGGER approvals_put_to_others AFTER UPDATE OF approvers, answers ON approvals
  WHEN NEW.approvers <> OLD.approvers OR NEW.answers <> OLD.answers BEGIN
  DELETE FROM approvers WHERE asked_id = NEW.id AND asked_at = NEW.created_at AND approver IN (SELECT lower(value) FROM json_each(OLD.approvers) UNION SELECT lower(value ->> '$.by') FROM json_each(OLD.answers)); INSERT INTO approvers SELECT named.approver, NEW.created_at, NEW.id FROM (SELECT lower(value) AS approver FROM json_each(NEW.approvers) UNION SELECT lower(value ->> '$.by') FROM json_each(NEW.answers)) AS named WHERE named.approver IS NOT NULL ON CONFLICT DO NOTHING; END;

-- Since when there is what a text tells of, where its list has the newest first: of what very many hold the newest are
-- found by the numbers of their texts, five hundred at a time, and between which moments these lie is known.
-- The texts of mails, which are found by their recipients, are made in persistence/texts.py.
ALTER TABLE texts ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE texts SET at = COALESCE(
  (SELECT created_at FROM tasks WHERE id = about), (SELECT created_at FROM archived_tasks WHERE id = about), 0)
WHERE kind = 'task';
CREATE TABLE text_spans (
  kind TEXT NOT NULL,
  span INTEGER NOT NULL,
  oldest_at INTEGER NOT NULL,
  newest_at INTEGER NOT NULL,
  PRIMARY KEY (kind, span)
) STRICT, WITHOUT ROWID;
INSERT INTO text_spans SELECT kind, number / 512, MIN(at), MAX(at) FROM texts GROUP BY kind, number / 512;
