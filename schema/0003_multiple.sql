-- choice="multiple": an example may have several labels.

-- 1: any number of its labels may be chosen at once.  Of projects that were there
-- before: as their config says somewhere, until it comes again.
ALTER TABLE project ADD COLUMN multiple INTEGER NOT NULL DEFAULT 0;
UPDATE project SET multiple = 1
 WHERE label_config LIKE '%choice="multiple"%' OR label_config LIKE '%choice=''multiple''%';

-- One line a training example.  Its label: the first choice of the served Choices of
-- each annotation that is not skipped, or where there may be several all of them, as
-- a JSON array; a ground truth in place of the others of its task.  Its text: as it
-- stands in the task, of HyperText with its tags, of Paragraphs the JSON array.
DROP VIEW v_example;
CREATE VIEW v_example AS
WITH taught AS (
SELECT a.*, p.id AS project_id, p.control, p.labels, p.multiple,
       json_extract(t.data, '$."' || p.text_key || '"') AS text
  FROM annotation a
  JOIN project p ON p.row = a.project
  JOIN task t ON t.project = a.project AND t.id = a.task AND t.deleted = 0
 WHERE a.deleted = 0 AND a.was_cancelled = 0
   AND (a.ground_truth = 1 OR NOT EXISTS (SELECT 1 FROM annotation g
         WHERE g.project = a.project AND g.task = a.task AND g.ground_truth = 1
           AND g.deleted = 0 AND g.was_cancelled = 0))),
chosen AS (
SELECT a.*, l.value AS label
  FROM taught a, json_each(a.result) r, json_each(r.value, '$.value.choices') c, json_each(a.labels) l
 WHERE a.multiple = 0
   AND r.key = (SELECT min(q.key) FROM json_each(a.result) q
                 WHERE json_extract(q.value, '$.from_name') = a.control AND json_extract(q.value, '$.type') = 'choices'
                   AND json_array_length(q.value, '$.value.choices') > 0)
   AND c.key = 0 AND l.value = CASE c.type WHEN 'array' THEN json_extract(c.value, '$[#-1]') ELSE c.value END
 UNION ALL
SELECT a.*, (SELECT json_group_array(l.value) FROM json_each(a.labels) l
              WHERE l.value IN (SELECT CASE c.type WHEN 'array' THEN json_extract(c.value, '$[#-1]') ELSE c.value END
                                  FROM json_each(a.result) r, json_each(r.value, '$.value.choices') c
                                 WHERE json_extract(r.value, '$.from_name') = a.control
                                   AND json_extract(r.value, '$.type') = 'choices')) AS label
  FROM taught a
 WHERE a.multiple = 1)
SELECT project_id AS project, task, text, label, completed_by AS annotator,
       datetime(updated_us / 1000000, 'unixepoch') AS "when"
  FROM chosen
 WHERE multiple = 0 OR label <> '[]';
