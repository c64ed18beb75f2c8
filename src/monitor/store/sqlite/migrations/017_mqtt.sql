-- Version 17. Retained topics that were published over MQTT. A topic is written before it is published, and removed after
-- it was cleared because its machine or camera is gone.
CREATE TABLE mqtt_topic (
    topic      TEXT PRIMARY KEY,
    machine_id INTEGER NOT NULL,                    -- no reference: the row outlives its machine
    camera     TEXT                                 -- its MAC address
) STRICT, WITHOUT ROWID;
