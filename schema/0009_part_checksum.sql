-- A part's checksum is BLAKE2b-256 of its bytes (b2sum -l 256), a third of SHA-256's
-- time, which was a tenth of a training's.  Of parts that are there already it stays
-- SHA-256.
ALTER TABLE model_part RENAME COLUMN sha256 TO checksum;
