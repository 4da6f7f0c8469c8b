/* test_http_faults.c - http.c where the connection, the clock or a descriptor is not as it is in the other tests. */
#include "base/clock.h"
#include "web/http.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- the system, as each test wants it ------------------------------------------- */

static struct {
	int     interrupted;                 /* calls that a signal breaks off first */
	int     error;                       /* what each call fails with then; 0: none */
	ssize_t most;                        /* bytes that one call takes */
	size_t  got;                         /* bytes read or written */
	double  now, step;                   /* of the clock: with each look */
	int     ready;                       /* what poll() says */
	int     null;                        /* the descriptor of /dev/null */
	int     dups, closed;                /* made; the last one closed */
	size_t  dropped_at, dropped;         /* memory given back */
	char    said[1000];                  /* what was written first, of the last call */
} os;

static ssize_t some(size_t n)
{
	if (os.interrupted-- > 0) {
		errno = EINTR;
		return -1;
	}
	errno = os.error;
	if (os.error != 0)
		return -1;
	n = os.most < (ssize_t)n ? (size_t)os.most : n;
	os.got += n;
	return (ssize_t)n;
}

static ssize_t fake_read(int fd, void *to, size_t n)
{
	assert(fd == STDIN_FILENO);
	memset(to, 'x', n);
	return some(n);
}

static ssize_t fake_write(int fd, const void *from, size_t n)
{
	assert(fd == STDOUT_FILENO);
	snprintf(os.said, sizeof os.said, "%.*s", (int)n, (const char *)from);
	return some(n);
}

static int fake_putstr(const char *from, int n, FCGX_Stream *out)
{
	(void)from;
	(void)out;
	return (int)some((size_t)n);
}

static int fake_poll(struct pollfd *p, nfds_t n, int ms)
{
	assert(p->fd == STDIN_FILENO && n == 1 && ms > 0);
	return os.ready;
}

static double fake_clock(void)
{
	return os.now += os.step;
}

static int fake_open(const char *path, int flags)
{
	(void)path;
	(void)flags;
	return os.null;
}

static int fake_dup2(int from, int to)
{
	assert(from == os.null && to == os.dups);
	return os.dups++;
}

static int fake_close(int fd)
{
	return os.closed = fd;
}

static int fake_madvise(void *p, size_t len, int what)
{
	assert(what == MADV_DONTNEED);
	os.dropped_at = (size_t)p;
	os.dropped = len;
	return 0;
}

#define read            fake_read
#define write           fake_write
#define FCGX_PutStr     fake_putstr
#define poll(p, n, ms)  fake_poll(p, n, ms)
#define clock_monotonic fake_clock
#define open            fake_open
#define dup2            fake_dup2
#define close           fake_close
#define madvise         fake_madvise

#include "../../lib/web/http.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char *const nothing[] = { NULL };
static FCGX_Request fastcgi;

static int reset(void **state)
{
	(void)state;
	memset(&os, 0, sizeof os);
	os.most = SSIZE_MAX;
	os.ready = 1;
	os.null = 7;
	return 0;
}

static int write_reply(FCGX_Request *fcgi, const char *allow)
{
	const struct http h = { .fcgi = fcgi };
	struct request    req = { .params = nothing };
	struct reply      reply = { .status = 200 };
	int               rc;

	buf_init(&reply.body, 1000);
	buf_adds(&reply.body, "{\"status\":\"UP\"}");
	rc = http_write(&h, &req, &reply, allow, false);
	buf_clear(&reply.body);
	return rc;
}

/* By a byte at a time, and a signal before the first. */
static void a_reply_goes_out_whole(void **state)
{
	size_t whole;

	(void)state;
	assert_int_equal(write_reply(NULL, ""), 0);
	whole = os.got;
	assert_true(whole > 100);
	reset(NULL);
	os.interrupted = 1;
	os.most = 1;
	assert_int_equal(write_reply(NULL, ""), 0);
	assert_int_equal(os.got, whole);
	reset(NULL);
	assert_int_equal(write_reply(&fastcgi, ""), 0);
	assert_int_equal(os.got, whole);
}

static const struct { int status; const char *line; } lines[] = {
	{ 200, "Status: 200 OK\r\n" }, { 401, "WWW-Authenticate: Basic realm=\"prelabel\"\r\n" }, { 429, "Retry-After: 1\r\n" },
	{ 503, "Retry-After: 1\r\n" }, { 507, "Retry-After: 1\r\n" },
};

static void who_may_come_again_is_told_when(void **state)
{
	const struct http h = { .fcgi = NULL };
	struct request    req = { .params = nothing };

	(void)state;
	for (size_t i = 0; i < countof(lines); i++) {
		struct reply reply = { .status = lines[i].status };

		buf_init(&reply.body, 10);
		os.said[0] = '\0';
		assert_int_equal(http_write(&h, &req, &reply, "", true), 0);
		assert_non_null(strstr(os.said, lines[i].line));
		assert_int_equal(strstr(os.said, "Retry-After") != NULL, lines[i].status > 401);
		buf_clear(&reply.body);
	}
}

static void who_does_not_listen_any_more_is_noticed(void **state)
{
	static const int errors[] = { EPIPE, EIO, EAGAIN };

	(void)state;
	for (size_t i = 0; i < countof(errors); i++) {
		os.error = errors[i];
		assert_int_equal(write_reply(NULL, ""), -1);
		assert_int_equal(write_reply(&fastcgi, ""), -1);
	}
	os.error = 0;
	os.most = 0;
	assert_int_equal(write_reply(NULL, ""), -1);
	os.most = 10;
	assert_int_equal(write_reply(&fastcgi, ""), -1);
}

static void a_head_that_is_too_long_is_not_cut(void **state)
{
	char allow[600];

	(void)state;
	memset(allow, 'x', sizeof allow - 1);
	allow[sizeof allow - 1] = '\0';
	assert_int_equal(write_reply(NULL, allow), -1);
	assert_int_equal(os.got, 0);
}

static int read_body(char *const params[], size_t *len, struct err *e)
{
	const struct http    h = { .fcgi = NULL };
	const struct request req = { .params = params };
	struct buf           b;
	int                  rc;

	buf_init(&b, 1000);
	rc = http_read_body(&h, &req, 1000, &b, e);
	*len = b.len;
	buf_clear(&b);
	return rc;
}

static void a_body_that_a_signal_breaks_off_is_read_on(void **state)
{
	static char      length[] = "CONTENT_LENGTH=10", coding[] = "HTTP_CONTENT_ENCODING=";
	char *const      params[] = { length, coding, NULL };
	size_t           len;
	struct err       e = { 0 };

	(void)state;
	os.interrupted = 3;
	os.most = 4;
	assert_int_equal(read_body(params, &len, &e), 0);
	assert_int_equal(len, 10);
	os.error = EIO;
	assert_int_equal(read_body(params, &len, &e), -1);
	assert_int_equal(e.code, ERR_SYNTAX);
	assert_int_equal(len, 0);
}

/* What is left of a body: to its length, to its end, for some seconds. */
static void the_rest_of_a_body_is_dropped_with_patience(void **state)
{
	static char          length[] = "CONTENT_LENGTH=100000";
	char *const          params[] = { length, NULL };
	const struct request req = { .params = params }, none = { .params = nothing };
	static const struct { double step; int ready, error; ssize_t most; size_t got; } cases[] = {
		{ 0, 1, 0, SSIZE_MAX, 99000 }, { 0, 1, 0, 100, 99000 }, { 2, 1, 0, 100, 100 }, { 4, 1, 0, 100, 0 },
		{ 0, 0, 0, 100, 0 }, { 0, -1, 0, 100, 0 }, { 0, 1, 0, 0, 0 }, { 0, 1, EIO, 100, 0 },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		reset(NULL);
		os.step = cases[i].step;
		os.ready = cases[i].ready;
		os.error = cases[i].error;
		os.most = cases[i].most;
		drop_rest(&req, 1000);
		if (os.got != cases[i].got)
			fail_msg("case %zu: %zu", i, os.got);
	}
	reset(NULL);
	drop_rest(&none, 0);
	drop_rest(&req, 100000);
	assert_int_equal(os.got, 0);
}

/* /dev/null takes the place of both; its own descriptor is closed, unless it is one of them. */
static void standard_output_is_closed_by_dev_null(void **state)
{
	const struct http    h = { .fcgi = NULL };
	const struct request req = { .params = nothing };
	static const struct { int null, dups, closed; } cases[] = { { 7, 2, 7 }, { 0, 2, 0 }, { 2, 2, 0 }, { 3, 2, 3 }, { -1, 0, 0 } };

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		reset(NULL);
		os.null = cases[i].null;
		http_finish(&h, &req, 0);
		assert_int_equal(os.dups, cases[i].dups);
		assert_int_equal(os.closed, cases[i].closed);
	}
}

static void every_code_has_a_status_and_every_status_a_reason(void **state)
{
	(void)state;
	for (int code = 0; code < ERR__MAX; code++) {
		int status = http_status((enum err_code)code);

		assert_true(status == 200 || (status >= 400 && status < 600));
		assert_string_not_equal(http_reason(status), "Error");
	}
	assert_int_equal(http_status(ERR__MAX), 503);
	assert_int_equal(http_status((enum err_code)-1), 503);
	assert_string_equal(http_reason(299), "OK");
	assert_string_equal(http_reason(599), "Error");
}

/* Whole pages inside of it alone, and only where the body is large. */
static void memory_behind_what_was_read_is_given_back(void **state)
{
	const size_t         page = (size_t)sysconf(_SC_PAGESIZE);
	const char          *p = (const char *)(uintptr_t)(100 * page);
	const struct request large = { .body = { p, KEEP_BYTES + 1 } }, small = { .body = { p, KEEP_BYTES } };

	(void)state;
	request_spent(&small, (struct span){ p, 10 * page });
	assert_int_equal(os.dropped, 0);
	request_spent(&large, (struct span){ p + 1, page });
	request_spent(&large, (struct span){ p + 1, 2 * page - 2 });
	assert_int_equal(os.dropped, 0);
	request_spent(&large, (struct span){ p + 1, 2 * page - 1 });
	assert_int_equal(os.dropped, page);
	assert_int_equal(os.dropped_at, 101 * page);
	request_spent(&large, (struct span){ p, page });
	assert_int_equal(os.dropped_at, 100 * page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_reply_goes_out_whole, reset),
		cmocka_unit_test_setup(who_may_come_again_is_told_when, reset),
		cmocka_unit_test_setup(who_does_not_listen_any_more_is_noticed, reset),
		cmocka_unit_test_setup(a_head_that_is_too_long_is_not_cut, reset),
		cmocka_unit_test_setup(a_body_that_a_signal_breaks_off_is_read_on, reset),
		cmocka_unit_test_setup(the_rest_of_a_body_is_dropped_with_patience, reset),
		cmocka_unit_test_setup(standard_output_is_closed_by_dev_null, reset),
		cmocka_unit_test_setup(every_code_has_a_status_and_every_status_a_reason, reset),
		cmocka_unit_test_setup(memory_behind_what_was_read_is_given_back, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
