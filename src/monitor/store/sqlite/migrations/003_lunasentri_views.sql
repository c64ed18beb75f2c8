-- LunaSentri's documentation checks its database with sqlite3; these views keep those commands working. Times are UTC
-- text as datetime() reads and writes it, and a machine is online or offline: it knows nothing else.
-- A later migration that replaces machine, machine_state or outage has to drop the views first and create them again.

CREATE VIEW machines AS
SELECT m.id, m.name, m.hostname, m.description,
       CASE s.status WHEN 1 THEN 'online' ELSE 'offline' END AS status,
       datetime(s.last_seen / 1000, 'unixepoch') AS last_seen,
       s.watched AS is_enabled,
       datetime(m.created_at / 1000, 'unixepoch') AS created_at
FROM machine m JOIN machine_state s ON s.machine_id = m.id;

-- A row for each machine whose outage was reported and lasts.
CREATE VIEW machine_offline_notifications AS
SELECT machine_id, datetime(started_at / 1000, 'unixepoch') AS notified_at
FROM outage WHERE ended_at IS NULL AND planned = 0 AND hushed = 0;
