/*
 * orders.c - R2: events in every order, and again, end in the same state; each change counts once.
 */
#include "world.h"

#include "disk.h"
#include "event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANNOTATIONS 24
#define TASKS       8
#define LATEST      3          /* version of an annotation */

/* What Label Studio's state is, as far as the events that came can say. */
struct model {
	struct {
		int  version;          /* 0: never seen */
		bool deleted;
	} annotation[ANNOTATIONS + 1];
	bool task_deleted[TASKS + 1];
	int  counter;
};

static int task_of(int id)
{
	return 1 + id % TASKS;
}

static int put(struct model *m, int id, int version)
{
	if (m->task_deleted[task_of(id)] || m->annotation[id].deleted || version <= m->annotation[id].version)
		return 0;
	m->annotation[id].version = version;
	return 1;
}

static int drop(struct model *m, int id)
{
	int changed = m->annotation[id].version > 0 && !m->annotation[id].deleted;

	m->annotation[id].deleted = true;
	return changed;
}

static int drop_task(struct model *m, int task)
{
	int changed = 0;

	m->task_deleted[task] = true;
	for (int id = 1; id <= ANNOTATIONS; id++)
		if (task_of(id) == task && m->annotation[id].version > 0)
			changed += drop(m, id);
	return changed;
}

enum kind { CREATE, UPDATE, LATER, DELETE, DELETE_TASK };

/* One event sent, and what the model says must come of it: an answer of 201 where something changed. */
static bool send(struct context *c, struct model *m, enum kind kind, int id)
{
	static const char *const actions[] = {
		"ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_DELETED",
	};
	char          body[BODY_MAX];
	struct answer a;
	int           changed;

	if (kind <= LATER) {
		body_annotation(body, actions[kind], 1, id, task_of(id), (int)kind + 1, 9);
		changed = put(m, id, (int)kind + 1);
	} else {
		body_delete(body, actions[kind], 1, kind == DELETE ? id : task_of(id));
		changed = kind == DELETE ? drop(m, id) : drop_task(m, task_of(id));
	}
	m->counter += changed;
	a = ask(c, event_webhook, body);
	return a.status == (changed > 0 || kind == DELETE_TASK ? 201 : 200) || (a.status == 201 && m->counter <= 1);
}

/* Annotation by annotation: what is there, in which version, and the counter. */
static bool agrees(const struct model *m, char why[160])
{
	sqlite3      *db = look();
	sqlite3_stmt *s;
	int           there = 0, expected = 0;
	bool          good = db != NULL && sqlite3_prepare_v2(db, "SELECT id, updated_us / 1000000 % 60, task FROM annotation WHERE deleted = 0 "
	                                                      "ORDER BY id", -1, &s, NULL) == SQLITE_OK;

	snprintf(why, 160, "the store can't be read");
	for (int id = 1; id <= ANNOTATIONS; id++)
		expected += m->annotation[id].version > 0 && !m->annotation[id].deleted;
	while (good && sqlite3_step(s) == SQLITE_ROW) {
		int id = sqlite3_column_int(s, 0), version = sqlite3_column_int(s, 1);

		there++;
		good = !m->annotation[id].deleted && m->annotation[id].version == version && sqlite3_column_int(s, 2) == task_of(id);
		snprintf(why, 160, "annotation %d is there in version %d, %d was expected%s", id, version, m->annotation[id].version,
		         m->annotation[id].deleted ? ", deleted" : "");
	}
	if (db != NULL)
		sqlite3_finalize(s);
	sqlite3_close(db);
	if (good && there != expected) {
		snprintf(why, 160, "%d annotations are there, %d were expected", there, expected);
		return false;
	}
	if (good && look_int("SELECT updates FROM project WHERE id = 1") != m->counter) {
		snprintf(why, 160, "the counter is %lld, %d was expected", (long long)look_int("SELECT updates FROM project"), m->counter);
		return false;
	}
	return good && state_wrong()[0] == '\0';
}

static const struct disk *empty(void)
{
	static struct disk *d;
	struct context     *c;
	char                body[BODY_MAX];

	if (d != NULL)
		return d;
	disk_put(NULL);
	c = backend_open();
	body_config(body, 1, 2);
	(void)ask(c, event_webhook, body);
	backend_close(c);
	return d = disk_copy();
}

/* ---- every order --------------------------------------------------------------------------- */

static void one_order(const enum kind order[], size_t n)
{
	struct model    m = { .counter = 0 };
	struct context *c = backend_open();
	bool            answered = true, deleted = false, created = false;
	char            why[160], text[64] = "";
	int             latest = 0;

	disk_put(empty());
	for (size_t i = 0; i < n; i++) {
		snprintf(text + strlen(text), sizeof text - strlen(text), "%d", (int)order[i]);
		answered = send(c, &m, order[i], 1) && answered;
		deleted |= order[i] == DELETE;
		created |= order[i] <= LATER;
		if (order[i] <= LATER && (int)order[i] + 1 > latest)
			latest = (int)order[i] + 1;
	}
	quiet(agrees(&m, why) && answered, "orders: every order of create, update, delete and their repetition ends as updated_at says",
	      "order %s: %s", text, answered ? why : "an answer");
	/* Said once more without the model: deleted, or the latest. */
	quiet(look_int("SELECT coalesce(max(updated_us / 1000000 % 60), 0) FROM annotation WHERE deleted = 0") ==
	      (deleted || !created ? 0 : latest), "orders: deleted is deleted, else the latest is there", "order %s", text);
	backend_close(c);
}

static size_t orders_of(enum kind order[], size_t n, size_t fixed)
{
	size_t made = 0;

	if (fixed == n) {
		one_order(order, n);
		return 1;
	}
	for (size_t i = fixed; i < n; i++) {
		enum kind swapped = order[i];
		bool      seen = false;

		for (size_t k = fixed; k < i; k++)
			seen |= order[k] == swapped;
		if (seen)
			continue;
		order[i] = order[fixed];
		order[fixed] = swapped;
		made += orders_of(order, n, fixed + 1);
		order[fixed] = order[i];
		order[i] = swapped;
	}
	return made;
}

/* ---- random histories ------------------------------------------------------------------------ */

struct sent {
	enum kind kind;
	int       id;
};

static void one_history(uint64_t seed, size_t events)
{
	struct model    m = { .counter = 0 };
	struct context *c = backend_open();
	struct sent    *sent = calloc(events, sizeof *sent);
	uint64_t        random = seed;
	size_t          n;
	bool            good = sent != NULL;
	char            why[160] = "";

	disk_put(empty());
	for (n = 0; n < events && good; n++) {
		uint64_t draw = random_next(&random) % 1000;

		if (n > 0 && draw < 300)         /* again, of whatever was sent before */
			sent[n] = sent[random_next(&random) % n];
		else
			sent[n] = (struct sent){ draw > 995 ? DELETE_TASK : (enum kind)(draw % 13 == 0 ? DELETE : draw % 3),
			                         1 + (int)(random_next(&random) % ANNOTATIONS) };
		good = send(c, &m, sent[n].kind, sent[n].id);
	}
	quiet(good, "orders: each event is answered by what it changed", "seed %llu, event %zu", (unsigned long long)seed, n);
	quiet(agrees(&m, why), "orders: random histories with repetitions end as the model", "seed %llu: %s", (unsigned long long)seed, why);
	free(sent);
	backend_close(c);
}

void check_orders(void)
{
	enum kind with[] = { CREATE, CREATE, UPDATE, UPDATE, LATER, DELETE }, without[] = { CREATE, CREATE, UPDATE, LATER, LATER };
	size_t    orders = orders_of(with, countof(with), 0) + orders_of(without, countof(without), 0);
	size_t    histories = world_long ? 500 : 20;

	now_s = 1790000000;
	for (uint64_t i = 0; i < histories; i++)
		one_history(world_seed + i, 200);
	printf("#    orders: %zu orders, %zu random histories of 200 events\n", orders, histories);
	check(orders == 210, "orders: all of them", "%zu", orders);
}
