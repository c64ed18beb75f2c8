-- Version 1. Moments are milliseconds since 1970 by the monitor's clock, durations milliseconds.

CREATE TABLE machine (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: it stands in webhooks
    name        TEXT NOT NULL UNIQUE,
    hostname    TEXT,
    description TEXT,
    group_name  TEXT,
    hardware_id TEXT UNIQUE,                        -- of a device that enrolled itself
    device_key  TEXT UNIQUE,                        -- its name at the Meeting API
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE machine_tag (
    machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    tag        TEXT NOT NULL,
    PRIMARY KEY (machine_id, tag)
) STRICT, WITHOUT ROWID;

-- Narrow, because it is rewritten every second and swept as a whole; no index on last_seen, which would double the
-- cost of both.
CREATE TABLE machine_state (
    machine_id INTEGER PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    status     INTEGER NOT NULL,                    -- store::Status
    watched    INTEGER NOT NULL,                    -- 0: disabled
    last_seen  INTEGER,                             -- NULL: never
    since      INTEGER NOT NULL,                    -- of this status
    threshold  INTEGER                              -- NULL: the configured one
) STRICT;
-- Untouched by heartbeats: it holds those that have a threshold of their own, and nothing of when they were seen.
CREATE INDEX machine_state_threshold ON machine_state (machine_id) WHERE threshold IS NOT NULL;

-- What was sent last; wide, and therefore written seldom.
CREATE TABLE machine_latest (
    machine_id  INTEGER PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    received_at INTEGER NOT NULL,
    payload     TEXT NOT NULL                       -- JSON
) STRICT;

CREATE TABLE device_token (
    id         INTEGER PRIMARY KEY,
    machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    hash       BLOB NOT NULL UNIQUE,                -- SHA-256 of 256 random bits: nothing to guess, nothing to salt
    created_at INTEGER NOT NULL,
    expires_at INTEGER                              -- set by rotate
) STRICT;
CREATE INDEX device_token_machine ON device_token (machine_id);

CREATE TABLE enroll_token (
    id         INTEGER PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    group_name TEXT,
    used_at    INTEGER,
    machine_id INTEGER REFERENCES machine (id) ON DELETE SET NULL
) STRICT;

CREATE TABLE read_token (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    hash       BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

-- People are not told of what happens in between; it is watched all the same.
CREATE TABLE maintenance (
    id         INTEGER PRIMARY KEY,
    machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    starts_at  INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    reason     TEXT
) STRICT;
CREATE INDEX maintenance_machine ON maintenance (machine_id, ends_at);

-- One row an outage, from the sweep that saw it to the heartbeat that ended it.
CREATE TABLE outage (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    planned    INTEGER NOT NULL,                    -- 1: the device said that it is being stopped
    hushed     INTEGER NOT NULL DEFAULT 0,          -- 1: it began in a maintenance, and nobody was told
    last_seen  INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX outage_open ON outage (machine_id) WHERE ended_at IS NULL;
CREATE INDEX outage_machine ON outage (machine_id, started_at);
CREATE INDEX outage_hushed ON outage (machine_id) WHERE hushed = 1 AND ended_at IS NULL;

-- Who comes and goes too often to be told each time.
CREATE TABLE flapping (
    machine_id INTEGER PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    since      INTEGER NOT NULL,
    steady_at  INTEGER                              -- NULL: it still does
) STRICT;

-- What happened, for people and programs that read it later. machine_id stays NULL for the monitor's own.
CREATE TABLE event (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    machine_id INTEGER REFERENCES machine (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,                       -- offline, online, stopped, flapping, steady, added, enrolled ...
    detail     TEXT                                 -- JSON
) STRICT;
CREATE INDEX event_machine ON event (machine_id, id);

-- A person or a team, and what they want to hear.
CREATE TABLE recipient (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL UNIQUE,
    enabled       INTEGER NOT NULL DEFAULT 1,
    machines      TEXT,                             -- JSON {"names": [], "groups": [], "tags": []}; NULL: all
    events        TEXT NOT NULL,                    -- JSON array
    quiet_from    INTEGER,                          -- minute of the day, by the recipient's clock
    quiet_to      INTEGER,
    utc_offset    INTEGER NOT NULL DEFAULT 0,       -- minutes; of a time zone: when it was chosen
    time_zone     TEXT,                             -- "Europe/Berlin"; NULL: the offset is fixed
    min_outage    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A way to reach one.
CREATE TABLE channel (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient_id INTEGER NOT NULL REFERENCES recipient (id) ON DELETE CASCADE,
    kind         TEXT NOT NULL,                     -- webhook, telegram, email, ntfy
    target       TEXT NOT NULL,                     -- URL, chat id, address
    secret       TEXT,                              -- the webhook's; never shown
    secret_file  TEXT,                              -- Telegram's bot token, ntfy's
    enabled      INTEGER NOT NULL DEFAULT 1,
    created_at   INTEGER NOT NULL,
    UNIQUE (kind, target, recipient_id)
) STRICT;

-- Written in the transaction of the event; never marked delivered before it is.
CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- X-Webhook-Id
    channel_id   INTEGER NOT NULL REFERENCES channel (id) ON DELETE CASCADE,
    machine_id   INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    outage_id    INTEGER NOT NULL REFERENCES outage (id) ON DELETE CASCADE,
    event        TEXT NOT NULL,                     -- offline, online, stopped, flapping, steady
    content      TEXT NOT NULL,                     -- JSON: what is said, fixed when it happened
    created_at   INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    state        INTEGER NOT NULL,                  -- store::Delivery
    attempts     INTEGER NOT NULL DEFAULT 0,
    leased_until INTEGER,
    lease        INTEGER,                           -- a random number: who holds it
    delivered_at INTEGER,
    last_error   TEXT,
    UNIQUE (outage_id, event, channel_id)
) STRICT;
-- Only what is still to be sent.
CREATE INDEX outbox_due ON outbox (channel_id, due_at) WHERE state IN (0, 1);
CREATE INDEX outbox_machine ON outbox (machine_id, channel_id, id);

-- Packed samples: one row for a machine, a resolution and a stretch of time.
CREATE TABLE history (
    machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    resolution INTEGER NOT NULL,                    -- seconds: 60, 900, 3600
    starts_at  INTEGER NOT NULL,
    samples    BLOB NOT NULL,
    PRIMARY KEY (machine_id, resolution, starts_at)
) STRICT, WITHOUT ROWID;
