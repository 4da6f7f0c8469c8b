/* task_file.h - a file of tasks, as Label Studio imports them. */
#ifndef TASK_FILE_H
#define TASK_FILE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json_digest.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * One by one, as {"data": {…}, …}, borrowed until each() returns (0, or -1 with *e set).
 *
 * The file is a JSON array of tasks ({"data": {…}, …}), of data ({"text": "…"}) or of
 * strings; or it has one a line: a line that begins with { is a task or data, any other
 * is a text.  text_key: under which a text stands in its data.  Empty lines are none.
 * A regular file: who imports one reads it twice.
 *
 * -1: ERR_NOT_FOUND, it can't be read or is none; ERR_SYNTAX or ERR_SHAPE, with file and line or
 * element; ERR_MEMORY; or what each() set.
 */
int task_file_read(const char *path, const char *text_key, int (*each)(void *arg, struct span task, struct err *e),
                   void *arg, struct err *e);

/*
 * Which tasks a project has, by their data: a multiset of digests, in which neither the
 * order of keys nor the way of writing a text or a number counts.
 */
struct task_set {
	struct task_entry {
		unsigned char digest[JSON_DIGEST_BYTES];
		size_t        count;
	}     *v;
	size_t n, cap;
	bool   sorted;
};

/* data: a checked JSON value.  ERR_MEMORY. */
int  task_set_add(struct task_set *s, struct span data, struct err *e);

/* Takes one with this data out of it, where it has one.  After the last add. */
bool task_set_take(struct task_set *s, struct span data);

void task_set_clear(struct task_set *s);

#endif
