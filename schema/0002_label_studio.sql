-- What `prelabel connect` asked for, when Label Studio was last heard, and one place
-- that says which version is in force.

ALTER TABLE project ADD COLUMN uncertainty INTEGER NOT NULL DEFAULT 0; -- 1: Label Studio's queue is kept in the order of our scores
ALTER TABLE project ADD COLUMN api_s INTEGER; -- when Label Studio last answered a call about it; NULL: never

-- The version in force: the current one, or where that is damaged the newest before
-- it that is whole.
CREATE VIEW v_in_force AS
SELECT p.row AS project,
       (SELECT w.row FROM model_version w
         WHERE w.project = p.row AND w.damaged = 0
           AND w.number <= (SELECT c.number FROM model_version c WHERE c.row = p.current_version)
           AND (w.row = p.current_version OR EXISTS (SELECT 1 FROM model_part m WHERE m.version = w.row))
         ORDER BY w.number DESC LIMIT 1) AS version
  FROM project p;

DROP VIEW v_project;
-- One line a project.
CREATE VIEW v_project AS
SELECT p.id AS project, datetime(p.created_s, 'unixepoch') AS created, p.title, p.labels, p.reason,
       p.updates - p.updates_trained AS counter,
       (SELECT count(*) FROM annotation a WHERE a.project = p.row AND a.deleted = 0) AS annotations,
       coalesce(v.name, 'cold start') AS version, v.n_examples AS examples, v.accuracy,
       (SELECT state FROM train_job j WHERE j.project = p.row ORDER BY j.row DESC LIMIT 1) AS last_job,
       (SELECT note FROM train_job j WHERE j.project = p.row ORDER BY j.row DESC LIMIT 1) AS note,
       datetime(p.webhook_s, 'unixepoch') AS last_webhook, datetime(p.api_s, 'unixepoch') AS last_answer
  FROM project p JOIN v_in_force f ON f.project = p.row LEFT JOIN model_version v ON v.row = f.version;
