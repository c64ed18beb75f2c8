-- Version 8. An outage is an incident of the kind "offline". An incident belongs to a machine, a kind, and a subject
-- within the machine (empty: the machine itself), and at most one of each is open. Ids stay as they are: webhooks and
-- the outbox refer to them.
DROP VIEW machine_offline_notifications;
DROP INDEX outage_open;
DROP INDEX outage_machine;
DROP INDEX outage_hushed;

-- A rename changes the references from other tables and the name in sqlite_sequence, too.
ALTER TABLE outage RENAME TO incident;
ALTER TABLE incident RENAME COLUMN started_at TO began_at;
ALTER TABLE incident ADD COLUMN kind TEXT NOT NULL DEFAULT 'offline';
ALTER TABLE incident ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE incident ADD COLUMN notified_at INTEGER;      -- NULL: it began during a maintenance and is not announced
ALTER TABLE incident ADD COLUMN acknowledged_at INTEGER;  -- NULL: not acknowledged
UPDATE incident SET notified_at = began_at WHERE hushed = 0;
ALTER TABLE incident DROP COLUMN hushed;
ALTER TABLE outbox RENAME COLUMN outage_id TO incident_id;

CREATE UNIQUE INDEX incident_open ON incident (machine_id, kind, subject) WHERE ended_at IS NULL;
CREATE INDEX incident_machine ON incident (machine_id, began_at);
CREATE INDEX incident_unannounced ON incident (machine_id) WHERE notified_at IS NULL AND ended_at IS NULL;

-- A row for each machine whose outage was announced and is not over.
CREATE VIEW machine_offline_notifications AS
SELECT machine_id, datetime(notified_at / 1000, 'unixepoch') AS notified_at
FROM incident WHERE kind = 'offline' AND ended_at IS NULL AND planned = 0 AND notified_at IS NOT NULL;
