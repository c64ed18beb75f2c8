-- Version 14. A device that a person turned away stays turned away when it asks again.
ALTER TABLE enroll_request ADD COLUMN rejected_at INTEGER;  -- NULL: it waits
