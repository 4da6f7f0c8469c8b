-- What lies further back than KEEP_HISTORY is deleted, and counted.
CREATE TABLE train_job_pruned (
	project   INTEGER NOT NULL REFERENCES project (row) ON DELETE CASCADE,
	state     TEXT NOT NULL,     -- in which they ended
	jobs      INTEGER NOT NULL,  -- how many train_job no longer has
	PRIMARY KEY (project, state)
) STRICT;
