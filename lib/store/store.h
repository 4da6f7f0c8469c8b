/*
 * store.h - what prelabel keeps, in verbs of its own: no SQL above this header.
 *
 * One `struct store` is one connection and belongs to one thread.  Every write
 * happens between store_begin() (which takes the write lock at once: a read
 * transaction is never upgraded) and store_commit(); store_rollback() may always
 * be called.  No transaction may be open during HTTP or fitting.  An
 * acknowledged commit is on disk (WAL, synchronous=FULL).
 *
 * Errors: ERR_BUSY (locked for longer than the connection waits), ERR_DISK,
 * ERR_MEMORY, ERR_DAMAGED, ERR_STORE.  "Row" numbers are ours, "id" is Label
 * Studio's.  Text results live in the arena that is passed in.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"
#include "base/partial.h"

#include <stdbool.h>
#include <stdint.h>

#define STORE_NULL INT64_MIN      /* an integer that is not known */
#define STORE_FILE "prelabel.sqlite3"
#define LEASE_S 30                /* length of a lease; renew it every third of that */
#define JOB_ATTEMPTS_MAX 5        /* a job that failed so often has failed for good */

struct store;

/* Opens MODEL_DIR/prelabel.sqlite3, makes and migrates it where needed, for its
 * owner alone (0700, 0600).  busy_ms: how long a write waits for another's.
 * A newer store than this program knows is refused, and a network file system.  There
 * are many connections, one a thread of each process, so each keeps little of what it has
 * read (the system keeps it for all); store_keep_more() is for one that reads or writes
 * the store at large. */
int  store_open(struct store **st, const char *model_dir, int busy_ms, struct err *e);
void store_keep_more(struct store *st);

void store_close(struct store *st);           /* NULL allowed */

/* Opened while its disk was mounted read-only, which it no longer is, or somebody has
 * written to it elsewhere: to be opened anew. */
bool store_outdated(const struct store *st);

int  store_begin(struct store *st, struct err *e);          /* for writing */
int  store_begin_read(struct store *st, struct err *e);     /* one unchanging view */
int  store_commit(struct store *st, struct err *e);
void store_rollback(struct store *st);

/* Between two write transactions of which the first held the store so long (0: there was
 * none): one right behind the other leaves nobody else a moment to begin his, and a
 * webhook beside many of them would wait for their end, or be refused. */
void store_leave_turn(double held_s);

/* A transaction could not be ended, memory being out: it goes with store_close(). */
bool store_stuck(const struct store *st);

/* Rows that this connection has written so far: is there anything to commit? */
int64_t store_writes(const struct store *st);

/* A number that is another one after any commit: what was read under it still holds
 * while it is the same.  Of this connection. */
int store_state(struct store *st, int64_t state[2], struct err *e);

/* Bytes on disk, of the database and of its journal. */
void store_sizes(const struct store *st, int64_t *database, int64_t *wal);

/* ---- projects ---------------------------------------------------------- */

struct project {
	int64_t     row, id, created_s;         /* created_s: STORE_NULL, not told yet */
	struct span title, label_config;        /* p NULL: none */
	struct span config_hash;                /* hexadecimal SHA-256 of label_config */
	struct span config_elements;            /* what label_config_record() made of it; p NULL: nothing yet */
	struct span labels;                     /* JSON array of the first Choices' labels */
	struct span extra_params;               /* JSON; what was entered for the backend in Label Studio */
	struct span reason;                     /* why nothing can be predicted or trained */
	struct span words_form;                 /* how the words of its annotations were made (examples.h) */
	int64_t     updates, updates_trained, unread;
	int64_t     webhook_s, fetched_s;       /* STORE_NULL: never */
	int64_t     fetch_ms;                   /* how long the last reading of the export took */
	struct span fetch_error;
	bool        uncertainty;                /* Label Studio's queue is kept in the order of our scores */
	int64_t     api_s;                      /* when Label Studio last answered a call; STORE_NULL: never */
	struct {                                /* the version in force; row 0: cold start */
		int64_t     row, number, n_examples, created_s;
		struct span kind, formats, examples_hash, token_pattern, labels;
		double      logreg_c;
	} version;
};

/* The row of (id, created_s): with STORE_NULL the newest with that id; else that
 * pair, or the row with that id that lacks its seconds.  0; 1 unknown. */
int store_project_find(struct store *st, int64_t id, int64_t created_s, int64_t *row, struct err *e);

/* The same, made where there is none; gives a row that lacks them its seconds. */
int store_project_ensure(struct store *st, int64_t id, int64_t created_s, int64_t *row, struct err *e);

int store_project_get(struct store *st, int64_t row, struct arena *a, struct project *p, struct err *e);

/* Both in one look at the store.  0; 1 unknown. */
int store_project_named(struct store *st, int64_t id, int64_t created_s, struct arena *a, struct project *p,
                        struct err *e);

/* All rows, by id.  *rows from the arena. */
int store_project_rows(struct store *st, struct arena *a, int64_t **rows, size_t *n, struct err *e);

/* NULL control, text_key, labels: the config has no Choices over Text.  multiple: any
 * number of the labels may be chosen. */
int store_project_config(struct store *st, int64_t row, struct span label_config, const char *config_hash,
                         const char *control, const char *text_key, struct span labels,
                         const char *reason, bool multiple, struct span config_elements, struct err *e);
/* p NULL: none. */
int store_project_extra(struct store *st, int64_t row, struct span extra_params, struct err *e);
int store_project_title(struct store *st, int64_t row, struct span title, struct err *e);

/* Is Label Studio's queue kept in the order of our scores (protocol.md 9)? */
int store_project_uncertainty(struct store *st, int64_t row, bool on, struct err *e);

/* Label Studio has answered a call about it. */
int store_project_answered(struct store *st, int64_t row, int64_t now_s, struct err *e);

/* A project and all that is kept of it. */
int store_project_delete(struct store *st, int64_t row, struct err *e);

/* After deletions: gives their space back and leaves no byte of them in file or
 * journal.  ERR_BUSY: some are left in the journal, because another reads. */
int store_compact(struct store *st, struct err *e);

/* What is read next comes from the disk. */
void store_drop_cache(struct store *st);

/* Pages of the file that nothing uses. */
int store_free_pages(struct store *st, int *n, struct err *e);

struct project_counts {
	int64_t annotations, cancelled, tasks;       /* that are not deleted */
};
int store_project_counts(struct store *st, int64_t row, struct project_counts *c, struct err *e);

/* ---- tasks and annotations ---------------------------------------------- */

struct task_row {
	int64_t     id, updated_us;             /* STORE_NULL: not told */
	struct span data;                       /* JSON object */
};
struct annotation_row {
	int64_t     id, task, completed_by, updated_us;      /* the latter two: or STORE_NULL */
	struct span result;                     /* JSON array */
	bool        was_cancelled, ground_truth;
};

/* Begins what follows: an accepted event.  source: "webhook", "export", "import". */
int store_event_add(struct store *st, int64_t project, const char *source, const char *action,
                    int64_t *event, struct err *e);

/* Ends it: `changed` annotation rows changed.  Moves the counter by them;
 * unread: 1 for an event without payload; webhook_s: STORE_NULL for other sources. */
int store_event_end(struct store *st, int64_t project, int64_t event, int64_t changed, int64_t unread,
                    int64_t webhook_s, struct err *e);

/* Takes back one that turned out to change nothing. */
int store_event_drop(struct store *st, int64_t event, struct err *e);

/* The newest number given out. */
int store_event_last(struct store *st, int64_t *event, struct err *e);

/* Upserts: *changed tells whether anything did.  What is not later than what is
 * kept changes nothing; without a time it counts as later unless it is equal; what
 * was deleted stays so.  What an event no later than `revive_until` left gives way,
 * deletions and times included: an export that was read after it has the last word
 * (0: never). */
int store_task_put(struct store *st, int64_t project, const struct task_row *t, int64_t revive_until,
                   bool *changed, struct err *e);
int store_annotation_put(struct store *st, int64_t project, const struct annotation_row *a, int64_t event,
                         int64_t revive_until, bool *changed, struct err *e);

/* Tombstones; *changed counts the annotation rows that were there. */
int store_annotation_delete(struct store *st, int64_t project, int64_t id, int64_t event, int64_t *changed,
                            struct err *e);
int store_task_delete(struct store *st, int64_t project, int64_t id, int64_t event, int64_t *changed,
                      struct err *e);

/* Ids, ascending, of the annotations that an export begun at event `until` should hold. */
int store_annotation_ids(struct store *st, int64_t project, int64_t until, struct arena *a, int64_t **ids,
                         size_t *n, struct err *e);

/* The highest negative id in use, for imports that have none; STORE_NULL: none. */
int store_annotation_least(struct store *st, int64_t project, int64_t *id, struct err *e);

/* Every annotation from `first` to `last` that is not deleted, by ascending id, with its
 * task's data.  With `words` those whose words were kept (store_annotation_words) have
 * them in place of the data, and their label, if one was kept.  Spans are valid during the
 * call, p NULL: none; it returns 0 or -1 (stop, *e set). */
struct labelled_row {
	int64_t     annotation, task, completed_by;
	struct span result, data, words, label;
	bool        was_cancelled, overruled;   /* overruled: another of its task is the ground truth */
};
int store_examples(struct store *st, int64_t project, bool words, int64_t first, int64_t last,
                   int (*each)(void *arg, const struct labelled_row *row, struct err *e), void *arg,
                   struct err *e);

/* What was read of an annotation, p NULL: nothing.  The store forgets it by itself when
 * the annotation or its task changes. */
int store_annotation_words(struct store *st, int64_t project, int64_t id, struct span words, struct span label,
                           struct err *e);

/* How a project's words are made (project.words_form); NULL: they are not to be used. */
int store_project_words(struct store *st, int64_t row, const char *form, struct err *e);

/* ---- jobs --------------------------------------------------------------- */

enum job_state { JOB_NONE, JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_SKIPPED, JOB_FAILED, JOB__MAX };
extern const char *const job_state_names[JOB__MAX];      /* "no", "queued", … */

/* Queues one; where one is queued already it is hurried if a person asks (reason
 * "start" or "command"), takes the place of one that would only read the export
 * ("connect", "sync"), and where one runs another follows it, except for "updates":
 * who publishes or has read looks at the counter anyway.  *job may be NULL. */
int store_job_queue(struct store *st, int64_t project, const char *reason, int64_t now_s, int64_t *job,
                    struct err *e);

/* A person waits for the one that is queued: no back-off, and its attempts count anew. */
int store_job_now(struct store *st, int64_t project, struct err *e);

int store_job_open(struct store *st, int64_t project, enum job_state *state, struct err *e);

/* The same of trainings: a job that only reads the export is none. */
int store_job_training(struct store *st, int64_t project, enum job_state *state, struct err *e);

/* Projects with a job that can be taken now. */
int store_job_due(struct store *st, int64_t now_s, int64_t projects[], size_t max, size_t *n, struct err *e);

/* Projects that Label Studio was never asked about: newly connected. */
int store_job_unasked(struct store *st, int64_t projects[], size_t max, size_t *n, struct err *e);

struct job {
	int64_t        row, attempt, queued_s, started_s, finished_s, version_number;   /* or STORE_NULL */
	enum job_state state;
	struct span    reason, note;
	double         progress;
};
int store_job_get(struct store *st, int64_t row, struct arena *a, struct job *job, struct err *e);     /* 1: none */
int store_job_newest(struct store *st, int64_t *row, struct err *e);                                   /* of all projects; 0: none */
int store_job_last(struct store *st, int64_t project, struct arena *a, struct job *job, struct err *e);

struct lease {
	int64_t project, job, attempt;
	char    owner[33];                      /* random, hexadecimal */
	char    reason[16];
};

/* 0 taken; 1 nothing to take: no job, or another's lease is good. */
int store_lease_take(struct store *st, int64_t project, int64_t now_s, struct lease *lease, struct err *e);

/* ERR_LEASE once it is lost. */
int store_lease_renew(struct store *st, const struct lease *lease, int64_t now_s, double progress, struct err *e);

/* The ways a lease ends, beside publishing. */
int store_lease_return(struct store *st, const struct lease *lease, struct err *e);
int store_lease_retry(struct store *st, const struct lease *lease, int64_t not_before_s, const char *note,
                      struct err *e);
int store_lease_finish(struct store *st, const struct lease *lease, enum job_state state, int64_t now_s,
                       const char *note, struct err *e);

/* ---- versions ----------------------------------------------------------- */

struct version {
	int64_t     row, number, n_examples, n_cancelled, n_empty, n_unknown, n_overruled, created_s;
	struct span kind, formats, labels, examples_hash, token_pattern;
	double      logreg_c, train_seconds;
	int64_t     n_held_out;                 /* STORE_NULL: no metrics */
	double      accuracy, macro_f1, log_loss;
	bool        damaged, has_parts;
};

struct version_part {
	const char *name;
	struct span bytes;
};

/* In the caller's transaction: the lease is checked, the version and its parts
 * stored, put in force, the job done, the next one queued where one is due
 * (updates - updates_trained >= train_every, or asked for), and the parts of all
 * but the `keep` newest versions deleted.  Sets v->row and v->number. */
int store_version_publish(struct store *st, const struct lease *lease, struct version *v,
                          const struct version_part parts[], size_t n_parts, int64_t updates_trained,
                          int64_t train_every, int64_t keep, struct err *e);

/* The name it is published under, in the same transaction. */
int store_version_name(struct store *st, int64_t version, const char *name, struct err *e);

int store_version_metrics(struct store *st, int64_t version, int64_t n_held_out, double accuracy,
                          double macro_f1, double log_loss, struct err *e);

/* Newest first.  *list from the arena. */
int store_version_list(struct store *st, int64_t project, struct arena *a, struct version **list, size_t *n,
                       struct err *e);

/* Puts a version in force; 0: cold start. */
int store_version_select(struct store *st, int64_t project, int64_t version, struct err *e);

/* It is not served again. */
int store_version_damaged(struct store *st, int64_t version, struct err *e);

/* A part whose checksum is right, on the heap: free *bytes.p with free().
 * 1: there is none; ERR_DAMAGED. */
int store_part(struct store *st, int64_t version, const char *name, struct span *bytes, struct err *e);

/* The same part, not read: partial_need() reads what is asked for, and checks it.
 * 1: there is none, or its blocks have no checksums, or had others (before schema 11).  It holds a read
 * transaction until store_part_close(), which comes before store_close(). */
int  store_part_open(struct store *st, int64_t version, const char *name, struct partial **part, struct err *e);
void store_part_close(struct partial *part);     /* NULL allowed */

/* ---- all projects at once -------------------------------------------------- */

struct store_report {
	struct project project;                 /* spans valid during the call; without title, reason, … */
	bool           has_accuracy, has_trained;
	double         accuracy;                /* of the version in force */
	double         train_seconds;           /* of the last training that published */
	int64_t        last_event;              /* 0: none.  Whoever changes rows leaves a higher one */
	int64_t        jobs[JOB__MAX];          /* by state */
};

/* Each project, by row, in the caller's transaction; each() returns 0 or -1 (stop,
 * *e set). */
int store_report(struct store *st, int (*each)(void *arg, const struct store_report *r, struct err *e), void *arg,
                 struct err *e);

/* ---- what lies back --------------------------------------------------------- */

/* Deletes of a project what lies further back than its `keep` newest events, ended
 * jobs and versions without weights, the oldest first and at most `most` rows of each;
 * *deleted: rows.  What is in force, open, or fallen back to stays, and all numbers
 * and counters go on.  In the caller's transaction. */
int store_history_prune(struct store *st, int64_t project, int64_t keep, int64_t most, int64_t *deleted,
                        struct err *e);

/* ---- what a reconciliation with Label Studio leaves ------------------------ */

/* unread: its value when the reading began. */
int store_fetched(struct store *st, int64_t project, int64_t now_s, int64_t unread, int64_t ms, struct err *e);
int store_fetch_failed(struct store *st, int64_t project, const char *reason, struct err *e);

/* ---- what was written to Label Studio -------------------------------------- */

struct push_row {
	struct span version, error;             /* error p NULL: the last attempt did not fail */
	int64_t     sent_s, sent_task;          /* a request whose answer has not come; STORE_NULL: none is out */
	int64_t     done_s;                     /* STORE_NULL: not every open task has one of the version */
	int64_t     gave_way;                   /* times in a row that a waiting training cut it short */
};
int store_push_get(struct store *st, int64_t project, struct arena *a, struct push_row *p, struct err *e);     /* 1: none */

/* Each in a transaction of its own.  A request that ends with `task` is about to be
 * sent; task STORE_NULL: it was answered. */
int store_push_sent(struct store *st, int64_t project, const char *version, int64_t task, int64_t now_s, struct err *e);

/* done_s: STORE_NULL, it did not come to its end; error: NULL for none. */
int store_push_ended(struct store *st, int64_t project, int64_t done_s, bool gave_way, const char *error, struct err *e);

#endif
