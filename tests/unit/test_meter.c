/* test_meter.c - counters that processes share, and what may happen to their file. */
#include "base/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES 20480
#define MANY       20000
#define CUTS       500

/* A process has one meter for good: each test has a process of its own, which ends at
 * the first line that is not as it should be.  An exit status has no room for its number. */
#define want(is) do { if (!(is)) wrong_at(__LINE__); } while (0)

static char folder[32], file[80];
static int *first_wrong;               /* a line; shared with all processes of a test */

static _Noreturn void wrong_at(int line)
{
	if (*first_wrong == 0)
		*first_wrong = line;
	_exit(1);
}

static void in_child(void (*test)(void))
{
	char  command[100];
	int   status = 0;
	pid_t pid;

	first_wrong = mmap(NULL, sizeof *first_wrong, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(first_wrong != MAP_FAILED);
	snprintf(folder, sizeof folder, "/tmp/meter.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof file, "%s/" METER_FILE, folder);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		signal(SIGBUS, SIG_DFL);               /* cmocka has a handler of its own */
		alarm(60);
		test();
		_exit(0);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	snprintf(command, sizeof command, "chmod -R u+w %s && rm -rf %s", folder, folder);
	assert_int_equal(system(command), 0);
	if (status != 0)
		fail_msg("line %d, status %d, signal %d", *first_wrong, WEXITSTATUS(status), WTERMSIG(status));
	munmap(first_wrong, sizeof *first_wrong);
}

static uint64_t requests(const char *endpoint, int status)
{
	struct meter m;
	uint64_t     n = 0;

	want(meter_read(&m));
	for (size_t i = 0; i < m.n; i++)
		for (size_t b = 0; strcmp(m.line[i].endpoint, endpoint) == 0 && m.line[i].status == status && b < METER_BUCKETS; b++)
			n += m.line[i].bucket[b];
	return n;
}

/* ---- what is counted ----------------------------------------------------------- */

static void counts(void)
{
	struct meter m;

	want(meter_turn(METER_TOLD_S, 1000, 60) && !meter_turn(METER_TOLD_S, 1059, 60));   /* of this process alone */

	want(!meter_read(&m));                 /* not opened: nothing happens */
	meter_add(METER_TASKS, 1);
	meter_request(SPAN("/predict"), 200, 1);
	meter_open(folder);
	want(meter_read(&m) && m.n == 0 && m.counter[METER_TASKS] == 0);
	want(meter_turn(METER_TOLD_S, 2000, 60) && !meter_turn(METER_TOLD_S, 2059, 60) && meter_turn(METER_TOLD_S, 2060, 60));
	want(!meter_turn(METER_TOLD_S, 2061, 60) && meter_turn(METER_TOLD_S, 1500, 60));    /* the clock was set back */
	meter_mark(METER_REFUSED_S, 4711);
	meter_add(METER_TASKS, 100);
	meter_add(METER_TASKS, 1);
	meter_add(METER_LOADS, 2);
	meter_request(SPAN("/webhook"), 201, 0.0003);
	meter_request(SPAN("/webhook"), 201, 0.0005);
	meter_request(SPAN("/webhook"), 503, 0.7);
	meter_request(SPAN("/predict"), 200, 1e9);
	meter_request(SPAN("/predict"), 200, 0);
	meter_request(SPAN("/predict"), 0, 1);
	meter_request(SPAN("/"), 200, 0.1);
	meter_request(SPAN("/health"), 200, 0.1);
	meter_request(SPAN("/error"), 404, 0.1);
	meter_request(SPAN("/predictable"), 404, 0.1);
	meter_request(SPAN(""), 404, 0.1);
	want(meter_read(&m) && m.counter[METER_TASKS] == 101 && m.counter[METER_LOADS] == 2 && m.n == 5);
	want(strcmp(m.line[0].endpoint, "health") == 0 && m.line[0].bucket[8] == 2 && m.line[0].nanoseconds == 200000000);
	want(strcmp(m.line[1].endpoint, "other") == 0 && requests("other", 404) == 3);
	want(strcmp(m.line[2].endpoint, "predict") == 0 && m.line[2].bucket[0] == 1 && m.line[2].bucket[15] == 1);
	want(strcmp(m.line[3].endpoint, "webhook") == 0 && m.line[3].status == 201 && m.line[3].bucket[1] == 2);
	want(m.line[4].status == 503 && m.line[4].bucket[11] == 1);
	meter_request(SPAN("/webhook"), 401, 0.1);
	want(meter_peek(folder, &m) && m.n == 6 && m.counter[METER_TASKS] == 101 && m.counter[METER_REFUSED_S] == 4711 && meter_refused(&m) == 1);
	want(!meter_peek("/nowhere", &m) && m.n == 0 && meter_refused(&m) == 0);
}

static void test_counts(void **state)
{
	(void)state;
	in_child(counts);
}

/* ---- several at once ---------------------------------------------------------------- */

static void *count_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < MANY; i++) {
		meter_request(i % 2 == 0 ? SPAN("/predict") : SPAN("/setup"), 200 + i % 3, i % 7 * 0.001);
		meter_add(METER_TASKS, 3);
	}
	return NULL;
}

/* Four processes of two threads, all from the moment on when there is no file. */
static void together(void)
{
	struct meter m;
	struct stat  sb;
	int          gate[2], status;
	char         c;
	uint64_t     sum = 0;

	want(pipe(gate) == 0);
	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			pthread_t other;

			close(gate[1]);
			want(read(gate[0], &c, 1) == 0);
			meter_open(folder);
			want(pthread_create(&other, NULL, count_many, NULL) == 0);
			count_many(NULL);
			pthread_join(other, NULL);
			_exit(0);
		}
	close(gate[1]);
	while (wait(&status) > 0)
		want(status == 0);
	meter_open(folder);
	want(meter_read(&m) && m.counter[METER_TASKS] == 8 * 3 * MANY && m.n == 6);
	for (size_t i = 0; i < m.n; i++)
		sum += requests(m.line[i].endpoint, m.line[i].status);
	want(sum == 8 * MANY);
	want(stat(file, &sb) == 0 && (sb.st_mode & 0777) == 0600 && sb.st_size == FILE_BYTES && sb.st_nlink == 1);
}

static void test_together(void **state)
{
	(void)state;
	in_child(together);
}

/* More pairs than there is room for: the ones that are there go on. */
static void full(void)
{
	struct meter m;

	meter_open(folder);
	for (int round = 0; round < 2; round++)
		for (int s = 0; s < 200; s++)
			meter_request(SPAN("/setup"), 300 + s, 0);
	want(meter_read(&m) && m.n == METER_LINES);
	want(requests("setup", 300) == 2 && requests("setup", 300 + METER_LINES - 1) == 2);
}

static void test_full(void **state)
{
	(void)state;
	in_child(full);
}

/* ---- files that are not right ----------------------------------------------------------- */

static void write_file(const void *bytes, size_t len, off_t at)
{
	int fd = open(file, O_WRONLY | O_CREAT, 0600);

	want(fd >= 0 && pwrite(fd, bytes, len, at) == (ssize_t)len && close(fd) == 0);
}

static void one_wrong(void (*spoil)(void))
{
	if (fork() == 0) {
		meter_open(folder);
		meter_request(SPAN("/setup"), 200, 0);
		_exit(0);
	}
	want(wait(NULL) > 0);
	spoil();
	meter_open(folder);
	want(requests("setup", 200) == 0);
	meter_request(SPAN("/setup"), 200, 0);
	want(requests("setup", 200) == 1);
}

static void spoil_magic(void)  { write_file("q", 1, 3); }
static void spoil_layout(void) { write_file("\2", 1, 16); }
static void spoil_size(void)   { want(truncate(file, FILE_BYTES + 1) == 0); }
static void spoil_empty(void)  { want(truncate(file, 0) == 0); }
static void spoil_owner(void)  { want(geteuid() != 0 || chown(file, 65534, 65534) == 0); }
static void spoil_fifo(void)   { want(unlink(file) == 0 && mkfifo(file, 0600) == 0); }
static void spoil_link(void)
{
	char there[100];

	snprintf(there, sizeof there, "%s.there", file);
	want(rename(file, there) == 0 && symlink(there, file) == 0);
}

static void wrong(void)
{
	static void (*const spoils[])(void) = {
		spoil_magic, spoil_layout, spoil_size, spoil_empty, spoil_owner, spoil_fifo, spoil_link,
	};
	struct stat sb;
	int         status;

	for (size_t i = 0; i < countof(spoils); i++) {
		if (spoils[i] == spoil_owner && geteuid() != 0)
			continue;
		if (fork() == 0) {
			one_wrong(spoils[i]);
			_exit(0);
		}
		want(wait(&status) > 0 && status == 0);
		want(lstat(file, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_uid == geteuid() && (sb.st_mode & 0777) == 0600);
		want(unlink(file) == 0);
	}
}

static void test_wrong(void **state)
{
	(void)state;
	in_child(wrong);
}

static void loose(void)
{
	struct stat sb;

	if (fork() == 0) {
		meter_open(folder);
		meter_request(SPAN("/setup"), 200, 0);
		_exit(0);
	}
	want(wait(NULL) > 0 && chmod(file, 0644) == 0);
	meter_open(folder);
	want(stat(file, &sb) == 0 && (sb.st_mode & 0777) == 0600);
	want(requests("setup", 200) == 1);             /* kept, and tightened */
}

static void test_loose(void **state)
{
	(void)state;
	in_child(loose);
}

/* ---- what happens under a running process ------------------------------------------------ */

static void gone(void)
{
	char  other[100];
	pid_t pid;
	int   status = 0;

	meter_open(folder);
	for (int i = 0; i < 3; i++) {
		meter_request(SPAN("/setup"), 200, 0);
		want(requests("setup", 200) == 1);
		want(unlink(file) == 0);
		want(requests("setup", 200) == 0);     /* begins at 0 */
	}
	/* Replaced by another process's: the counts of both meet there. */
	snprintf(other, sizeof other, "%s.other", file);
	want(rename(file, other) == 0 && link(other, file) == 0 && unlink(other) == 0);
	meter_request(SPAN("/setup"), 200, 0);
	pid = fork();
	if (pid == 0) {
		want(unlink(file) == 0);
		meter_open(folder);
		meter_request(SPAN("/setup"), 200, 0);
		_exit(0);
	}
	want(waitpid(pid, &status, 0) == pid && status == 0);
	meter_request(SPAN("/setup"), 200, 0);
	want(requests("setup", 200) == 2);
}

static void test_gone(void **state)
{
	(void)state;
	in_child(gone);
}

static void cut_short(void)
{
	meter_open(folder);
	meter_request(SPAN("/setup"), 200, 0);
	want(truncate(file, 0) == 0);
	meter_request(SPAN("/setup"), 200, 0);         /* lives, and counts in a new one */
	want(requests("setup", 200) == 1);
}

/* In the moment between the look at the file and the addition, over and over.  There is
 * nothing to cut while who counts makes the file anew, however long his disk takes. */
static void *cut(void *arg)
{
	atomic_int *n = arg;

	while (atomic_load(n) < CUTS)
		if (truncate(file, atomic_load(n) % 2 == 0 ? 0 : FILE_BYTES) == 0)
			atomic_fetch_add(n, 1);
		else
			usleep(10);
	return NULL;
}

static void cut_meanwhile(void)
{
	pthread_t    other;
	struct meter m;
	atomic_int   n = 0;

	meter_open(folder);
	want(pthread_create(&other, NULL, cut, &n) == 0);
	do
		count_many(NULL);
	while (atomic_load(&n) < CUTS);
	(void)meter_read(&m);
	pthread_join(other, NULL);
	want(unlink(file) == 0 || errno == ENOENT);
	meter_request(SPAN("/setup"), 200, 0);
	want(requests("setup", 200) == 1);
}

static void test_cut(void **state)
{
	(void)state;
	in_child(cut_short);
	in_child(cut_meanwhile);
}

/* A SIGBUS that is somebody else's ends the process as it would without us. */
static void foreign(void)
{
	int   fd, status;
	char *p;
	pid_t pid = fork();

	if (pid == 0) {
		meter_open(folder);
		fd = open(file, O_RDWR);
		p = mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, fd, 0);
		want(p != MAP_FAILED);
		_exit(p[1 << 19] == 0 ? 1 : 2);
	}
	want(waitpid(pid, &status, 0) == pid);
#ifndef __SANITIZE_ADDRESS__
	want(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
#else
	want(status != 0);
#endif
}

static void test_foreign(void **state)
{
	(void)state;
	in_child(foreign);
}

/* ---- where there can be none --------------------------------------------------------------- */

static void read_only(void)
{
	struct meter m;

	want(chmod(folder, 0500) == 0);
	want(geteuid() != 0 || seteuid(65534) == 0);
	meter_open(folder);
	meter_request(SPAN("/setup"), 200, 0);
	meter_add(METER_TASKS, 1);
	want(!meter_read(&m) && m.n == 0);
	want(access(file, F_OK) < 0);
}

static void no_folder(void)
{
	static char below[90];

	snprintf(below, sizeof below, "%s/below", folder);
	meter_open(below);
	meter_request(SPAN("/setup"), 200, 0);
	want(access(below, F_OK) < 0);                 /* it is not for us to make */
	want(mkdir(below, 0700) == 0);
	meter_request(SPAN("/setup"), 200, 0);
	want(requests("setup", 200) == 1);
}

static void in_the_way(void)
{
	struct meter m;
	struct stat  sb;

	want(mkdir(file, 0700) == 0);
	meter_open(folder);
	meter_request(SPAN("/setup"), 200, 0);
	want(!meter_read(&m));
	want(stat(file, &sb) == 0 && S_ISDIR(sb.st_mode));
	want(rmdir(file) == 0);
	usleep(1100000);                               /* it is tried again each second */
	meter_request(SPAN("/setup"), 200, 0);
	want(requests("setup", 200) == 1);
}

/* The limit of this process's files stands for a full disk. */
static void no_space(void)
{
	struct meter m;
	char         command[120];

	signal(SIGXFSZ, SIG_IGN);
	want(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 8192, RLIM_INFINITY }) == 0);
	meter_open(folder);
	meter_request(SPAN("/setup"), 200, 0);
	want(!meter_read(&m));
	snprintf(command, sizeof command, "test -z \"$(ls -A %s)\"", folder);
	want(system(command) == 0);                    /* nothing half made is left */
}

static void test_none(void **state)
{
	(void)state;
	in_child(read_only);
	in_child(no_folder);
	in_child(in_the_way);
	in_child(no_space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_loose),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
