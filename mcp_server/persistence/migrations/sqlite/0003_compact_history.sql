-- An old version of a large document is kept as its difference from the version after it (domain/text_delta.py).
ALTER TABLE document_versions ADD COLUMN delta TEXT;
