-- Messages are found by their text. Where that is too short for the index, they are read in this order instead. The texts
-- of those that are there are made in persistence/texts.py.
CREATE INDEX messages_in_time ON messages (created_at, id);
