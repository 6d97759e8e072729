-- Whom a question is put to and who has answered it, as they are looked for, in the order of the list of questions. Kept by triggers, as tags are.
CREATE TABLE approvers (
  approver TEXT COLLATE "C" NOT NULL,
  asked_at BIGINT NOT NULL,
  asked_id TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (approver, asked_at, asked_id)
);
INSERT INTO approvers SELECT DISTINCT lower(each.value COLLATE "C"), approvals.created_at, approvals.id
  FROM approvals, jsonb_array_elements_text(CAST(approvals.approvers AS jsonb)) AS each (value)
  WHERE approvals.approvers <> '[]';
INSERT INTO approvers SELECT DISTINCT lower((each.value ->> 'by') COLLATE "C"), approvals.created_at, approvals.id
  FROM approvals, jsonb_array_elements(CAST(approvals.answers AS jsonb)) AS each (value)
  WHERE approvals.answers <> '[]' AND each.value ->> 'by' IS NOT NULL ON CONFLICT DO NOTHING;
CREATE FUNCTION put_approval() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'UPDATE' THEN DELETE FROM approvers WHERE asked_id = OLD.id AND asked_at = OLD.created_at AND approver IN (SELECT lower(value COLLATE "C") AS approver FROM jsonb_array_elements_text(CAST(OLD.approvers AS jsonb)) AS each (value) UNION SELECT lower((value ->> 'by') COLLATE "C") FROM jsonb_array_elements(CAST(OLD.answers AS jsonb)) AS each (value)); END IF; INSERT INTO approvers SELECT named.approver, NEW.created_at, NEW.id FROM (SELECT lower(value COLLATE "C") AS approver FROM jsonb_array_elements_text(CAST(NEW.approvers AS jsonb)) AS each (value) UNION SELECT lower((value ->> 'by') COLLATE "C") FROM jsonb_array_elements(CAST(NEW.answers AS jsonb)) AS each (value)) AS named WHERE named.approver IS NOT NULL ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE TRIGGER approvals_put AFTER INSERT ON approvals FOR EACH ROW
  WHEN (NEW.approvers <> '[]' OR NEW.answers <> '[]') EXECUTE FUNCTION put_approval();
CREATE TRIGGER approvals_put_to_others AFTER UPDATE OF approvers, answers ON approvals FOR EACH ROW
  WHEN (NEW.approvers <> OLD.approvers OR NEW.answers <> OLD.answers) EXECUTE FUNCTION put_approval();

-- Since when there is what a text tells of, where its list has the newest first: of what very many hold the newest are
-- found by the numbers of their texts, five hundred at a time, and between which moments these lie is known.
-- The texts of mails, which are found by their recipients, are made in persistence/texts.py.
DROP INDEX text_index;
DROP INDEX texts_new;
ALTER TABLE texts RENAME TO texts_before;
ALTER INDEX texts_pkey RENAME TO texts_before_pkey;
ALTER INDEX texts_about_key RENAME TO texts_before_about_key;
ALTER SEQUENCE texts_number_seq RENAME TO texts_before_number_seq;
CREATE TABLE texts (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind TEXT COLLATE "C" NOT NULL,
  about TEXT COLLATE "C" NOT NULL UNIQUE,
  at BIGINT NOT NULL,
  is_new BIGINT NOT NULL,
  folded TEXT COLLATE "C" NOT NULL
);
INSERT INTO texts (kind, about, at, is_new, folded)
  SELECT t.kind, t.about, COALESCE(k.created_at, a.created_at, 0), t.is_new, t.folded
  FROM texts_before t LEFT JOIN tasks k ON k.id = t.about LEFT JOIN archived_tasks a ON a.id = t.about
  ORDER BY COALESCE(k.created_at, a.created_at, 0), t.number;
DROP TABLE texts_before;
CREATE INDEX texts_new ON texts (number) WHERE is_new = 1;
CREATE TABLE text_spans (
  kind TEXT COLLATE "C" NOT NULL,
  span BIGINT NOT NULL,
  oldest_at BIGINT NOT NULL,
  newest_at BIGINT NOT NULL,
  PRIMARY KEY (kind, span)
);
INSERT INTO text_spans SELECT kind, number / 512, MIN(at), MAX(at) FROM texts GROUP BY kind, number / 512;

CREATE INDEX text_index ON texts USING gin (text_trigrams(folded)) WHERE is_new = 0;
