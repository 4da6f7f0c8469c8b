-- A block's sum is SipHash's, which takes two fifths of BLAKE2b's time for 512 bytes
-- (lib/store/blocks.h).  Parts that were summed otherwise are read whole.
DELETE FROM model_blocks;
