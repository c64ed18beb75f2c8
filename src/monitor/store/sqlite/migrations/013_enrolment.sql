-- Version 13. Enrolment keys for many devices, and devices that wait for a person's approval.
ALTER TABLE enroll_token ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE enroll_token ADD COLUMN most_uses INTEGER NOT NULL DEFAULT 1;
ALTER TABLE enroll_token ADD COLUMN needs_approval INTEGER NOT NULL DEFAULT 0;  -- 1: every device waits
UPDATE enroll_token SET uses = 1 WHERE used_at IS NOT NULL;

CREATE TABLE enroll_request (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash  BLOB NOT NULL UNIQUE,               -- SHA-256 of the token that the device made
    hardware_id TEXT NOT NULL,
    hostname    TEXT,
    group_name  TEXT,                               -- of the key
    machine_id  INTEGER REFERENCES machine (id) ON DELETE CASCADE,  -- that it says or seems to be
    reason      TEXT NOT NULL,                      -- approval, known_board, other_board
    requested_at    INTEGER NOT NULL                    -- the last time
) STRICT;
CREATE INDEX enroll_request_machine ON enroll_request (machine_id);
