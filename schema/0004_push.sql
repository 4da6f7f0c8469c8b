-- What was written to Label Studio of our predictions, a line a project.
CREATE TABLE push (
	project   INTEGER PRIMARY KEY REFERENCES project (row) ON DELETE CASCADE,
	version   TEXT NOT NULL,               -- model_version that is or was written
	sent_s    INTEGER,                     -- when a request was sent whose answer has not come; NULL: none is out
	sent_task INTEGER,                     -- the last task in it
	done_s    INTEGER,                     -- when every open task had a prediction of it; NULL: not yet
	gave_way  INTEGER NOT NULL DEFAULT 0,  -- times in a row that a training which waited cut it short
	error     TEXT                         -- why the last attempt failed; NULL: it did not
);
