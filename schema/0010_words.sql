-- What a training read of an annotation, so that the next one reads only what is new.

ALTER TABLE annotation ADD COLUMN words TEXT; -- its task's text as it is counted: words in lower case, a space between; NULL: not read yet
ALTER TABLE annotation ADD COLUMN label TEXT; -- what it teaches, where one label may be chosen; NULL: see result
ALTER TABLE project ADD COLUMN words_form TEXT; -- how words were made: format, token pattern, Unicode version, SHA-256 of the config; "-" before it: they are being made; NULL: there are none

-- What they were read from has changed.
CREATE TRIGGER annotation_changed AFTER UPDATE OF task, result, deleted ON annotation WHEN new.words IS NOT NULL BEGIN
	UPDATE annotation SET words = NULL, label = NULL WHERE project = new.project AND id = new.id;
END;
CREATE TRIGGER task_changed AFTER UPDATE OF data, deleted ON task WHEN new.data IS NOT old.data OR new.deleted <> old.deleted BEGIN
	UPDATE annotation SET words = NULL, label = NULL WHERE project = new.project AND task = new.id AND words IS NOT NULL;
END;

-- So that a training need not look at each annotation twice.
CREATE INDEX annotation_ground_truth ON annotation (project, task) WHERE ground_truth = 1;

-- What a model's examples are told apart by, in less time.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'SHA-256 of its examples'' texts and labels in order', 'BLAKE2b-256 of its examples'' texts or words and labels in order') WHERE name = 'model_version';
PRAGMA writable_schema = OFF;
