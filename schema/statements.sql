-- Every statement of the store.  A line `-- name: parameters` begins one; the
-- build writes `enum sql { SQL_NAME … }` and their texts to build/sql.h.

-- project_pair: ?1 id, ?2 created_s.
SELECT row FROM project WHERE id = ?1 AND created_s = ?2;

-- project_without_time: ?1 id.
SELECT row FROM project WHERE id = ?1 AND created_s IS NULL;

-- project_newest: ?1 id.
SELECT row FROM project WHERE id = ?1 ORDER BY row DESC LIMIT 1;

-- project_rows: all.
SELECT row FROM project ORDER BY id, row;

-- project_get: ?1 row; or NULL, ?2 id, ?3 created_s as project_pair, project_without_time and project_newest find it.
SELECT p.id, p.created_s, p.title, p.label_config, p.config_hash, p.labels, p.reason,
       p.updates, p.updates_trained, p.unread, p.webhook_s, p.fetched_s, p.fetch_error,
       v.row, v.number, v.kind, v.formats, v.examples_hash, v.token_pattern, v.logreg_c, v.labels, v.n_examples, v.created_s,
       p.fetch_ms, p.extra_params, p.uncertainty, p.api_s, p.row, p.config_elements, p.words_form
  FROM project p
  JOIN v_in_force f ON f.project = p.row LEFT JOIN model_version v ON v.row = f.version
 WHERE p.row = CASE WHEN ?1 IS NOT NULL THEN ?1
                    WHEN ?3 IS NULL THEN (SELECT max(row) FROM project WHERE id = ?2)
                    ELSE coalesce((SELECT row FROM project WHERE id = ?2 AND created_s = ?3),
                                  (SELECT row FROM project WHERE id = ?2 AND created_s IS NULL)) END;

-- data_version: none.
-- Another number after another connection's commit.
PRAGMA data_version;

-- project_add: ?1 id, ?2 created_s or NULL.
INSERT INTO project (id, created_s) VALUES (?1, ?2);

-- project_time: ?1 row, ?2 created_s.
UPDATE project SET created_s = ?2 WHERE row = ?1;

-- project_config: ?1 row, ?2 label_config, ?3 config_hash, ?4 control, ?5 text_key, ?6 labels, ?7 reason, ?8 multiple, ?9 config_elements.
UPDATE project SET label_config = ?2, config_hash = ?3, control = ?4, text_key = ?5, labels = ?6, reason = ?7, multiple = ?8,
       config_elements = ?9
 WHERE row = ?1;

-- project_extra: ?1 row, ?2 extra_params or NULL.
UPDATE project SET extra_params = ?2 WHERE row = ?1;

-- project_title: ?1 row, ?2 title.
UPDATE project SET title = ?2 WHERE row = ?1 AND title IS NOT ?2;

-- project_uncertainty: ?1 row, ?2 0 or 1.
UPDATE project SET uncertainty = ?2 WHERE row = ?1;

-- project_answered: ?1 row, ?2 now_s.
UPDATE project SET api_s = ?2 WHERE row = ?1;

-- project_webhook: ?1 row, ?2 now_s, ?3 rows changed, ?4 events without payload.
UPDATE project SET webhook_s = coalesce(?2, webhook_s), updates = updates + ?3, unread = unread + ?4 WHERE row = ?1;

-- project_fetched: ?1 row, ?2 now_s, ?3 value of unread when the reading began, ?4 milliseconds it took.
UPDATE project SET fetched_s = ?2, api_s = ?2, fetch_error = NULL, unread = max(0, unread - ?3), fetch_ms = ?4 WHERE row = ?1;

-- project_fetch_error: ?1 row, ?2 reason.
UPDATE project SET fetch_error = ?2 WHERE row = ?1;

-- project_delete: ?1 row.
DELETE FROM project WHERE row = ?1;

-- task_get: ?1 project, ?2 id.
SELECT data, updated_us, deleted FROM task WHERE project = ?1 AND id = ?2;

-- task_put: ?1 project, ?2 id, ?3 data, ?4 updated_us.
INSERT INTO task (project, id, data, updated_us) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (project, id) DO UPDATE SET data = ?3, updated_us = ?4, deleted = 0;

-- task_time: ?1 project, ?2 id, ?3 updated_us.
UPDATE task SET updated_us = ?3 WHERE project = ?1 AND id = ?2;

-- task_delete: ?1 project, ?2 id, ?3 event.
INSERT INTO task (project, id, deleted) VALUES (?1, ?2, ?3)
    ON CONFLICT (project, id) DO UPDATE SET data = NULL, deleted = ?3;

-- annotation_get: ?1 project, ?2 id.
SELECT task, result, was_cancelled, ground_truth, completed_by, updated_us, event, deleted
  FROM annotation WHERE project = ?1 AND id = ?2;

-- annotation_put: ?1 project, ?2 id, ?3 task, ?4 result, ?5 was_cancelled, ?6 ground_truth, ?7 completed_by, ?8 updated_us, ?9 event.
INSERT INTO annotation (project, id, task, result, was_cancelled, ground_truth, completed_by, updated_us, event)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (project, id) DO UPDATE
   SET task = ?3, result = ?4, was_cancelled = ?5, ground_truth = ?6, completed_by = ?7, updated_us = ?8, event = ?9, deleted = 0;

-- annotation_time: ?1 project, ?2 id, ?3 updated_us.
UPDATE annotation SET updated_us = ?3 WHERE project = ?1 AND id = ?2;

-- annotation_delete: ?1 project, ?2 id, ?3 event.
-- Also for one never seen: its "created" may come late.
INSERT INTO annotation (project, id, event, deleted) VALUES (?1, ?2, ?3, 1)
    ON CONFLICT (project, id) DO UPDATE SET result = NULL, event = ?3, deleted = 1;

-- annotation_delete_task: ?1 project, ?2 task, ?3 event.
UPDATE annotation SET result = NULL, event = ?3, deleted = 1 WHERE project = ?1 AND task = ?2 AND deleted = 0;

-- annotation_ids: ?1 project, ?2 event.
-- Those that an export read since event ?2 should have held; imported ones (negative) are ours alone.
SELECT id FROM annotation WHERE project = ?1 AND deleted = 0 AND event <= ?2 AND id > 0 ORDER BY id;

-- annotation_least: ?1 project.
SELECT max(id) FROM annotation WHERE project = ?1 AND id < 0;

-- annotation_examples: ?1 project, ?2 1: words where they were kept, else 0, ?3 first id, ?4 last.
-- Where there are words the task is not looked at: its end would have been theirs.
-- For one annotation its task's ground truth is asked for, for more all ground truths once.
SELECT a.id, a.task, a.result, a.was_cancelled, a.completed_by,
       a.ground_truth = 0 AND CASE WHEN ?3 = ?4
            THEN EXISTS (SELECT 1 FROM annotation g
              WHERE g.project = ?1 AND g.task = a.task AND g.ground_truth = 1 AND g.deleted = 0 AND g.was_cancelled = 0)
            ELSE a.task IN (SELECT g.task FROM annotation g
              WHERE g.project = ?1 AND g.ground_truth = 1 AND g.deleted = 0 AND g.was_cancelled = 0) END,
       t.data, CASE WHEN ?2 THEN a.words END, CASE WHEN ?2 AND a.words IS NOT NULL THEN a.label END
  FROM annotation a LEFT JOIN task t
    ON t.project = a.project AND t.id = CASE WHEN ?2 AND a.words IS NOT NULL THEN NULL ELSE a.task END AND t.deleted = 0
 WHERE a.project = ?1 AND a.id BETWEEN ?3 AND ?4 AND a.deleted = 0 AND (t.id IS NOT NULL OR (?2 AND a.words IS NOT NULL))
 ORDER BY a.id;

-- annotation_words: ?1 project, ?2 id, ?3 words or NULL, ?4 label or NULL.
UPDATE annotation SET words = ?3, label = ?4 WHERE project = ?1 AND id = ?2;

-- project_words: ?1 row, ?2 form or NULL.
UPDATE project SET words_form = ?2 WHERE row = ?1;

-- event_add: ?1 project, ?2 received_us, ?3 source, ?4 action, ?5 changed.
INSERT INTO event (project, received_us, source, action, changed) VALUES (?1, ?2, ?3, ?4, ?5);

-- event_changed: ?1 row, ?2 changed.
UPDATE event SET changed = ?2 WHERE row = ?1;

-- event_drop: ?1 row.
DELETE FROM event WHERE row = ?1;

-- event_last: none.
-- Of all that were given out, deleted ones too.
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0);

-- project_counts: ?1 project.
SELECT (SELECT count(*) FROM annotation WHERE project = ?1 AND deleted = 0),
       (SELECT count(*) FROM annotation WHERE project = ?1 AND deleted = 0 AND was_cancelled = 1),
       (SELECT count(*) FROM task WHERE project = ?1 AND deleted = 0);

-- report: none.
-- The seconds of the last training that published; the last event.
SELECT p.row, p.id, p.created_s, p.label_config, p.config_hash, p.extra_params, p.updates, p.updates_trained, p.webhook_s,
       v.row, v.number, v.formats, v.examples_hash, v.created_s, v.accuracy,
       (SELECT l.train_seconds FROM model_version l WHERE l.project = p.row ORDER BY l.number DESC LIMIT 1),
       (SELECT max(e.row) FROM event e WHERE e.project = p.row), p.config_elements
  FROM project p
  JOIN v_in_force f ON f.project = p.row LEFT JOIN model_version v ON v.row = f.version
 ORDER BY p.row;

-- report_jobs: none.
-- With those that are no longer kept.
SELECT project, state, sum(jobs) FROM (
       SELECT project, state, count(*) AS jobs FROM train_job GROUP BY project, state
        UNION ALL SELECT project, state, jobs FROM train_job_pruned)
 GROUP BY project, state ORDER BY project;

-- job_open: ?1 project.
SELECT row, state FROM train_job WHERE project = ?1 AND state IN ('queued', 'running');

-- job_training: ?1 project.
-- Of a job that only reads the export, the training that was asked for behind it.
SELECT CASE WHEN reason NOT IN ('connect', 'sync') THEN state WHEN again NOT IN ('connect', 'sync') THEN 'queued' END
  FROM train_job WHERE project = ?1 AND state IN ('queued', 'running');

-- job_add: ?1 project, ?2 reason, ?3 now_s.
INSERT INTO train_job (project, state, reason, queued_s) VALUES (?1, 'queued', ?2, ?3);

-- job_again: ?1 row, ?2 reason.
-- 'start' outweighs what came before it; anything outweighs a mere reading.
UPDATE train_job
   SET again = CASE WHEN again IS NULL OR again IN ('connect', 'sync') OR ?2 = 'start' THEN ?2 ELSE again END
 WHERE row = ?1;

-- job_hurry: ?1 row, ?2 reason.
-- A person asks for a queued one: no back-off, and its attempts count anew.
UPDATE train_job SET reason = ?2, not_before_s = 0, attempt = 0 WHERE row = ?1 AND state = 'queued';

-- job_unasked: none.
-- Projects that Label Studio has told of, and was never asked about: nothing was read, tried or trained.
SELECT p.row FROM project p
 WHERE p.created_s IS NOT NULL AND p.fetched_s IS NULL AND p.fetch_error IS NULL
   AND NOT EXISTS (SELECT 1 FROM train_job j WHERE j.project = p.row)
 ORDER BY p.row;

-- job_unread: ?1 project.
-- Another job takes the place of one that would have read the export: it must read it.
UPDATE project SET unread = unread + 1
 WHERE row = ?1 AND EXISTS (SELECT 1 FROM train_job j
                             WHERE j.project = ?1 AND j.state = 'queued' AND j.reason IN ('connect', 'sync'));

-- job_reads: ?1 project.
-- One is queued where one is asked for that reads the export: it must read it.
UPDATE project SET unread = unread + 1
 WHERE row = ?1 AND unread = 0 AND EXISTS (SELECT 1 FROM train_job j
                 WHERE j.project = ?1 AND j.state = 'queued' AND j.reason NOT IN ('connect', 'sync'));

-- job_instead: ?1 row, ?2 reason.
-- A training in place of one that would only read the export, and may be backing off.
UPDATE train_job SET reason = ?2, not_before_s = 0, attempt = 0
 WHERE row = ?1 AND state = 'queued' AND reason IN ('connect', 'sync');

-- job_now: ?1 project.
UPDATE train_job SET not_before_s = 0, attempt = 0 WHERE project = ?1 AND state = 'queued';

-- job_due: ?1 now_s.
-- Queued ones whose time has come and running ones whose lease is no longer good.
-- Asked every second: through the index of the open ones, however many ended.
SELECT project FROM train_job INDEXED BY train_job_open
 WHERE state IN ('queued', 'running')
   AND ((state = 'queued' AND (not_before_s <= ?1 OR not_before_s > ?1 + 3600))
        OR (state = 'running' AND (lease_until_s < ?1 OR lease_until_s > ?1 + 30)))
 ORDER BY row;

-- lease_take: ?1 project, ?2 owner, ?3 now_s, ?4 lease end.
-- Changes no row while another owner's lease is good.
UPDATE train_job
   SET owner = ?2, lease_until_s = ?4, state = 'running', attempt = attempt + 1, started_s = ?3, progress = 0
 WHERE project = ?1
   AND ((state = 'queued' AND (not_before_s <= ?3 OR not_before_s > ?3 + 3600))
        OR (state = 'running' AND (lease_until_s < ?3 OR lease_until_s > ?3 + 30)));

-- lease_get: ?1 project, ?2 owner.
SELECT row, attempt, reason FROM train_job WHERE project = ?1 AND owner = ?2 AND state = 'running';

-- lease_renew: ?1 job, ?2 owner, ?3 attempt, ?4 lease end, ?5 progress.
UPDATE train_job SET lease_until_s = ?4, progress = ?5
 WHERE row = ?1 AND owner = ?2 AND attempt = ?3 AND state = 'running';

-- lease_return: ?1 job, ?2 owner, ?3 attempt.
-- Told to stop: the next trainer starts where this one did.
UPDATE train_job SET state = 'queued', owner = NULL, lease_until_s = NULL, attempt = attempt - 1, progress = NULL
 WHERE row = ?1 AND owner = ?2 AND attempt = ?3 AND state = 'running';

-- lease_retry: ?1 job, ?2 owner, ?3 attempt, ?4 not_before_s, ?5 note.
UPDATE train_job SET state = 'queued', owner = NULL, lease_until_s = NULL, progress = NULL, not_before_s = ?4, note = ?5
 WHERE row = ?1 AND owner = ?2 AND attempt = ?3 AND state = 'running';

-- lease_finish: ?1 job, ?2 owner, ?3 attempt, ?4 state, ?5 now_s, ?6 note, ?7 version.
UPDATE train_job SET state = ?4, owner = NULL, lease_until_s = NULL, progress = NULL, finished_s = ?5, note = ?6, version = ?7
 WHERE row = ?1 AND owner = ?2 AND attempt = ?3 AND state = 'running';

-- job_get: ?1 row.
SELECT j.state, j.reason, j.again, j.attempt, j.queued_s, j.started_s, j.finished_s, j.progress, j.note, v.number, j.row
  FROM train_job j LEFT JOIN model_version v ON v.row = j.version WHERE j.row = ?1;

-- job_last: ?1 project.
-- Not one that read the export and found nothing to train on.
SELECT j.state, j.reason, j.again, j.attempt, j.queued_s, j.started_s, j.finished_s, j.progress, j.note, v.number, j.row
  FROM train_job j LEFT JOIN model_version v ON v.row = j.version
 WHERE j.project = ?1 AND NOT (j.state = 'done' AND j.version IS NULL)
   AND NOT (j.state = 'skipped' AND j.reason IN ('connect', 'sync'))
 ORDER BY j.row DESC LIMIT 1;

-- job_newest: none.
SELECT coalesce(max(row), 0) FROM train_job;

-- version_number: ?1 project.
UPDATE project SET last_number = last_number + 1 WHERE row = ?1 RETURNING last_number;

-- version_add: ?1 project, ?2 number, ?3 kind, ?4 formats, ?5 labels, ?6 examples_hash, ?7 n_examples, ?8 n_cancelled, ?9 n_empty, ?10 n_unknown, ?11 n_overruled, ?12 token_pattern, ?13 logreg_c, ?14 created_s, ?15 train_seconds.
-- Its name follows: it holds the number.
INSERT INTO model_version (project, number, name, kind, formats, labels, examples_hash, n_examples, n_cancelled, n_empty,
                           n_unknown, n_overruled, token_pattern, logreg_c, created_s, train_seconds)
VALUES (?1, ?2, '', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15);

-- version_name: ?1 version, ?2 name.
UPDATE model_version SET name = ?2 WHERE row = ?1;

-- version_select: ?1 project, ?2 version or NULL, ?3 updates_trained or NULL.
UPDATE project SET current_version = ?2, updates_trained = coalesce(?3, updates_trained) WHERE row = ?1;

-- version_metrics: ?1 version, ?2 n_held_out, ?3 accuracy, ?4 macro_f1, ?5 log_loss.
UPDATE model_version SET n_held_out = ?2, accuracy = ?3, macro_f1 = ?4, log_loss = ?5 WHERE row = ?1;

-- version_damaged: ?1 version.
UPDATE model_version SET damaged = 1 WHERE row = ?1;

-- version_list: ?1 project.
SELECT v.row, v.number, v.kind, v.formats, v.labels, v.examples_hash, v.n_examples, v.n_cancelled, v.n_empty, v.n_unknown,
       v.n_overruled, v.token_pattern, v.logreg_c, v.created_s, v.train_seconds, v.n_held_out, v.accuracy, v.macro_f1,
       v.log_loss, v.damaged, EXISTS (SELECT 1 FROM model_part m WHERE m.version = v.row)
  FROM model_version v WHERE v.project = ?1 ORDER BY v.number DESC;

-- part_add: ?1 version, ?2 name, ?3 bytes, ?4 checksum.
INSERT INTO model_part (version, name, bytes, checksum) VALUES (?1, ?2, ?3, ?4);

-- part_get: ?1 version, ?2 name.
SELECT bytes, checksum FROM model_part WHERE version = ?1 AND name = ?2;

-- blocks_add: ?1 version, ?2 name of the part, ?3 its length, ?4 sums.
INSERT INTO model_blocks (version, name, length, sums) VALUES (?1, ?2, ?3, ?4);

-- blocks_get: ?1 version, ?2 name.
SELECT m.rowid, b.length, b.sums
  FROM model_blocks b JOIN model_part m ON m.version = b.version AND m.name = b.name
 WHERE b.version = ?1 AND b.name = ?2;

-- part_prune: ?1 project, ?2 how many of the newest versions keep theirs.
DELETE FROM model_part WHERE version IN (
       SELECT v.row FROM model_version v WHERE v.project = ?1
          AND v.row IS NOT (SELECT current_version FROM project WHERE row = ?1)
        ORDER BY v.number DESC LIMIT -1 OFFSET ?2 - 1);

-- event_prune: ?1 project, ?2 how many of the newest stay, ?3 how many go at most.
-- Who names a deleted one (annotation.event, task.deleted) compares its number alone.
DELETE FROM event WHERE row IN (
       SELECT row FROM event WHERE project = ?1
          AND row <= (SELECT row FROM event WHERE project = ?1 ORDER BY row DESC LIMIT 1 OFFSET ?2)
        ORDER BY row LIMIT ?3);

-- job_prunable: ?1 project, ?2 how many of the newest stay.
-- Up to which row ended jobs may go: the last training that ended stays behind any number of readings.
SELECT min(coalesce((SELECT row FROM train_job WHERE project = ?1 ORDER BY row DESC LIMIT 1 OFFSET ?2), 0),
           coalesce((SELECT row - 1 FROM train_job
                      WHERE project = ?1 AND state NOT IN ('queued', 'running') AND NOT (state = 'done' AND version IS NULL)
                        AND NOT (state = 'skipped' AND reason IN ('connect', 'sync'))
                      ORDER BY row DESC LIMIT 1), 9223372036854775807));

-- job_prune_count: ?1 project, ?2 up to this row, ?3 how many at most.
INSERT INTO train_job_pruned (project, state, jobs)
SELECT ?1, state, count(*) FROM (
       SELECT state FROM train_job
        WHERE project = ?1 AND row <= ?2 AND state NOT IN ('queued', 'running') ORDER BY row LIMIT ?3)
 WHERE true GROUP BY state
    ON CONFLICT (project, state) DO UPDATE SET jobs = jobs + excluded.jobs;

-- job_prune: ?1 project, ?2 up to this row, ?3 how many at most.
DELETE FROM train_job WHERE row IN (
       SELECT row FROM train_job
        WHERE project = ?1 AND row <= ?2 AND state NOT IN ('queued', 'running') ORDER BY row LIMIT ?3);

-- version_prune: ?1 project, ?2 how many of the newest stay, ?3 how many go at most.
-- Never one that has its weights: it may be in force, or what is fallen back to.
DELETE FROM model_version WHERE row IN (
       SELECT v.row FROM model_version v WHERE v.project = ?1
          AND v.number <= (SELECT number FROM model_version WHERE project = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)
          AND v.row IS NOT (SELECT current_version FROM project WHERE row = ?1)
          AND NOT EXISTS (SELECT 1 FROM model_part m WHERE m.version = v.row)
        ORDER BY v.number LIMIT ?3);

-- push_get: ?1 project.
SELECT version, sent_s, sent_task, done_s, gave_way, error FROM push WHERE project = ?1;

-- push_sent: ?1 project, ?2 version, ?3 now_s or NULL, ?4 task or NULL.
INSERT INTO push (project, version, sent_s, sent_task) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (project) DO UPDATE SET version = ?2, sent_s = ?3, sent_task = ?4;

-- push_ended: ?1 project, ?2 done_s or NULL, ?3 1: it gave way, ?4 error or NULL.
INSERT INTO push (project, version, done_s, gave_way, error) VALUES (?1, '', ?2, ?3, ?4)
    ON CONFLICT (project) DO UPDATE SET done_s = ?2, gave_way = CASE WHEN ?3 THEN gave_way + 1 ELSE 0 END, error = ?4;
