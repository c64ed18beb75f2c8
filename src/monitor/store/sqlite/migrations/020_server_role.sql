-- Version 20. What this monitor is to a device that has several: machine::DeviceServer. Only a backup's machines are listed
-- in the index, so that the sweep finds the silent ones without reading the fleet.
ALTER TABLE machine_state ADD COLUMN server_role INTEGER NOT NULL DEFAULT 0;
CREATE INDEX machine_state_backup ON machine_state (machine_id) WHERE server_role >= 2;
