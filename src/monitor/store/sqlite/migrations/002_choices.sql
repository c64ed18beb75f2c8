-- Which machines a recipient is notified about, by id instead of by name; "all machines" is explicit.
-- Version 1 kept names, groups and tags as JSON, and three empty lists meant all machines.

CREATE TABLE recipient_choice (
    id           INTEGER PRIMARY KEY,
    recipient_id INTEGER NOT NULL REFERENCES recipient (id) ON DELETE CASCADE,
    kind         TEXT NOT NULL,                     -- machine, group, tag
    machine_id   INTEGER REFERENCES machine (id) ON DELETE SET NULL,
    name         TEXT NOT NULL                      -- group or tag; of a machine without an id: what it was called
) STRICT;
CREATE INDEX recipient_choice_recipient ON recipient_choice (recipient_id);
CREATE INDEX recipient_choice_machine ON recipient_choice (machine_id) WHERE machine_id IS NOT NULL;

INSERT INTO recipient_choice (recipient_id, kind, machine_id, name)
SELECT r.id, 'machine', m.id, chosen.value
FROM recipient r
JOIN json_each(CASE WHEN json_valid(r.machines) THEN r.machines ELSE '{}' END, '$.names') AS chosen
LEFT JOIN machine m ON m.name = chosen.value
WHERE chosen.type = 'text';

INSERT INTO recipient_choice (recipient_id, kind, name)
SELECT r.id, 'group', chosen.value
FROM recipient r
JOIN json_each(CASE WHEN json_valid(r.machines) THEN r.machines ELSE '{}' END, '$.groups') AS chosen
WHERE chosen.type = 'text';

INSERT INTO recipient_choice (recipient_id, kind, name)
SELECT r.id, 'tag', chosen.value
FROM recipient r
JOIN json_each(CASE WHEN json_valid(r.machines) THEN r.machines ELSE '{}' END, '$.tags') AS chosen
WHERE chosen.type = 'text';

ALTER TABLE recipient ADD COLUMN all_machines INTEGER NOT NULL DEFAULT 1;
UPDATE recipient SET all_machines = 0 WHERE id IN (SELECT recipient_id FROM recipient_choice);
ALTER TABLE recipient DROP COLUMN machines;
