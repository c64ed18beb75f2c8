-- Version 21. Reports. A report is about no machine and no incident, so the outbox can have rows without them.
CREATE TABLE recipient_report (
    recipient_id INTEGER PRIMARY KEY REFERENCES recipient (id) ON DELETE CASCADE,
    every        TEXT NOT NULL,                     -- weekly, monthly
    sent_for     INTEGER NOT NULL                   -- due time of the last one
) STRICT;

CREATE TABLE outbox_21 (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- X-Webhook-Id
    channel_id   INTEGER NOT NULL REFERENCES channel (id) ON DELETE CASCADE,
    machine_id   INTEGER REFERENCES machine (id) ON DELETE CASCADE,    -- NULL: a report
    incident_id  INTEGER REFERENCES incident (id) ON DELETE CASCADE,   -- NULL: a report
    event        TEXT NOT NULL,                     -- offline, online, condition, reminder, report ...
    content      TEXT NOT NULL,                     -- JSON: the facts when it happened
    created_at   INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    leased_until INTEGER,
    lease        INTEGER,                           -- a random number: the process that holds it
    delivered_at INTEGER,
    last_error   TEXT,
    uncertain_since INTEGER,
    reminder     INTEGER NOT NULL DEFAULT 0,        -- from 1; 0: it is no reminder
    message      INTEGER,                           -- id of the first row of its message; NULL: it was sent alone
    UNIQUE (incident_id, event, channel_id, reminder)
) STRICT;
INSERT INTO outbox_21 (id, channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state,
                       attempts, leased_until, lease, delivered_at, last_error, uncertain_since, reminder, message)
SELECT id, channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state,
       attempts, leased_until, lease, delivered_at, last_error, uncertain_since, reminder, message FROM outbox ORDER BY id;
-- Ids are never used twice, also not those of rows that were removed.
DELETE FROM sqlite_sequence WHERE name = 'outbox_21';
UPDATE sqlite_sequence SET name = 'outbox_21' WHERE name = 'outbox';
DROP TABLE outbox;
ALTER TABLE outbox_21 RENAME TO outbox;
-- Only what is still to be sent.
CREATE INDEX outbox_due ON outbox (channel_id, due_at) WHERE state IN (0, 1);
CREATE INDEX outbox_unsent ON outbox (machine_id, channel_id, id) WHERE state IN (0, 1);
CREATE INDEX outbox_machine ON outbox (machine_id, channel_id, id);
CREATE INDEX outbox_message ON outbox (message) WHERE message IS NOT NULL;
