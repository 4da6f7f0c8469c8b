/*
 * trainers.c - R5: a trainer may die at any call to the disk, lose its lease while it computes,
 * and see the clock step by a day: the job is done within the lease and ten seconds, and no
 * job is published twice.
 */
#include "world.h"

#include "disk.h"
#include "event.h"
#include "serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_S (LEASE_S + 10)

static struct disk *queued(char reference[VERSION_TEXT_MAX])
{
	struct context     *c;
	struct train_result result = { .state = JOB_NONE };
	struct err          e = { 0 };
	struct disk        *d;
	char                body[BODY_MAX];
	bool                good = true;

	now_s = 1790000000;
	disk_put(NULL);
	c = backend_open();
	for (int i = 1; i <= 20; i++) {
		body_annotation(body, "ANNOTATION_CREATED", 1, i, i, 1, 12);
		good = good && ask(c, event_webhook, body).status == 201;
	}
	body_start(body, 1);
	good = good && ask(c, event_webhook, body).status == 201;
	backend_close(c);
	d = disk_copy();
	good = good && run_trainer(1, &result, &e) == 0 && result.state == JOB_DONE;
	snprintf(reference, VERSION_TEXT_MAX, "%s", result.version);
	check(good, "trainers: a training to begin with", "%s", e.msg);
	return d;
}

/* The next trainer comes when the lease of the dead one must have ended: all is done, once. */
static void finish(const char *reference, const char *what, size_t at)
{
	struct train_result result = { .state = JOB_NONE };
	struct err          e = { 0 };
	struct context     *c = backend_open();
	char                version[VERSION_TEXT_MAX];
	const char         *wrong;

	serving_clear();
	quiet(run_trainer(1, &result, &e) == 0, "trainers: the next trainer takes over", "%s %zu: %s", what, at, e.msg);
	wrong = state_wrong();
	quiet(wrong[0] == '\0', "trainers: the store is whole", "%s %zu: %s", what, at, wrong);
	quiet(look_int("SELECT count(*) FROM train_job WHERE state <> 'done'") == 0, "trainers: the job is done", "%s %zu", what, at);
	quiet(look_int("SELECT count(*) FROM model_version") == 1, "trainers: one version, once", "%s %zu", what, at);
	(void)ask_predict(c, 1, version);
	quiet(strcmp(version, reference) == 0, "trainers: the version of an undisturbed training", "%s %zu: %s, not %s", what, at,
	      version, reference);
	backend_close(c);
}

/* ---- killed at each call to the disk --------------------------------------------------------- */

static size_t killed(const struct disk *start, const char *reference, int64_t step_s)
{
	struct train_result result;
	struct err          e = { 0 };
	size_t              calls;

	now_s = 1790000000;
	disk_put(start);
	disk_record(true);
	quiet(run_trainer(1, &result, &e) == 0, "trainers: undisturbed", "%s", e.msg);
	disk_record(false);
	calls = disk_recorded();
	for (size_t n = 0; n <= calls; n++) {
		now_s = 1790000000 + (step_s == 0 ? PATIENCE_S : step_s);
		disk_cut(n, CUT_KILL, 1);
		finish(reference, step_s == 0 ? "killed at call" : step_s > 0 ? "killed, the clock a day ahead, at call"
		       : "killed, the clock a day back, at call", n);
	}
	disk_forget();
	return calls + 1;
}

/* ---- overtaken while it computes --------------------------------------------------------------- */

static struct {
	size_t  at, seen;        /* overtaken in this call of show() */
	int64_t step_s;
	bool    took;
} other;

/* Each time that a trainer says how far it is, is a point where it may be held up. */
static void held_up(void *arg, const char *what, double share)
{
	struct train_result result = { .state = JOB_NONE };
	struct err          e = { 0 };

	(void)arg, (void)what, (void)share;
	if (++other.seen != other.at)
		return;
	now_s += other.step_s;
	quiet(run_trainer(1, &result, &e) == 0, "trainers: another looks meanwhile", "%s", e.msg);
	other.took = result.state == JOB_DONE;
}

static int slow_trainer(struct train_result *result, struct err *e)
{
	struct train_options opt = { .show = held_up };
	struct store        *st;
	int64_t              row;
	int                  rc;

	if (store_open(&st, world_dir, 50, e) < 0)
		return -1;
	rc = store_project_find(st, 1, STORE_NULL, &row, e);
	if (rc == 0)
		rc = train_run(st, &world_env, row, &opt, result, e);
	store_close(st);
	return rc;
}

/* step_s: beyond the lease another takes the job and the slow one publishes nothing;
 * within, the other finds nothing to take. */
static size_t overtaken(const struct disk *start, const char *reference, int64_t step_s, bool must_take)
{
	size_t n = 0, took = 0;

	other.step_s = step_s;
	for (other.at = 1; other.at < 10000; other.at++) {
		struct train_result result = { .state = JOB_NONE };
		struct err          e = { 0 };

		now_s = 1790000000;
		disk_put(start);
		serving_clear();
		other.seen = 0;
		other.took = false;
		(void)slow_trainer(&result, &e);
		if (other.seen < other.at)
			break;
		/* Both at once, or one after the other is published: only the first is overtaking. */
		took += other.took;
		quiet(!other.took || result.state != JOB_DONE, "trainers: who lost the lease publishes nothing", "step %lld s, point %zu",
		      (long long)step_s, other.at);
		now_s += PATIENCE_S;
		finish(reference, "overtaken at point", other.at);
		n++;
	}
	check(must_take ? took > 0 : took == 0, must_take ? "trainers: a lease that has ended is taken" : "trainers: a good lease is not taken",
	      "step %lld s: %zu of %zu", (long long)step_s, took, n);
	return n;
}

void check_trainers(void)
{
	char         reference[VERSION_TEXT_MAX];
	struct disk *start = queued(reference);
	size_t       kills, held;

	kills = killed(start, reference, 0) + killed(start, reference, 86400) + killed(start, reference, -86400);
	held = overtaken(start, reference, LEASE_S + 1, true) + overtaken(start, reference, 86400, true) +
	       overtaken(start, reference, -86400, true) + overtaken(start, reference, LEASE_S - 1, false);
	disk_free(start);
	serving_clear();
	printf("#    trainers: killed at %zu points, held up at %zu\n", kills, held);
	check(kills >= 100 && held > 40, "trainers: as many points as promised", "%zu %zu", kills, held);
}
