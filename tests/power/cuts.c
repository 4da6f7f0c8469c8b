/*
 * cuts.c - R1: the power goes at each call to the disk; what was acknowledged is there, once.
 *
 * A history of requests, trainings and forgetting is done once, while every call to the disk
 * is written down, with the state of the store at each acknowledgement.  Then the disk is
 * made again as a cut after each call leaves it, and opened by store_open(): it has the state
 * of the last acknowledgement, or that of the step which was under way.  Nothing between.
 */
#include "world.h"

#include "disk.h"
#include "event.h"
#include "serving.h"
#include "setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 200
#define PROJECTS  2

struct step {
	size_t       mark;                             /* calls recorded when it was acknowledged */
	struct state state;
	char         version[PROJECTS][VERSION_TEXT_MAX];
	const char  *what;
};

struct history {
	struct step     step[STEPS_MAX];
	size_t          n;
	uint64_t        random;
	struct context *worker, *reader;
	struct store   *view;                          /* a reader that holds its view for some steps; NULL */
	int             used[PROJECTS + 1];            /* annotations made so far */
	int             version;
	bool            broken;
};

/* A journal of few pages between checkpoints, so that a short history has many. */
static int few_pages(sqlite3 *db, const char **message, const void *api)
{
	(void)message, (void)api;
	sqlite3_wal_autocheckpoint(db, 30);
	return SQLITE_OK;
}

static void note(struct history *h, const char *what)
{
	struct step *s = &h->step[h->n];

	s->what = what;
	s->mark = disk_recorded();
	if (!quiet(state_read(&s->state), "cuts: the state after a step can be read", "%s", what))
		h->broken = true;
	for (int p = 0; p < PROJECTS; p++)
		(void)ask_predict(h->reader, p + 1, s->version[p]);
	h->n++;
}

static void step(struct history *h, const char *what, handler *do_it, const char *body)
{
	struct answer a = ask(h->worker, do_it, body);

	if (!quiet(a.status >= 200 && a.status <= 202, "cuts: the history is answered", "%s: %d %s", what, a.status, a.e.msg))
		h->broken = true;
	note(h, what);
}

/* ---- the history ------------------------------------------------------------------- */

static void annotate(struct history *h, int project, int draw)
{
	char body[BODY_MAX];
	int  id = draw < 45 || h->used[project] == 0 ? ++h->used[project] : 1 + (int)(random_next(&h->random) % (uint64_t)h->used[project]);

	if (draw < 45)
		body_annotation(body, "ANNOTATION_CREATED", project, id, id, 1, random_next(&h->random) % 8 == 0 ? 900 : 9);
	else if (draw < 60)
		body_annotation(body, "ANNOTATION_UPDATED", project, id, id, ++h->version, 9);
	else if (draw < 75)
		body_annotation(body, "ANNOTATION_CREATED", project, id, id, 1, 9);      /* a replay */
	else
		body_delete(body, draw < 82 ? "ANNOTATIONS_DELETED" : "TASKS_DELETED", project, id);
	step(h, draw < 45 ? "create" : draw < 60 ? "update" : draw < 75 ? "replay" : "delete", event_webhook, body);
}

static void train(struct history *h, int project)
{
	struct train_result result;
	struct err          e = { 0 };
	char                body[BODY_MAX];

	body_start(body, project);
	step(h, "start training", event_webhook, body);
	if (!quiet(run_trainer(project, &result, &e) == 0, "cuts: a training of the history", "%s", e.msg))
		h->broken = true;
	note(h, "train");
}

static void restart(struct history *h)
{
	struct store *st;

	if (h->view != NULL)
		store_rollback(h->view);
	store_close(h->view);
	h->view = NULL;
	backend_close(h->worker);
	backend_close(h->reader);
	h->worker = backend_open();
	h->reader = backend_open();
	if (!quiet(context_store(h->worker, &st, NULL) == 0, "cuts: the store is opened again", "-"))
		h->broken = true;
	note(h, "restart");
}

/* A reader that holds its view keeps checkpoints from coming to their end. */
static void look_on(struct history *h)
{
	int64_t event;

	if (h->view != NULL) {
		store_rollback(h->view);
		store_close(h->view);
		h->view = NULL;
	} else if (store_open(&h->view, world_dir, 50, NULL) < 0 || store_begin_read(h->view, NULL) < 0 ||
	           store_event_last(h->view, &event, NULL) < 0) {
		h->broken = true;
	}
}

static void forget(struct history *h)
{
	struct err e = { 0 };

	if (ask_predict(h->reader, 2, h->step[h->n].version[1]).status != 200 || h->used[2] == 0)
		return;
	if (!quiet(run_forget(2, &e) == 0, "cuts: a project of the history is forgotten", "%s", e.msg))
		h->broken = true;
	h->used[2] = 0;
	note(h, "forget");
}

static void any_step(struct history *h)
{
	int  draw = (int)(random_next(&h->random) % 100), project = random_next(&h->random) % 3 == 0 ? 2 : 1;
	char body[BODY_MAX];

	now_s += 1 + (int64_t)(random_next(&h->random) % 5);
	if (draw < 84) {
		annotate(h, project, draw);
	} else if (draw < 87) {
		body_setup(body, project, 2, (int)h->n);
		step(h, "setup", setup_project, body);
	} else if (draw < 90) {
		body_config(body, project, 2 + (int)(random_next(&h->random) % 2));
		step(h, "new labels", event_webhook, body);
	} else if (draw < 94) {
		train(h, 1);
	} else if (draw < 96) {
		restart(h);
	} else if (draw < 98) {
		look_on(h);
	} else {
		forget(h);
	}
}

static void record_history(struct history *h, size_t steps, uint64_t seed)
{
	struct store *st;
	char          body[BODY_MAX];

	*h = (struct history){ .random = seed, .worker = backend_open(), .reader = backend_open() };
	serving_clear();
	now_s = 1790000000;
	disk_put(NULL);
	disk_record(true);
	h->broken = context_store(h->worker, &st, NULL) < 0;
	note(h, "open");
	for (int p = 1; p <= PROJECTS; p++) {
		body_setup(body, p, 2, 0);
		step(h, "setup", setup_project, body);
	}
	while (h->n < steps && !h->broken) {
		if (h->n == steps / 2)
			train(h, 1);
		else if (h->n == steps * 3 / 4)
			forget(h);
		any_step(h);
	}
	disk_record(false);
	store_close(h->view);
	backend_close(h->worker);
	backend_close(h->reader);
}

/* ---- one cut -------------------------------------------------------------------------- */

static const char *const how_names[CUT__MAX] = { "killed", "unsynced dropped", "unsynced mixed" };

static const struct step *state_of(const struct history *h, size_t acked, size_t n, const struct state *s)
{
	if (state_same(s, &h->step[acked].state))
		return &h->step[acked];
	if (n > h->step[acked].mark && acked + 1 < h->n && state_same(s, &h->step[acked + 1].state))
		return &h->step[acked + 1];
	return NULL;
}

/* What it is instead: nothing is told of a state but whether a step ever had it. */
static const char *known_as(const struct history *h, const struct state *s, char out[64])
{
	snprintf(out, 64, "none that was ever acknowledged");
	for (size_t i = 0; i < h->n; i++)
		if (state_same(s, &h->step[i].state))
			snprintf(out, 64, "that of step %zu", i);
	return out;
}

static void goes_on(struct context *c, const struct step *was)
{
	char          body[BODY_MAX], version[VERSION_TEXT_MAX];
	struct answer a;

	for (int p = 0; p < PROJECTS; p++) {
		a = ask_predict(c, p + 1, version);
		quiet(a.status == 200 && strcmp(version, was->version[p]) == 0, "cuts: the model in force is whole, and that of its state",
		      "%d %s: %s, %s was expected", a.status, a.e.msg, version, was->version[p]);
	}
	body_annotation(body, "ANNOTATION_CREATED", 1, 5000, 5000, 1, 9);
	a = ask(c, event_webhook, body);
	quiet(a.status == 201, "cuts: the next event is taken", "%d %s", a.status, a.e.msg);
}

static void check_cut(const struct history *h, size_t n, enum disk_cut how, uint64_t seed)
{
	struct context    *c = backend_open();
	struct store      *st;
	struct state       s;
	struct err         e = { 0 };
	const struct step *was;
	const char        *wrong;
	size_t             acked = h->n;
	char               other[64];

	disk_cut(n, how, seed);
	serving_clear();
	while (acked > 0 && h->step[acked - 1].mark > n)
		acked--;
	if (quiet(context_store(c, &st, &e) == 0, "cuts: the store opens", "call %zu, %s, seed %llu: %s", n, how_names[how],
	          (unsigned long long)seed, e.msg)) {
		wrong = state_wrong();
		quiet(wrong[0] == '\0', "cuts: the store is whole", "call %zu, %s, seed %llu: %s", n, how_names[how],
		      (unsigned long long)seed, wrong);
		if (acked > 0 && state_read(&s)) {
			was = state_of(h, acked - 1, n, &s);
			quiet(was != NULL, "cuts: what was acknowledged is there, once, and nothing half done",
			      "call %zu, %s, seed %llu: after \"%s\" (step %zu), before \"%s\": the state is %s", n, how_names[how],
			      (unsigned long long)seed, h->step[acked - 1].what, acked - 1,
			      acked < h->n ? h->step[acked].what : "the end", known_as(h, &s, other));
			if (was != NULL)
				goes_on(c, was);
		}
	}
	backend_close(c);
}

/* ---- all of them ----------------------------------------------------------------------- */

static size_t cut_one_history(size_t steps, size_t points, uint64_t seed)
{
	struct history *h = calloc(1, sizeof *h);
	uint64_t        random = seed;
	size_t          calls, done = 0;

	if (h == NULL)
		abort();
	record_history(h, steps, seed);
	calls = disk_recorded();
	for (size_t n = 1; n <= calls && !h->broken; n++) {
		size_t left = calls - n + 1;

		/* As many as were asked for, at random; of more than there are calls, several a call. */
		for (size_t want = (points - done + random_next(&random) % left) / left; want > 0; want--, done++)
			check_cut(h, n, random_next(&random) % 5 == 0 ? CUT_KILL : random_next(&random) % 4 == 0 ? CUT_DROP : CUT_MIX,
			          random_next(&random));
	}
	printf("#    power cuts, seed %llu: %zu points in a history of %zu steps and %zu calls to the disk\n",
	       (unsigned long long)seed, done, h->n, calls);
	disk_forget();
	free(h);
	return done;
}

void check_cuts(void)
{
	size_t want = world_long ? 6000 : 240, done = 0;

	sqlite3_auto_extension((void (*)(void))few_pages);
	for (uint64_t seed = world_seed; done < want; seed++) {
		size_t some = cut_one_history(world_long ? 160 : 60, world_long ? 2000 : 120, seed);

		if (some == 0)
			break;
		done += some;
	}
	sqlite3_cancel_auto_extension((void (*)(void))few_pages);
	check(done >= (world_long ? 2000u : 200u), "cuts: as many as promised", "%zu", done);
}
