-- Version 11. Of the secret in the address of a status page only the SHA-256 is stored; version 10 would have stored the
-- secret. A page of version 10, which no program made, is off.
CREATE TABLE status_page_11 (
    group_name  TEXT PRIMARY KEY,
    slug        TEXT UNIQUE,                        -- in the address of a public page
    secret_hash BLOB UNIQUE                         -- of a secret link; NULL, as the slug: the page is off
) STRICT, WITHOUT ROWID;
INSERT INTO status_page_11 (group_name) SELECT group_name FROM status_page;
DROP TABLE status_page;
ALTER TABLE status_page_11 RENAME TO status_page;
