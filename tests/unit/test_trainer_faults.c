/*
 * test_trainer_faults.c - each call fails in turn by which a trainer is started: from the
 * reply that finds a job to the program that runs it.
 */
#include "context.h"
#include "program.h"
#include "trainer.h"
#include "wake.h"
#include "base/log.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the system ----------------------------------------------------------------------- */

static jmp_buf ended;                    /* where a process ends */
static int     how_ended;                /* 1 + its status; 1000: it became another program */
static pid_t   forks[3];                 /* what fork() says, in turn */
static int     n_forks, n_closed, interrupted, found, n_due, rows_sent, asked;
static bool    none_there, journal, all_programs, woken, no_store, no_jobs, waited, told_to_end;
static char    started[PATH_MAX + 64];   /* by execv() */

static int failed(int error)
{
	errno = error;
	return -1;
}

static pid_t fake_fork(void)
{
	return fault_here("fork", ERR_OK) ? failed(EAGAIN) : forks[n_forks++];
}

static pid_t fake_waitpid(pid_t pid, int *status, int options)
{
	(void)status;
	(void)options;
	if (interrupted-- > 0)
		return failed(EINTR);
	waited = true;
	return fault_here("waitpid", ERR_OK) ? failed(ECHILD) : pid;
}

static pid_t fake_setsid(void)
{
	return fault_here("setsid", ERR_OK) ? failed(EPERM) : 1;
}

/* The log is a file of its own. */
static int fake_open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/null") != 0)
		return open(path, flags, 0600);
	return fault_here("open", ERR_OK) ? failed(EMFILE) : 9;
}

static int real_close(int fd)
{
	return close(fd);
}

static int fake_dup2(int from, int to)
{
	(void)from;
	return fault_here("dup2", ERR_OK) ? failed(EBADF) : to;
}

static int fake_close(int fd)
{
	(void)fd;
	n_closed++;
	return 0;
}

static int fake_close_range(unsigned from, unsigned to, int flags)
{
	(void)from;
	(void)to;
	(void)flags;
	return fault_here("close_range", ERR_OK) ? failed(ENOSYS) : 0;
}

static int fake_execv(const char *path, char *const argv[])
{
	if (fault_here("execv", ERR_OK))
		return failed(ENOENT);
	snprintf(started, sizeof started, "%s %s %s %s", path, argv[1], argv[2], argv[3]);
	how_ended = 1000;
	longjmp(ended, 1);
}

static void fake_exit(int status) __attribute__((noreturn));
static void fake_exit(int status)
{
	how_ended = 1 + status;
	longjmp(ended, 1);
}

static int fake_socketpair(int domain, int type, int protocol, int ends[2])
{
	(void)domain;
	(void)type;
	(void)protocol;
	ends[0] = 20;
	ends[1] = 21;
	return fault_here("socketpair", ERR_OK) ? failed(EMFILE) : 0;
}

static ssize_t fake_send(int fd, const void *what, size_t n, int flags)
{
	(void)what;
	(void)flags;
	if (fd != 20 || fault_here("send", ERR_OK))
		return failed(EPIPE);
	rows_sent++;
	return (ssize_t)n;
}

static ssize_t fake_recv(int fd, void *to, size_t n, int flags)
{
	const int64_t row = 40 + asked;

	(void)fd;
	(void)flags;
	if (asked-- <= 0)
		return 0;
	memcpy(to, &row, n);
	return (ssize_t)n;
}

static int fake_kill(pid_t pid, int sig)
{
	told_to_end = pid == getpid() && sig == SIGTERM;
	return 0;
}

static int fake_program_beside(const char *name, char path[PATH_MAX])
{
	if (none_there || fault_here("program_beside", ERR_OK))
		return -1;
	snprintf(path, PATH_MAX, "/somewhere/%s", name);
	return 0;
}

static int fake_program_self(char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "/somewhere/all");
	return 0;
}

static bool fake_program_is_all(void)
{
	return all_programs;
}

static int fake_stat(const char *path, struct stat *sb)
{
	(void)path;
	memset(sb, 0, sizeof *sb);
	sb->st_mode = fault_here("regular", ERR_OK) ? S_IFDIR : S_IFREG;
	return fault_here("stat", ERR_OK) ? failed(ENOENT) : 0;
}

static int fake_access(const char *path, int mode)
{
	(void)mode;
	if (fault_here("access", ERR_OK))
		return failed(EACCES);
	found = strcmp(path, "/somewhere/../prelabel") == 0 ? 1 : 2;
	return 0;
}

static bool fake_wake(void)
{
	return woken;
}

static int fake_context_store(struct context *c, struct store **st, struct err *e)
{
	(void)c;
	*st = NULL;
	return no_store ? err_set(e, ERR_STORE, "no store") : 0;
}

static int n_told;

static void fake_context_failed(struct context *c, const struct err *e)
{
	(void)c;
	n_told += e->msg[0] != '\0';
}

static int fake_job_due(struct store *st, int64_t now_s, int64_t projects[], size_t max, size_t *n, struct err *e)
{
	(void)st;
	(void)now_s;
	for (*n = 0; (int)*n < n_due && *n < max; ++*n)
		projects[*n] = (int64_t)*n;
	return no_jobs ? err_set(e, ERR_BUSY, "no jobs") : 0;
}

static bool fake_journal(void)
{
	return journal;
}

#undef _exit
#define _exit           fake_exit
#define fork            fake_fork
#define waitpid         fake_waitpid
#define setsid          fake_setsid
#define dup2            fake_dup2
#define close           fake_close
#define close_range     fake_close_range
#define execv           fake_execv
#define socketpair      fake_socketpair
#define send            fake_send
#define recv            fake_recv
#define kill            fake_kill
#define program_beside  fake_program_beside
#define program_self    fake_program_self
#define program_is_all  fake_program_is_all
#define stat(path, sb)  fake_stat(path, sb)
#define access          fake_access
#define supervisor_wake fake_wake
#define context_store   fake_context_store
#define context_failed  fake_context_failed
#define store_job_due   fake_job_due
#define log_to_journal  fake_journal
#define sigprocmask(how, set, old) ((void)(set))
#define signal(sig, how) ((void)0)
#define setpriority(which, who, nice) 0
#define prctl(what, name) 0

#define open            fake_open

#include "../../lib/trainer.c"
#undef open

#include <stdarg.h>

#include <cmocka.h>

static int reset(void **state)
{
	(void)state;
	fault_disarm();
	fault_name = NULL;
	memset(forks, 0, sizeof forks);
	n_forks = n_closed = interrupted = found = n_due = rows_sent = asked = n_told = 0;
	journal = all_programs = woken = no_store = no_jobs = waited = told_to_end = false;
	started[0] = '\0';
	spawner = -1;
	unsetenv(RUN_DIR_VARIABLE);
	return 0;
}

/* How the process ends in it; 0: it returns. */
static int starts(void)
{
	how_ended = 0;
	if (setjmp(ended) == 0)
		start("/x/prelabel", 41);
	return how_ended;
}

static int spawns(void)
{
	if (setjmp(ended) == 0)
		spawn(21, "/x/prelabel");
	return how_ended;
}

static int prepares(struct err *e)
{
	if (setjmp(ended) == 0)
		return trainer_prepare(NULL, e);
	return how_ended;
}

/* The one that answers goes on, the one between ends at once, the last becomes the trainer. */
static void a_trainer_is_started_by_three_processes(void **state)
{
	(void)state;
	forks[0] = 77;
	interrupted = 2;
	assert_int_equal(starts(), 0);
	assert_true(waited);
	reset(NULL);
	forks[1] = 78;
	assert_int_equal(starts(), 1);
	for (int j = 0; j < 2; j++) {
		reset(NULL);
		journal = j == 1;
		assert_int_equal(starts(), 1000);
		assert_string_equal(started, "/x/prelabel train --queued 41");
	}
}

/* Nothing that is not needed, and nobody is left who thinks that he is the parent. */
static void a_trainer_that_can_not_be_started_ends(void **state)
{
	static const char *const needed[] = { "setsid", "fork", "open", "dup2", "execv" };

	(void)state;
	for (long at = 0; ; at++) {
		int  how;
		bool fatal = false;

		reset(NULL);
		fault_arm(at);
		how = starts();
		fault_disarm();
		if (fault_name == NULL)
			break;
		for (size_t i = 0; i < countof(needed); i++)
			fatal |= strcmp(fault_name, needed[i]) == 0;
		if (at == 0)
			assert_int_equal(how, 0);          /* the first fork: this process goes on */
		else if (how != (fatal ? 2 : 1000))
			fail_msg("call %ld (%s): %d", at, fault_name, how);
		if (strcmp(fault_name, "close_range") == 0)
			assert_true(n_closed > 1000);      /* one by one */
	}
	reset(NULL);
	forks[0] = 77;
	fault_arm(1);
	assert_int_equal(starts(), 0);                     /* nobody to wait for */
	fault_disarm();
}

static void the_spawner_starts_one_after_the_other(void **state)
{
	(void)state;
	forks[0] = forks[1] = 77;
	asked = 2;
	assert_int_equal(spawns(), 1);
	assert_int_equal(n_forks, 2);
	for (long at = 0; at < 2; at++) {
		int how;

		reset(NULL);
		fault_arm(at);
		how = spawns();
		fault_disarm();
		assert_int_equal(how, strcmp(fault_name, "dup2") == 0 ? 2 : 1);
	}
	assert_true(n_closed > 1000);
}

static void the_spawner_is_made_before_it_is_needed(void **state)
{
	struct err e = { 0 };

	(void)state;
	forks[0] = 77;
	assert_int_equal(trainer_prepare(NULL, &e), 0);
	assert_int_equal(spawner, 20);
	assert_int_equal(found, 1);
	for (long at = 0; ; at++) {
		int rc;

		reset(NULL);
		forks[0] = 77;
		fault_arm(at);
		rc = trainer_prepare(NULL, &e);
		fault_disarm();
		if (fault_name == NULL)
			break;
		if (strcmp(fault_name, "socketpair") == 0 || strcmp(fault_name, "fork") == 0) {
			assert_int_equal(rc, -1);
			assert_int_equal(e.code, ERR_MEMORY);
			assert_int_equal(spawner, -1);
			err_clear(&e);
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(found, 2);        /* the other place */
		}
	}
	reset(NULL);
	assert_int_equal(prepares(&e), 1);                 /* in the spawner itself */
}

static void who_supervises_or_is_all_programs_needs_no_search(void **state)
{
	struct err e = { 0 };

	(void)state;
	all_programs = true;
	forks[0] = 77;
	assert_int_equal(trainer_prepare(NULL, &e), 0);
	assert_int_equal(found, 0);
	assert_int_equal(spawner, 20);
	reset(NULL);
	setenv(RUN_DIR_VARIABLE, "/run/x", 1);
	assert_int_equal(trainer_prepare(NULL, &e), 0);
	assert_int_equal(spawner, -1);
	setenv(RUN_DIR_VARIABLE, "", 1);
	forks[0] = 77;
	assert_int_equal(trainer_prepare(NULL, &e), 0);
	assert_int_equal(spawner, 20);
}

/* Neither place has it: said when it is needed, not before. */
static void a_missing_program_is_no_reason_not_to_answer(void **state)
{
	static char path[PATH_MAX];

	(void)state;
	none_there = true;
	assert_int_equal(find_prelabel(path), -1);
	assert_int_equal(trainer_prepare(NULL, NULL), 0);
	assert_int_equal(spawner, -1);
	n_due = 2;
	trainer_after_reply(NULL, NULL);
	assert_int_equal(rows_sent, 0);
	none_there = false;
}

static void a_reply_looks_for_jobs_and_asks_the_spawner(void **state)
{
	(void)state;
	spawner = 20;
	trainer_after_reply(NULL, NULL);
	assert_int_equal(rows_sent, 0);
	n_due = 3;
	trainer_after_reply(NULL, NULL);
	assert_int_equal(rows_sent, 3);
	woken = true;
	trainer_after_reply(NULL, NULL);
	assert_int_equal(rows_sent, 3);
	woken = false;
	setenv(RUN_DIR_VARIABLE, "/run/x", 1);
	trainer_after_reply(NULL, NULL);
	assert_int_equal(rows_sent, 3);
	unsetenv(RUN_DIR_VARIABLE);
	no_store = true;
	trainer_after_reply(NULL, NULL);
	no_store = false;
	no_jobs = true;
	trainer_after_reply(NULL, NULL);
	assert_int_equal(n_told, 2);
	assert_int_equal(rows_sent, 3);
	no_jobs = false;
	assert_false(told_to_end);
	fault_arm(0);
	trainer_after_reply(NULL, NULL);
	fault_disarm();
	assert_true(told_to_end);                          /* without its spawner it is of no use */
}

static void the_log_is_turned_over_and_follows_no_link(void **state)
{
	static char long_name[PATH_MAX + 10];
	char        dir[] = "/tmp/prelabel-trainer.XXXXXX", path[64], old[64];
	struct stat sb;
	int         fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/train.log", dir);
	snprintf(old, sizeof old, "%s/train.log.1", dir);
	fd = trainer_log(dir);
	assert_true(fd >= 0);
	assert_int_equal(real_close(fd), 0);
	assert_int_equal(truncate(path, LOG_BYTES_MAX), 0);
	assert_int_equal(real_close(trainer_log(dir)), 0);
	assert_int_equal(lstat(old, &sb), -1);
	assert_int_equal(truncate(path, LOG_BYTES_MAX + 1), 0);
	assert_int_equal(real_close(trainer_log(dir)), 0);
	assert_int_equal(lstat(old, &sb), 0);
	assert_int_equal(lstat(path, &sb), 0);
	assert_int_equal(sb.st_size, 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	unlink(path);
	assert_int_equal(symlink(old, path), 0);
	assert_int_equal(trainer_log(dir), -1);
	unlink(path);
	unlink(old);
	rmdir(dir);
	/* Neither name fits; one does, the other does not. */
	memset(long_name, 'x', sizeof long_name - 1);
	assert_int_equal(trainer_log(long_name), -1);
	long_name[PATH_MAX - (int)sizeof "/train.log"] = '\0';
	assert_int_equal(trainer_log(long_name), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_trainer_is_started_by_three_processes, reset),
		cmocka_unit_test_setup(a_trainer_that_can_not_be_started_ends, reset),
		cmocka_unit_test_setup(the_spawner_starts_one_after_the_other, reset),
		cmocka_unit_test_setup(the_spawner_is_made_before_it_is_needed, reset),
		cmocka_unit_test_setup(who_supervises_or_is_all_programs_needs_no_search, reset),
		cmocka_unit_test_setup(a_missing_program_is_no_reason_not_to_answer, reset),
		cmocka_unit_test_setup(a_reply_looks_for_jobs_and_asks_the_spawner, reset),
		cmocka_unit_test_setup(the_log_is_turned_over_and_follows_no_link, reset),
	};

	log_open("test", LOG__MAX);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
