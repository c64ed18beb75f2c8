-- Version 18. Acknowledgement from a message: which notifications were sent as one.
ALTER TABLE outbox ADD COLUMN message INTEGER;  -- id of the first of them; NULL: it was sent alone, or before this version
CREATE INDEX outbox_message ON outbox (message) WHERE message IS NOT NULL;
