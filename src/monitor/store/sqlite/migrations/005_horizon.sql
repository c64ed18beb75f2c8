-- The moment that retention is counted from (see horizon.rs): one row.
CREATE TABLE retention (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    horizon INTEGER NOT NULL
) STRICT;
