-- Version 12. Two indexes counted every open outage as equal, and SQLite preferred them: a sweep read all of them to find
-- the few that are to be announced after a maintenance, and the few that no summary included.
DROP INDEX incident_ended;
CREATE INDEX incident_ended ON incident (ended_at) WHERE ended_at IS NOT NULL;
DROP INDEX incident_open_kind;
CREATE INDEX incident_open_condition ON incident (kind) WHERE ended_at IS NULL AND kind <> 'offline';
DROP INDEX incident_summary;
CREATE INDEX incident_summary ON incident (machine_id)
    WHERE existing AND summarised_at IS NULL AND ended_at IS NULL;
