/* task_file.c - a file of tasks, as Label Studio imports them. */
#include "task_file.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/json_digest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TASK_BYTES_MAX ((size_t)64 << 20)

/* ---- reading ------------------------------------------------------------------------ */

struct reader {
	const char *path, *text_key;
	int       (*each)(void *arg, struct span task, struct err *e);
	void       *arg;
	struct buf  task;
	size_t      number;          /* of the line or the element, from 1 */
	const char *unit;
};

static int bad(const struct reader *r, enum err_code code, const char *why, struct err *e)
{
	return err_set(e, code, "%.100s, %s %zu: %.100s", r->path, r->unit, r->number, why);
}

/* The code unit of the escape \uXXXX at p; 0: there is none. */
static unsigned long unit_at(const char *p, const char *end)
{
	char hex[5] = "";

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return 0;
	memcpy(hex, p + 2, 4);
	return strtoul(hex, NULL, 16);
}

/* Half a surrogate pair in a checked JSON value: Label Studio takes it, and answers every
 * list of its tasks with 500 from then on. */
static bool has_half_pair(struct span json)
{
	const char   *end = json.p + json.len, *p = json.p;
	unsigned long unit, low;

	while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
		unit = unit_at(p, end);
		p += unit == 0 ? 2 : 6;
		if (unit < 0xd800 || unit > 0xdfff)
			continue;
		low = unit_at(p, end);
		if (unit >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
			return true;
		p += 6;
	}
	return false;
}

static int give(struct reader *r, struct span task, struct err *e)
{
	if (has_half_pair(task))
		return bad(r, ERR_SHAPE, "half a surrogate pair, which is no character", e);
	return r->each(r->arg, task, e);
}

static int hand_on(struct reader *r, struct err *e)
{
	return buf_check(&r->task, "a task", e) < 0 ? -1 : give(r, buf_span(&r->task), e);
}

/* text: as it stands, or a JSON string. */
static int take_text(struct reader *r, struct span text, bool is_json, struct err *e)
{
	buf_reset(&r->task);
	buf_adds(&r->task, "{\"data\":{");
	json_put_text(&r->task, span_of(r->text_key));
	buf_addc(&r->task, ':');
	if (is_json)
		buf_add(&r->task, text.p, text.len);
	else
		json_put_text(&r->task, text);
	buf_adds(&r->task, "}}");
	return hand_on(r, e);
}

static int take_object(struct reader *r, struct span object, struct err *e)
{
	struct span data;

	if (json_member(object, "data", &data) == 0 && json_type(data) == JSON_OBJECT)
		return give(r, object, e);
	buf_reset(&r->task);
	buf_adds(&r->task, "{\"data\":");
	buf_add(&r->task, object.p, object.len);
	buf_addc(&r->task, '}');
	return hand_on(r, e);
}

static int take_element(void *arg, struct span element, struct err *e)
{
	struct reader *r = arg;

	r->number++;
	if (json_type(element) == JSON_OBJECT)
		return take_object(r, element, e);
	if (json_type(element) == JSON_STRING)
		return take_text(r, element, true, e);
	return bad(r, ERR_SHAPE, "neither an object nor a string", e);
}

static int read_array(struct reader *r, FILE *f, struct err *e)
{
	struct json_splitter s;
	struct err           why = { 0 };
	char                 chunk[1 << 16];
	size_t               n;
	int                  rc = 0;

	json_splitter_init(&s, TASK_BYTES_MAX, take_element, r);
	while (rc == 0 && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
		rc = json_splitter_feed(&s, (struct span){ chunk, n }, &why);
	if (rc == 0)
		rc = json_splitter_end(&s, &why);
	json_splitter_clear(&s);
	if (rc == 0)
		return 0;
	return why.code == ERR_SYNTAX || why.code == ERR_TOO_LARGE ? err_set(e, why.code, "%.100s: %.120s", r->path, why.msg)
	                                                           : err_set(e, why.code, "%s", why.msg);
}

static int take_line(struct reader *r, struct span line, struct err *e)
{
	struct span object;
	struct err  why = { 0 };

	if (line.p[0] != '{')
		return take_text(r, line, false, e);
	return json_check(line, &object, &why) < 0 ? bad(r, why.code, why.msg, e) : take_object(r, object, e);
}

static int read_lines(struct reader *r, FILE *f, struct err *e)
{
	char   *line = NULL;
	size_t  cap = 0, white;
	ssize_t len;
	int     rc = 0;

	while (rc == 0 && (len = getline(&line, &cap, f)) >= 0) {
		struct span s = { line, (size_t)len };

		r->number++;
		white = strspn(line, " \t");
		s.p += white;
		s.len -= white;
		while (s.len > 0 && strchr(" \t\r\n", s.p[s.len - 1]) != NULL && s.p[s.len - 1] != '\0')
			s.len--;
		if (s.len > 0)
			rc = take_line(r, s, e);
	}
	free(line);
	return rc;
}

/* The first byte that is no white space says what it is.  A byte order mark is none. */
static bool is_array(FILE *f)
{
	char   head[4096];
	size_t n = fread(head, 1, sizeof head, f), at = n >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, from = at;

	while (at < n && strchr(" \t\r\n", head[at]) != NULL && head[at] != '\0')
		at++;
	fseek(f, (long)from, SEEK_SET);
	return at < n && head[at] == '[';
}

int task_file_read(const char *path, const char *text_key, int (*each)(void *arg, struct span task, struct err *e),
                   void *arg, struct err *e)
{
	struct reader r = { .path = path, .text_key = text_key, .each = each, .arg = arg };
	FILE         *f = fopen(path, "re");
	struct stat   sb;
	bool          array;
	int           rc;

	if (f == NULL)
		return err_set(e, ERR_NOT_FOUND, "%.100s: %s", path, strerror(errno));
	/* What a pipe has given is gone: the second reading would find nothing. */
	if (fstat(fileno(f), &sb) < 0 || !S_ISREG(sb.st_mode)) {
		fclose(f);
		return err_set(e, ERR_NOT_FOUND, "%.100s: not a regular file, and it has to be read twice", path);
	}
	buf_init(&r.task, TASK_BYTES_MAX + 4096);
	array = is_array(f);
	r.unit = array ? "element" : "line";
	rc = array ? read_array(&r, f, e) : read_lines(&r, f, e);
	/* getline() without memory looks like the end of the file, and is none. */
	if (rc == 0 && !feof(f))
		rc = errno == ENOMEM ? err_memory(e) : err_set(e, ERR_NOT_FOUND, "%.100s: %s", path, strerror(errno));
	fclose(f);
	buf_clear(&r.task);
	return rc;
}

/* ---- which there are ------------------------------------------------------------------ */

int task_set_add(struct task_set *s, struct span data, struct err *e)
{
	if (s->n == s->cap) {
		size_t             cap = s->cap == 0 ? 256 : s->cap * 2;
		struct task_entry *grown = realloc(s->v, cap * sizeof *grown);

		if (grown == NULL)
			return err_memory(e);
		s->v = grown;
		s->cap = cap;
	}
	s->sorted = false;
	s->v[s->n].count = 1;
	json_digest(data, s->v[s->n++].digest);
	return 0;
}

static int by_digest(const void *a, const void *b)
{
	return memcmp(((const struct task_entry *)a)->digest, ((const struct task_entry *)b)->digest, JSON_DIGEST_BYTES);
}

/* Equal ones become one with a count. */
static void sort(struct task_set *s)
{
	size_t kept = 0;

	if (s->n > 0)
		qsort(s->v, s->n, sizeof *s->v, by_digest);
	for (size_t i = 0; i < s->n; i++)
		if (kept > 0 && by_digest(&s->v[kept - 1], &s->v[i]) == 0)
			s->v[kept - 1].count += s->v[i].count;
		else
			s->v[kept++] = s->v[i];
	s->n = kept;
	s->sorted = true;
}

bool task_set_take(struct task_set *s, struct span data)
{
	struct task_entry wanted, *found;

	if (!s->sorted)
		sort(s);
	if (s->n == 0)
		return false;
	json_digest(data, wanted.digest);
	/* cppcheck-suppress uninitvar ; by_digest() reads nothing else of it */
	found = bsearch(&wanted, s->v, s->n, sizeof *s->v, by_digest);
	if (found == NULL || found->count == 0)
		return false;
	found->count--;
	return true;
}

void task_set_clear(struct task_set *s)
{
	free(s->v);
	*s = (struct task_set){ 0 };
}
