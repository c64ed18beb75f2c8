-- Version 22. The machine that a machine is behind: while that one is dead, it is not announced.
ALTER TABLE machine ADD COLUMN behind INTEGER REFERENCES machine (id) ON DELETE SET NULL;
CREATE INDEX machine_behind ON machine (behind) WHERE behind IS NOT NULL;
