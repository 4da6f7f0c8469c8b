-- prelabel's store.  Looking inside with sqlite3 is supported; the views at the
-- end are made for it.  Times are Unix seconds (_s) or microseconds (_us).

CREATE TABLE project (
	row             INTEGER PRIMARY KEY AUTOINCREMENT, -- ours: one row a pair (id, created_s)
	id              INTEGER NOT NULL, -- Label Studio's project id
	created_s       INTEGER,          -- when Label Studio created it; NULL: not told yet
	title           TEXT,             -- as last seen
	label_config    TEXT,             -- labeling config (XML) as last seen
	config_hash     TEXT,             -- SHA-256 of it, hexadecimal
	control         TEXT,             -- name of the first Choices over a Text; NULL: none
	text_key        TEXT,             -- key of its text in task.data
	labels          TEXT,             -- its labels, a JSON array in document order
	extra_params    TEXT,             -- what was entered for the backend in Label Studio, JSON; NULL: nothing
	reason          TEXT,             -- why nothing can be predicted or trained; NULL: nothing known
	updates         INTEGER NOT NULL DEFAULT 0, -- annotation rows changed so far; only grows
	updates_trained INTEGER NOT NULL DEFAULT 0, -- its value when the examples of the last training were read
	unread          INTEGER NOT NULL DEFAULT 0, -- events without payload since the last export was read
	current_version INTEGER,          -- model_version.row in force; NULL: cold start, version 0
	last_number     INTEGER NOT NULL DEFAULT 0, -- highest version number given out
	webhook_s       INTEGER,          -- when the last event came
	fetched_s       INTEGER,          -- when Label Studio's export was last read to its end
	fetch_ms        INTEGER NOT NULL DEFAULT 0, -- how long that took, milliseconds
	fetch_error     TEXT              -- why the last attempt to read it failed; NULL: it did not
) STRICT;
CREATE UNIQUE INDEX project_pair ON project (id, created_s);
CREATE UNIQUE INDEX project_without_time ON project (id) WHERE created_s IS NULL;

CREATE TABLE task (
	project         INTEGER NOT NULL REFERENCES project (row) ON DELETE CASCADE,
	id              INTEGER NOT NULL, -- Label Studio's; negative: imported from JSON lines
	data            TEXT,             -- task.data, a JSON object; NULL in a deleted task
	updated_us      INTEGER,          -- task.updated_at; NULL: not told
	deleted         INTEGER NOT NULL DEFAULT 0, -- event.row that deleted it; a late event does not bring it back
	PRIMARY KEY (project, id)
) STRICT;

CREATE TABLE annotation (
	project         INTEGER NOT NULL REFERENCES project (row) ON DELETE CASCADE,
	id              INTEGER NOT NULL, -- Label Studio's; negative: imported from JSON lines
	task            INTEGER,          -- task.id; NULL in a tombstone of one never seen
	result          TEXT,             -- regions, a JSON array; NULL in a tombstone
	was_cancelled   INTEGER NOT NULL DEFAULT 0, -- 1: skipped by the annotator
	ground_truth    INTEGER NOT NULL DEFAULT 0, -- 1: stands in place of the others of its task
	completed_by    INTEGER,          -- the annotator's user id
	updated_us      INTEGER,          -- annotation.updated_at; NULL: not told
	event           INTEGER NOT NULL, -- event.row that changed it last
	deleted         INTEGER NOT NULL DEFAULT 0, -- 1: tombstone; a late event does not bring it back
	PRIMARY KEY (project, id)
) STRICT;
CREATE INDEX annotation_task ON annotation (project, task);

CREATE TABLE event (
	row             INTEGER PRIMARY KEY AUTOINCREMENT, -- in order of arrival
	project         INTEGER NOT NULL REFERENCES project (row) ON DELETE CASCADE,
	received_us     INTEGER NOT NULL,
	source          TEXT NOT NULL,    -- 'webhook', 'export' or 'import'
	action          TEXT NOT NULL,    -- 'ANNOTATION_CREATED', … or 'RECONCILE'
	changed         INTEGER NOT NULL  -- annotation rows that it changed
) STRICT;
CREATE INDEX event_project ON event (project);

CREATE TABLE train_job (
	row             INTEGER PRIMARY KEY AUTOINCREMENT,
	project         INTEGER NOT NULL REFERENCES project (row) ON DELETE CASCADE,
	state           TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'skipped', 'failed')),
	reason          TEXT NOT NULL,    -- 'updates', 'start', 'labels', 'settings', 'unread', 'command', 'connect' or 'sync'
	again           TEXT,             -- reason of one asked for while this one runs; NULL: none
	owner           TEXT,             -- random name of the trainer that holds the lease
	lease_until_s   INTEGER,          -- the lease ends here, or when it lies over 30 s ahead
	attempt         INTEGER NOT NULL DEFAULT 0, -- leases taken so far
	not_before_s    INTEGER NOT NULL DEFAULT 0, -- back-off after a failure
	queued_s        INTEGER NOT NULL,
	started_s       INTEGER,
	finished_s      INTEGER,
	progress        REAL,             -- share done of a running one, 0 to 1
	note            TEXT,             -- why it failed, was skipped or is tried again
	version         INTEGER           -- model_version.row it published
) STRICT;
CREATE UNIQUE INDEX train_job_open ON train_job (project) WHERE state IN ('queued', 'running');
CREATE INDEX train_job_project ON train_job (project);

CREATE TABLE model_version (
	row             INTEGER PRIMARY KEY AUTOINCREMENT,
	project         INTEGER NOT NULL REFERENCES project (row) ON DELETE CASCADE,
	number          INTEGER NOT NULL, -- 1, 2, … within the project
	name            TEXT NOT NULL,    -- model_version as published; a later label set or setting changes what is served
	kind            TEXT NOT NULL,    -- of model: 'tfidf_logreg', or several: 'substring+tfidf_logreg'
	formats         TEXT NOT NULL,    -- of the parts of each kind: '1', '1+1'
	labels          TEXT NOT NULL,    -- label set it was trained for, a JSON array
	examples_hash   TEXT NOT NULL,    -- SHA-256 of its examples' texts and labels in order of their ids
	n_examples      INTEGER NOT NULL,
	n_cancelled     INTEGER NOT NULL, -- annotations left out: skipped by the annotator,
	n_empty         INTEGER NOT NULL, -- without a label,
	n_unknown       INTEGER NOT NULL, -- with a label that the config lacks,
	n_overruled     INTEGER NOT NULL, -- beside a ground truth of the same task
	token_pattern   TEXT NOT NULL,    -- 'word' or 'word1'
	logreg_c        REAL NOT NULL,
	created_s       INTEGER NOT NULL,
	train_seconds   REAL NOT NULL,    -- from lease to publishing
	n_held_out      INTEGER,          -- examples of the held-out test; NULL: none was made
	accuracy        REAL,             -- and what it gave
	macro_f1        REAL,
	log_loss        REAL,
	damaged         INTEGER NOT NULL DEFAULT 0, -- 1: a part failed its checks; not served again
	UNIQUE (project, number)
) STRICT;

CREATE TABLE model_part (
	version         INTEGER NOT NULL REFERENCES model_version (row) ON DELETE CASCADE,
	name            TEXT NOT NULL,    -- KIND/PART
	bytes           BLOB NOT NULL,    -- layout: the source file of the kind
	sha256          BLOB NOT NULL,    -- of bytes, 32 bytes
	PRIMARY KEY (version, name)
) STRICT;

-- One line a project.
CREATE VIEW v_project AS
SELECT p.id AS project, datetime(p.created_s, 'unixepoch') AS created, p.title, p.labels, p.reason,
       p.updates - p.updates_trained AS counter,
       (SELECT count(*) FROM annotation a WHERE a.project = p.row AND a.deleted = 0) AS annotations,
       coalesce(v.name, 'cold start') AS version, v.n_examples AS examples, v.accuracy,
       (SELECT state FROM train_job j WHERE j.project = p.row ORDER BY j.row DESC LIMIT 1) AS last_job,
       (SELECT note FROM train_job j WHERE j.project = p.row ORDER BY j.row DESC LIMIT 1) AS note,
       datetime(p.webhook_s, 'unixepoch') AS last_webhook
  FROM project p LEFT JOIN model_version v ON v.row = p.current_version;

-- One line a training job.
CREATE VIEW v_training AS
SELECT p.id AS project, j.row AS job, j.state, j.reason, j.attempt,
       datetime(j.queued_s, 'unixepoch') AS queued, datetime(j.started_s, 'unixepoch') AS started,
       datetime(j.finished_s, 'unixepoch') AS finished, v.name AS version, v.n_examples AS examples,
       v.train_seconds AS seconds, v.accuracy, j.note
  FROM train_job j JOIN project p ON p.row = j.project LEFT JOIN model_version v ON v.row = j.version;

-- One line a training example: the first choice of the first Choices of each
-- annotation that is not skipped; a ground truth in place of the others of its task.
CREATE VIEW v_example AS
SELECT p.id AS project, a.task, json_extract(t.data, '$."' || p.text_key || '"') AS text, c.value AS label,
       a.completed_by AS annotator, datetime(a.updated_us / 1000000, 'unixepoch') AS "when"
  FROM annotation a
  JOIN project p ON p.row = a.project
  JOIN task t ON t.project = a.project AND t.id = a.task AND t.deleted = 0,
       json_each(a.result) r, json_each(r.value, '$.value.choices') c, json_each(p.labels) l
 WHERE a.deleted = 0 AND a.was_cancelled = 0
   AND json_extract(r.value, '$.from_name') = p.control AND json_extract(r.value, '$.type') = 'choices'
   AND c.key = 0 AND l.value = c.value
   AND (a.ground_truth = 1 OR NOT EXISTS (SELECT 1 FROM annotation g
         WHERE g.project = a.project AND g.task = a.task AND g.ground_truth = 1
           AND g.deleted = 0 AND g.was_cancelled = 0));
