-- Checksums of a model part's blocks, for a process that answers one request and reads
-- only what that needs (lib/store/blocks.h).  A part without a row is read whole.
CREATE TABLE model_blocks (
	version INTEGER NOT NULL,
	name    TEXT NOT NULL,
	length  INTEGER NOT NULL,             -- of the part, bytes
	sums    BLOB NOT NULL,
	PRIMARY KEY (version, name),
	FOREIGN KEY (version, name) REFERENCES model_part (version, name) ON DELETE CASCADE
) STRICT;
