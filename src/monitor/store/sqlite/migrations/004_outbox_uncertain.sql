-- A mail whose data was sent and not answered: it may have arrived. NULL: nothing is unknown.
ALTER TABLE outbox ADD COLUMN uncertain_since INTEGER;
-- Whether a machine has an earlier message on a channel, among those still to be sent alone.
CREATE INDEX outbox_unsent ON outbox (machine_id, channel_id, id) WHERE state IN (0, 1);
