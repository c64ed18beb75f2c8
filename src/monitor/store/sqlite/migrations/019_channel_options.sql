-- Version 19. What else was chosen for a channel: JSON, by the names of its kind's options; NULL: nothing.
ALTER TABLE channel ADD COLUMN options TEXT;
