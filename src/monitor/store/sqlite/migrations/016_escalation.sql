-- Version 16. Escalation: who else is notified of what nobody acknowledges.
ALTER TABLE recipient ADD COLUMN escalate_to INTEGER REFERENCES recipient (id) ON DELETE SET NULL;  -- NULL: nobody
ALTER TABLE recipient ADD COLUMN escalate_after INTEGER;  -- from the begin of an incident
