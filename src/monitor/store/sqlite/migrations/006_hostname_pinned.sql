-- Version 6. Who set machine.hostname: 1 = a person, and reports of the device do not change it; 0 = the device, whose
-- reports it follows.
ALTER TABLE machine ADD COLUMN hostname_pinned INTEGER NOT NULL DEFAULT 0;

-- Not recorded before: a hostname is the device's own if it is the one that the device sent last. In doubt it stays as
-- it is.
UPDATE machine SET hostname_pinned = 1
WHERE hostname IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM machine_latest
    WHERE machine_latest.machine_id = machine.id
      AND replace(replace(payload, '"hostname": "', '"hostname":"'), '"hostname":"' || hostname || '"', '')
          <> replace(payload, '"hostname": "', '"hostname":"')
);
