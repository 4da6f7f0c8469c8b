-- The views of before, in fewer words: each connection holds them parsed, of which there
-- is one a thread, and a plain CGI process reads them for its one answer.

DROP VIEW v_project;
-- One line a project.
CREATE VIEW v_project AS
SELECT p.id AS project, datetime(p.created_s, 'unixepoch') AS created, p.title, p.labels, p.reason,
       p.updates - p.updates_trained AS counter,
       (SELECT count(*) FROM annotation WHERE project = p.row AND deleted = 0) AS annotations,
       coalesce(v.name, 'cold start') AS version, v.n_examples AS examples, v.accuracy, j.state AS last_job, j.note,
       datetime(p.webhook_s, 'unixepoch') AS last_webhook, datetime(p.api_s, 'unixepoch') AS last_answer
  FROM project p JOIN v_in_force f ON f.project = p.row LEFT JOIN model_version v ON v.row = f.version
  LEFT JOIN train_job j ON j.row = (SELECT max(row) FROM train_job WHERE project = p.row);

DROP VIEW v_example;
-- One line a training example.  Its label: the first choice of the served Choices of
-- each annotation that is not skipped, or where there may be several all of them, as
-- a JSON array; a ground truth in place of the others of its task.  Its text: as it
-- stands in the task, of HyperText with its tags, of Paragraphs the JSON array.
CREATE VIEW v_example AS
SELECT * FROM (
SELECT p.id AS project, task, json_extract(data, '$."' || text_key || '"') AS text,
       (SELECT CASE multiple WHEN 1 THEN nullif(json_group_array(l.value), '[]') ELSE l.value END
          FROM json_each(labels) l
         WHERE l.value IN (SELECT CASE c.type WHEN 'array' THEN json_extract(c.value, '$[#-1]') ELSE c.value END
                             FROM json_each(result) r, json_each(r.value, '$.value.choices') c
                            WHERE json_extract(r.value, '$.from_name') = control
                              AND json_extract(r.value, '$.type') = 'choices'
                              AND (multiple OR c.key = 0 AND NOT EXISTS (
                                   SELECT 1 FROM json_each(result) q
                                    WHERE q.key < r.key AND json_type(q.value, '$.value.choices[0]') NOT NULL
                                      AND json_extract(q.value, '$.from_name') = control AND json_extract(q.value, '$.type') = 'choices')))) AS label,
       completed_by AS annotator, datetime(a.updated_us / 1000000, 'unixepoch') AS "when"
  FROM annotation a JOIN project p ON p.row = a.project JOIN task t ON t.project = p.row AND t.id = task
 WHERE a.deleted + was_cancelled + t.deleted = 0
   AND (ground_truth OR NOT EXISTS (SELECT 1 FROM annotation g
         WHERE g.project = p.row AND g.task = a.task AND g.ground_truth AND NOT g.deleted AND NOT g.was_cancelled)))
 WHERE label NOT NULL;
