/*
 * world.h - what the checks of tests/power have in common: a backend of request handlers on
 * the disk of disk.h, a clock that is set by hand, and what there is to say about a store.
 */
#ifndef POWER_WORLD_H
#define POWER_WORLD_H

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "context.h"
#include "train.h"
#include "web/serve.h"

#include <sqlite3.h>

extern char       world_dir[];                 /* where store_open() makes its empty file */
extern struct env world_env;
extern uint64_t   world_seed;
extern bool       world_long;

void world_open(void);
void world_close(void);

/* One line of the report; returns good. */
bool check(bool good, const char *name, const char *detail, ...) __attribute__((format(printf, 3, 4)));
/* The same, counted alone, and printed where it fails: the first few of many. */
bool quiet(bool good, const char *name, const char *detail, ...) __attribute__((format(printf, 3, 4)));
int  report(void);                             /* prints the sums; the exit status */

/* The clock that lib reads (the program is linked with --wrap=clock_gettime): stands still
 * at now_s where it is set, goes on as the real one where it is 0. */
extern int64_t now_s;

/* ---- requests ------------------------------------------------------------------------ */

typedef int handler(struct request *req, struct reply *reply, struct err *e);

/* A process of the backend: a store connection of its own. */
struct context *backend_open(void);
void            backend_close(struct context *c);

struct answer {
	int         status;                    /* as HTTP would have it */
	struct err  e;
	char        body[512];                 /* its beginning */
	bool        starts_trainer;
};
struct answer ask(struct context *c, handler *h, const char *body);

/* What /predict says to one text: the model_version in version[], "" if there is none. */
struct answer ask_predict(struct context *c, int project, char version[VERSION_TEXT_MAX]);

/* The bodies of requests.  labels: 2 or 3. */
#define BODY_MAX 16384
void body_setup(char out[BODY_MAX], int project, int labels, int extra);
void body_annotation(char out[BODY_MAX], const char *action, int project, int id, int task, int version, int words);
void body_delete(char out[BODY_MAX], const char *action, int project, int id);
void body_start(char out[BODY_MAX], int project);
void body_config(char out[BODY_MAX], int project, int labels);
void body_train(char out[BODY_MAX], int project, int first, int n);

/* What `prelabel train --queued` and `prelabel forget` do of one project. */
int run_trainer(int project, struct train_result *result, struct err *e);
int run_forget(int project, struct err *e);

/* ---- states -------------------------------------------------------------------------- */

struct state {
	uint64_t content;     /* tasks, annotations, counters, labels */
	uint64_t events;      /* the same, with each event and job by its number */
	uint64_t model;       /* versions, parts, what is in force and trained, which jobs are open */
};
bool state_same(const struct state *a, const struct state *b);

/* A connection of our own to what is on the disk; NULL: it can't be opened. */
sqlite3 *look(void);
bool     state_read(struct state *s);
/* integrity_check, foreign keys, the counter equal to the changes, no model without parts,
 * no words but those of the texts; "" or what is wrong. */
const char *state_wrong(void);
int64_t     look_int(const char *sql);         /* -1: no answer */

/* ---- the parts ----------------------------------------------------------------------- */

void check_cuts(void);
void check_migrations(void);
void check_faults(void);
void check_orders(void);
void check_trainers(void);
void check_damage(void);

#endif
