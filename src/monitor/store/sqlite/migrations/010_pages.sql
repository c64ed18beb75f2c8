-- Version 10. The pages: their users, and what people do there. Every secret that only has to be recognised is stored as
-- its SHA-256; passwords as argon2id (PHC string).
CREATE TABLE web_user (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: it is in the audit log
    name          TEXT NOT NULL UNIQUE,
    role          TEXT NOT NULL,                      -- viewer, operator, owner
    is_limited    INTEGER NOT NULL DEFAULT 0,         -- 1: only the machines of web_user_scope
    password      TEXT,                               -- NULL: not set yet
    totp_secret   BLOB,                               -- NULL: no second factor
    totp_step     INTEGER,                            -- of the last accepted code: each code is valid once
    time_zone     TEXT,                               -- NULL: UTC
    created_at    INTEGER NOT NULL
) STRICT;
CREATE TABLE web_user_scope (
    user_id INTEGER NOT NULL REFERENCES web_user (id) ON DELETE CASCADE,
    kind    TEXT NOT NULL,                            -- group, tag
    name    TEXT NOT NULL,
    PRIMARY KEY (user_id, kind, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE web_recovery_code (
    user_id INTEGER NOT NULL REFERENCES web_user (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL,
    PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;
-- Links with which a user sets a password; deleted when they are used.
CREATE TABLE web_invitation (
    hash       BLOB PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES web_user (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE web_session (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    hash       BLOB NOT NULL UNIQUE,
    user_id    INTEGER NOT NULL REFERENCES web_user (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL,                      -- written once a minute
    address    TEXT,                                  -- of the client at login
    agent      TEXT                                   -- its browser
) STRICT;
CREATE INDEX web_session_user ON web_session (user_id);
-- Keys of this installation, made at the first use.
CREATE TABLE web_key (
    name  TEXT PRIMARY KEY,                           -- device_cookie
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
-- Who changed what, when, from where. A user's name stays after the user is removed.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,                            -- a user's name, or "command line"
    address TEXT,                                     -- NULL: this machine
    action  TEXT NOT NULL,                            -- machine.pause, user.add, login.failed ...
    subject TEXT,                                     -- what it was done to, by name
    detail  TEXT                                      -- for people; without secrets
) STRICT;

-- What people do with an incident.
ALTER TABLE incident ADD COLUMN acknowledged_by TEXT; -- a user's name, or "command line"
CREATE TABLE incident_comment (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id INTEGER NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    at          INTEGER NOT NULL,
    author      TEXT NOT NULL,
    text        TEXT NOT NULL
) STRICT;
CREATE INDEX incident_comment_incident ON incident_comment (incident_id, id);
-- For the bars of the last 24 hours and the uptime of 90 days.
CREATE INDEX incident_ended ON incident (ended_at);

-- A token that was entered on the page; secret_file is for those that stay in a file.
ALTER TABLE channel ADD COLUMN token TEXT;

-- Live heartbeats of a machine by reason and day (UTC), for a year.
CREATE TABLE beat_day (
    machine_id            INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    day                   INTEGER NOT NULL,           -- days since 1970
    startup               INTEGER NOT NULL DEFAULT 0,
    scheduled             INTEGER NOT NULL DEFAULT 0,
    failover              INTEGER NOT NULL DEFAULT 0,
    connectivity_restored INTEGER NOT NULL DEFAULT 0,
    triggered             INTEGER NOT NULL DEFAULT 0,
    camera                INTEGER NOT NULL DEFAULT 0,
    shutdown              INTEGER NOT NULL DEFAULT 0,
    other                 INTEGER NOT NULL DEFAULT 0, -- formats without a reason
    PRIMARY KEY (machine_id, day)
) STRICT, WITHOUT ROWID;
-- Boots and changes of the uplink, for the time line of a machine's page.
CREATE TABLE machine_mark (
    machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,                         -- boot, uplink
    detail     TEXT,                                  -- the uplink's name
    PRIMARY KEY (machine_id, at, kind)
) STRICT, WITHOUT ROWID;
-- Least and greatest minute means of each 15 minutes and each hour, packed like history; older rows have none.
CREATE TABLE history_range (
    machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    resolution INTEGER NOT NULL,                      -- seconds: 900, 3600
    starts_at  INTEGER NOT NULL,
    least      BLOB NOT NULL,
    greatest   BLOB NOT NULL,
    PRIMARY KEY (machine_id, resolution, starts_at)
) STRICT, WITHOUT ROWID;

-- Public status pages: one for a group.
CREATE TABLE status_page (
    group_name TEXT PRIMARY KEY,
    secret     TEXT UNIQUE                            -- in its address; NULL: public under the group's name
) STRICT, WITHOUT ROWID;
CREATE TABLE status_label (
    machine_id INTEGER PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    label      TEXT NOT NULL                          -- instead of the group and a number
) STRICT;
