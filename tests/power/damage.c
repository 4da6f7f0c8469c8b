/*
 * damage.c - R7, R4: a store whose bytes were changed.  Whatever is asked of it: an answer in
 * five seconds, and none of them 500.
 */
#include "world.h"

#include "disk.h"
#include "event.h"
#include "serving.h"
#include "setup.h"
#include "status.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_S 5

static char at_work[160];

static void too_slow(int sig)
{
	static const char text[] = "FAIL damage: an answer in five seconds [";

	(void)sig;
	(void)!write(STDOUT_FILENO, text, sizeof text - 1);
	(void)!write(STDOUT_FILENO, at_work, strlen(at_work));
	(void)!write(STDOUT_FILENO, "]\n", 2);
	_exit(1);
}

static const char *const kinds[] = { "bytes changed", "pages zeroed", "cut off", "header", "pages swapped", "journal" };

static void damage(int kind, uint64_t *random)
{
	size_t         len = 0, wal_len = 0;
	unsigned char *p = disk_bytes(STORE_FILE, &len), *wal = disk_bytes("-wal", &wal_len), page[4096];
	size_t         pages = len / 4096, n = 1 + random_next(random) % 16;

	if (p == NULL || pages < 3)
		return;
	if (kind == 2)
		disk_cut_off(STORE_FILE, random_next(random) % len);
	for (size_t i = 0; i < n; i++) {
		size_t a = random_next(random) % pages, b = random_next(random) % pages;

		if (kind == 0)
			p[random_next(random) % len] = (unsigned char)random_next(random);
		else if (kind == 1)
			memset(p + a * 4096, 0, 4096);
		else if (kind == 3)
			p[random_next(random) % 200] = (unsigned char)random_next(random);
		else if (kind == 5 && wal_len > 0)
			wal[random_next(random) % wal_len] = (unsigned char)random_next(random);
		if (kind == 4) {
			memcpy(page, p + a * 4096, 4096);
			memcpy(p + a * 4096, p + b * 4096, 4096);
			memcpy(p + b * 4096, page, 4096);
		}
	}
}

static void answered(const char *what, struct answer a)
{
	bool known;

	alarm(PATIENCE_S);
	known = a.status == 200 || a.status == 201 || a.status == 202 || a.status == 404 || a.status == 422 || a.status == 503 ||
	             a.status == 507;

	quiet(known, "damage: a documented answer", "%s, %s: %d %s", at_work, what, a.status, a.e.msg);
}

static void ask_everything(void)
{
	struct train_result result;
	struct context     *c = backend_open();
	struct err          e = { 0 };
	char                body[BODY_MAX], version[VERSION_TEXT_MAX], none[] = "";

	serving_clear();
	answered("predict", ask_predict(c, 1, version));
	answered("status", ask(c, status_status, none));
	body_setup(body, 1, 2, 1);
	answered("setup", ask(c, setup_project, body));
	body_annotation(body, "ANNOTATION_UPDATED", 1, 5, 5, 9, 900);
	answered("webhook", ask(c, event_webhook, body));
	body_delete(body, "TASKS_DELETED", 1, 6);
	answered("delete", ask(c, event_webhook, body));
	body_start(body, 1);
	answered("start", ask(c, event_webhook, body));
	if (run_trainer(1, &result, &e) < 0)
		answered("train", (struct answer){ .status = http_status(e.code), .e = e });
	serving_clear();
	answered("predict again", ask_predict(c, 1, version));
	backend_close(c);
}

static bool make_store(struct disk **kept, struct disk **hot)
{
	struct train_result result;
	struct context     *c;
	struct err          e = { 0 };
	char                body[BODY_MAX];
	bool                good = true;

	now_s = 1790000000;
	disk_put(NULL);
	c = backend_open();
	for (int i = 1; i <= 60; i++) {
		body_annotation(body, "ANNOTATION_CREATED", 1 + i % 2, i, i, 1, i % 10 == 0 ? 900 : 12);
		good = good && ask(c, event_webhook, body).status == 201;
		if (i % 20 == 0)
			good = good && run_trainer(1, &result, &e) == 0;
	}
	*hot = disk_copy();
	backend_close(c);
	*kept = disk_copy();
	return check(good, "damage: a store to begin with", "%s", e.msg);
}

void check_damage(void)
{
	struct disk *kept, *hot;
	size_t       n = world_long ? 6000 : 300;

	if (!make_store(&kept, &hot))
		return;
	signal(SIGALRM, too_slow);
	for (size_t i = 0; i < n; i++) {
		uint64_t random = world_seed + i;
		int      kind = (int)(i % countof(kinds));

		disk_put(kind == 5 ? hot : kept);
		snprintf(at_work, sizeof at_work, "seed %llu, %s", (unsigned long long)random, kinds[kind]);
		damage(kind, &random);
		alarm(PATIENCE_S);            /* and anew after each answer */
		ask_everything();
		alarm(0);
	}
	disk_free(kept);
	disk_free(hot);
	serving_clear();
	printf("#    damage: %zu stores\n", n);
	check(n >= 12, "damage: as many as promised", "%zu", n);
}
