-- Version 7. A MAC address as hardware id is stored without separators, in lower case, as devices send it since they no
-- longer send colons (see machine::canonical_hardware_id). Two machines may have got the same address, one before that
-- change and one after it: the one that devices find today keeps it, or the older one, and the other stays as it is.
UPDATE machine SET hardware_id = replace(replace(lower(hardware_id), ':', ''), '-', '')
WHERE (hardware_id LIKE '__:__:__:__:__:__' OR hardware_id LIKE '__-__-__-__-__-__')
  AND length(replace(replace(hardware_id, ':', ''), '-', '')) = 12
  AND ltrim(replace(replace(lower(hardware_id), ':', ''), '-', ''), '0123456789abcdef') = ''
  AND NOT EXISTS (
    SELECT 1 FROM machine other
    WHERE other.id <> machine.id
      AND replace(replace(lower(other.hardware_id), ':', ''), '-', '')
          = replace(replace(lower(machine.hardware_id), ':', ''), '-', '')
      AND (other.id < machine.id
           OR other.hardware_id = replace(replace(lower(machine.hardware_id), ':', ''), '-', ''))
);
