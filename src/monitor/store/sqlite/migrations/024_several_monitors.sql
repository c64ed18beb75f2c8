-- Version 24. What several monitors of one database need; with SQLite there is one monitor, and nothing of this is written.
CREATE TABLE monitor_instance (
    process          INTEGER PRIMARY KEY,   -- a random number, drawn at its start
    host             TEXT NOT NULL,
    version          TEXT NOT NULL,
    started_at       INTEGER NOT NULL,
    alive_at         INTEGER NOT NULL,
    dead_at          INTEGER,               -- when it ended, or when another one noticed that it was silent
    clock_difference INTEGER NOT NULL,      -- its own clock minus the database's, in milliseconds
    heartbeats       REAL NOT NULL          -- a second
) STRICT;

-- What only one monitor does at a time, and which one that is.
CREATE TABLE duty (
    name    TEXT PRIMARY KEY,
    process INTEGER NOT NULL,
    until   INTEGER NOT NULL
) STRICT;

-- The monitor that heard the machine last; NULL: there is one monitor.
ALTER TABLE machine_state ADD COLUMN seen_by INTEGER;
