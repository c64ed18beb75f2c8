-- Version 9. Conditions of machines are incidents, too (incident.kind is the condition's name in the catalogue).
DROP VIEW machine_offline_notifications;

ALTER TABLE incident ADD COLUMN existing INTEGER NOT NULL DEFAULT 0;  -- 1: it held when it was first judged
ALTER TABLE incident ADD COLUMN summarised_at INTEGER;                -- when the summary of existing ones included it
ALTER TABLE incident ADD COLUMN label TEXT;                           -- the subject as people call it
ALTER TABLE incident ADD COLUMN value REAL;                           -- at its begin; NULL: the condition has no number
ALTER TABLE incident ADD COLUMN threshold REAL;
CREATE INDEX incident_open_kind ON incident (kind) WHERE ended_at IS NULL;
CREATE INDEX incident_summary ON incident (machine_id)
    WHERE existing = 1 AND summarised_at IS NULL AND ended_at IS NULL;

-- Flapping belongs to a machine's kind and subject, like an incident.
CREATE TABLE flapping_9 (
    machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    since      INTEGER NOT NULL,
    steady_at  INTEGER,                             -- NULL: it is flapping
    PRIMARY KEY (machine_id, kind, subject)
) STRICT, WITHOUT ROWID;
INSERT INTO flapping_9 SELECT machine_id, 'offline', '', since, steady_at FROM flapping;
DROP TABLE flapping;
ALTER TABLE flapping_9 RENAME TO flapping;
CREATE INDEX flapping_now ON flapping (machine_id) WHERE steady_at IS NULL;

-- Machines that were never seen before this version are recorded as such, but not announced.
CREATE INDEX machine_state_new ON machine_state (machine_id) WHERE status = 0;
INSERT INTO incident (machine_id, kind, subject, planned, last_seen, began_at, existing)
SELECT machine_id, 'never_seen', '', 0, since, 1000 * unixepoch(), 1 FROM machine_state
WHERE status = 0 AND watched = 1 AND last_seen IS NULL AND since <= 1000 * (unixepoch() - 900);

-- The conditions that were judged on a machine before: one bit each, see conditions::catalogue.
CREATE TABLE machine_judged (
    machine_id INTEGER PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    conditions INTEGER NOT NULL
) STRICT;

-- What people changed. A machine's own settings count first, then those of its tags, its group and the whole fleet.
CREATE TABLE condition_setting (
    id         INTEGER PRIMARY KEY,
    condition  TEXT NOT NULL,                       -- as in incident.kind
    scope      TEXT NOT NULL,                       -- all, group, tag, machine
    name       TEXT NOT NULL DEFAULT '',            -- of the group or tag
    machine_id INTEGER REFERENCES machine (id) ON DELETE CASCADE,
    is_on      INTEGER,                             -- NULL in these: not changed here
    threshold  REAL,
    hold       INTEGER
) STRICT;
CREATE UNIQUE INDEX condition_setting_scope ON condition_setting (condition, scope, name, (coalesce(machine_id, 0)));
CREATE INDEX condition_setting_machine ON condition_setting (machine_id) WHERE machine_id IS NOT NULL;

-- Recipients with the default choice are notified about conditions, too; all others stay as chosen.
UPDATE recipient SET events =
    '["offline","online","flapping","camera","power","heat","disk","uplink","activity","clock","setup"]'
WHERE replace(events, ' ', '') IN (
    '["offline","online","flapping"]', '["offline","flapping","online"]', '["online","offline","flapping"]',
    '["online","flapping","offline"]', '["flapping","offline","online"]', '["flapping","online","offline"]'
);

-- A row for each machine whose outage was announced and is not over.
CREATE VIEW machine_offline_notifications AS
SELECT machine_id, datetime(notified_at / 1000, 'unixepoch') AS notified_at
FROM incident WHERE kind = 'offline' AND ended_at IS NULL AND planned = 0 AND notified_at IS NOT NULL;

-- The cameras that a machine reports; forgotten 30 days after the last report.
CREATE TABLE camera (
    id         INTEGER PRIMARY KEY,
    machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    mac        TEXT NOT NULL,
    name       TEXT,                                -- the hostname that the device reported last
    reported   INTEGER NOT NULL,                    -- minute of the last report, since 1970
    UNIQUE (machine_id, mac)
) STRICT;
-- Minutes for which a camera responded and did not respond on one day (UTC), for a year.
CREATE TABLE camera_day (
    camera_id INTEGER NOT NULL REFERENCES camera (id) ON DELETE CASCADE,
    day       INTEGER NOT NULL,                     -- days since 1970
    up        INTEGER NOT NULL,
    down      INTEGER NOT NULL,
    PRIMARY KEY (camera_id, day)
) STRICT, WITHOUT ROWID;
