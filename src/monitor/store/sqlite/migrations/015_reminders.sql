-- Version 15. Reminders. A recipient chooses their interval, and the number of a reminder belongs to the key of a
-- notification: the same incident is announced more than once over a channel.
ALTER TABLE recipient ADD COLUMN remind_every INTEGER;  -- NULL: no reminders

CREATE TABLE outbox_15 (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- X-Webhook-Id
    channel_id   INTEGER NOT NULL REFERENCES channel (id) ON DELETE CASCADE,
    machine_id   INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    incident_id  INTEGER NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    event        TEXT NOT NULL,                     -- offline, online, condition, reminder ...
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
    UNIQUE (incident_id, event, channel_id, reminder)
) STRICT;
INSERT INTO outbox_15 (id, channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state,
                       attempts, leased_until, lease, delivered_at, last_error, uncertain_since)
SELECT id, channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state,
       attempts, leased_until, lease, delivered_at, last_error, uncertain_since FROM outbox ORDER BY id;
-- Ids are never used twice, also not those of rows that were removed.
DELETE FROM sqlite_sequence WHERE name = 'outbox_15';
UPDATE sqlite_sequence SET name = 'outbox_15' WHERE name = 'outbox';
DROP TABLE outbox;
ALTER TABLE outbox_15 RENAME TO outbox;
-- Only what is still to be sent.
CREATE INDEX outbox_due ON outbox (channel_id, due_at) WHERE state IN (0, 1);
CREATE INDEX outbox_unsent ON outbox (machine_id, channel_id, id) WHERE state IN (0, 1);
CREATE INDEX outbox_machine ON outbox (machine_id, channel_id, id);
