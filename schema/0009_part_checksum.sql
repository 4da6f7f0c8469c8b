-- A part's checksum is BLAKE2b-256 of its bytes (b2sum -l 256), a third of SHA-256's
-- time, which was a tenth of a training's.  Of parts that are there already it stays
-- SHA-256.
-- SQLite reads all views before it renames, and refuses where it can't: one that somebody
-- added over v_example (its JSON is not to be trusted, a program says) or over what is gone.
PRAGMA writable_schema = ON;
ALTER TABLE model_part RENAME COLUMN sha256 TO checksum;
PRAGMA writable_schema = OFF;
