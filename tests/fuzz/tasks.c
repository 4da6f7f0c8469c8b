/*
 * tasks.c - files of tasks and of labelled texts, as `prelabel connect`, `push` and
 * `import` read them.
 *
 * What was read, written as an array, reads as the same.
 */
#include "fuzz.h"

#include "base/json.h"
#include "import.h"
#include "task_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int  fd, fd_again;
static const struct env *env;
static char path[32], path_again[32];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	env = fuzz_open();
	fuzz_project();
	fuzz_keep();
	fd = memfd_create("tasks", MFD_CLOEXEC);
	fd_again = memfd_create("tasks", MFD_CLOEXEC);
	must(fd >= 0 && fd_again >= 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	snprintf(path_again, sizeof path_again, "/proc/self/fd/%d", fd_again);
	return 0;
}

static void write_file(int to, struct span bytes)
{
	must(ftruncate(to, 0) == 0 && pwrite(to, bytes.p, bytes.len, 0) == (ssize_t)bytes.len);
}

/* Of each task, a line. */
static int note(void *arg, struct span task, struct err *e)
{
	struct span root, data;
	struct buf *b = arg;

	must(json_check(task, &root, NULL) == 0 && json_type(root) == JSON_OBJECT);
	must(json_member(root, "data", &data) == 0 && json_type(data) == JSON_OBJECT);
	(void)e;
	buf_addc(b, b->len == 0 ? '[' : ',');
	buf_add(b, root.p, root.len);
	return 0;
}

static int note_set(void *arg, struct span task, struct err *e)
{
	struct span data;

	must(json_member(task, "data", &data) == 0);
	return task_set_add(arg, data, e);
}

static int take_set(void *arg, struct span task, struct err *e)
{
	struct span data;

	(void)e;
	must(json_member(task, "data", &data) == 0 && task_set_take(arg, data));
	return 0;
}

static void check_tasks(void)
{
	struct task_set set = { 0 };
	struct buf      first, second;
	struct err      e = { 0 };

	buf_init(&first, (size_t)64 << 20);
	buf_init(&second, (size_t)64 << 20);
	if (task_file_read(path, "text", note, &first, &e) < 0) {
		must(e.code == ERR_SYNTAX || e.code == ERR_SHAPE);
		fuzz_must_be_error(&e);
	} else if (first.len > 0) {
		buf_addc(&first, ']');
		write_file(fd_again, buf_span(&first));
		must(task_file_read(path_again, "text", note, &second, &e) == 0);
		buf_addc(&second, ']');
		must(span_eq(buf_span(&first), buf_span(&second)));
		must(task_file_read(path, "text", note_set, &set, &e) == 0);
		must(task_file_read(path, "text", take_set, &set, &e) == 0);
		must(!task_set_take(&set, SPAN("{\"text\":\"that no task has\",\"and\":[1e400]}")));
		task_set_clear(&set);
	}
	buf_clear(&first);
	buf_clear(&second);
}

static void check_import(int64_t id)
{
	struct reconcile_result r = { 0 };
	struct err              e = { 0 };
	const int64_t           before = fuzz_number("SELECT count(*) FROM annotation");

	if (import_file(fuzz_store(), env, id, path, &r, &e) < 0) {
		must(e.code != ERR_STORE && e.code != ERR_DAMAGED && e.code != ERR_BUSY && e.code != ERR_MEMORY);
		fuzz_must_be_error(&e);
	} else {
		must(r.tasks >= 0 && r.changed >= 0 && r.unreadable >= 0 && r.deleted == 0);
		must(fuzz_number("SELECT count(*) FROM annotation") - before <= r.changed);
	}
	must(store_begin(fuzz_store(), &e) == 0);
	store_rollback(fuzz_store());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int64_t before = store_writes(fuzz_store());

	write_file(fd, (struct span){ (const char *)data, size });
	check_tasks();
	check_import(12);               /* known, with labels */
	check_import(13);               /* new */
	if (store_writes(fuzz_store()) != before)
		fuzz_restore();
	return 0;
}
