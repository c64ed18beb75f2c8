-- Version 23. Maintenance that recurs each week. The monitor turns each window into rows of `maintenance` shortly before it
-- begins, so everything that asks for a maintenance finds it there.
CREATE TABLE maintenance_plan (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    machine_id INTEGER REFERENCES machine (id) ON DELETE CASCADE,  -- exactly one of these three
    group_name TEXT,
    tag        TEXT,
    days       INTEGER NOT NULL,                    -- bits, from Monday: the days on which a window begins
    from_min   INTEGER NOT NULL,                    -- minute of the day by the clock of time_zone
    to_min     INTEGER NOT NULL,                    -- not later than from_min: on the next day
    time_zone  TEXT NOT NULL,                       -- "Europe/Berlin", or an offset such as "+02:00"
    utc_offset INTEGER NOT NULL,                    -- minutes, when it was added
    reason     TEXT,
    created_at INTEGER NOT NULL
) STRICT;

ALTER TABLE maintenance ADD COLUMN plan_id INTEGER REFERENCES maintenance_plan (id) ON DELETE SET NULL;
CREATE UNIQUE INDEX maintenance_plan_window ON maintenance (plan_id, machine_id, starts_at);
