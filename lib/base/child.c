/* child.c - a program that lives beside this process and answers questions. */
#include "base/child.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK         ((size_t)256 << 10)
#define PAUSE_FIRST_S 0.1
#define PAUSE_MAX_S   10.0
#define GO_ON_S       0.5
#define LOG_BURST     50            /* lines of standard error at once */
#define LOG_PER_S     10.0          /* and from then on */
#define LOG_TEXT_MAX  800           /* bytes of one */

struct child {
	/* Set once. */
	char  *name, *folder;
	char **argv, **environment;
	double start_s;
	size_t line_max;

	pthread_mutex_t mutex;
	pthread_cond_t  changed;        /* of busy; CLOCK_MONOTONIC */
	bool            busy;           /* some thread asks: it alone looks at the next ones */

	bool      running;              /* started, and not yet stopped by stop() */
	bool      fresh;                /* has not answered yet */
	int       to, from;             /* its standard input and output */
	int       tie;                  /* closed: it is killed */
	unsigned  failures;             /* since the last answer */
	double    start_at;             /* clock_monotonic() before which it is not started */
	char      why[64];              /* it is down: "ended with status 1" */
	pthread_t watcher;

	int       said, pidfd;          /* its standard error; the watcher's */
	pid_t     pid;                  /* while !buried nobody else's */
	bool      buried;               /* under mutex, with how and when: */
	int       status;
	double    ended;
};

/* ---- made and freed --------------------------------------------------------------- */

static void free_list(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

static char **copy_list(const char *const *list)
{
	size_t n = 0;
	char **copy;

	while (list[n] != NULL)
		n++;
	copy = calloc(n + 1, sizeof *copy);
	for (size_t i = 0; copy != NULL && i < n; i++) {
		copy[i] = strdup(list[i]);
		if (copy[i] == NULL) {
			free_list(copy);
			return NULL;
		}
	}
	return copy;
}

static void forget(struct child *c)
{
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->mutex);
	free(c->name);
	free(c->folder);
	free_list(c->argv);
	free_list(c->environment);
	free(c);
}

struct child *child_new(const struct child_program *p, struct err *e)
{
	struct child      *c = calloc(1, sizeof *c);
	pthread_condattr_t monotonic;

	if (c == NULL) {
		err_memory(e);
		return NULL;
	}
	pthread_mutex_init(&c->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	c->start_s = p->start_s;
	c->line_max = p->line_max;
	c->name = strdup(p->name);
	c->folder = p->folder == NULL ? NULL : strdup(p->folder);
	c->argv = copy_list(p->argv);
	c->environment = copy_list(p->environment);
	if (c->name == NULL || (p->folder != NULL && c->folder == NULL) || c->argv == NULL || c->environment == NULL) {
		forget(c);
		err_memory(e);
		return NULL;
	}
	return c;
}

/* Where the kernel has no memory for poll(2), say: not without end and at full speed. */
static void pause_unless_interrupted(int why)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	if (why != EINTR)
		nanosleep(&pause, NULL);
}

/* ---- the watcher: standard error, and the end --------------------------------------- */

struct log_lines {
	char     line[LOG_TEXT_MAX + 1];
	size_t   len;                   /* LOG_TEXT_MAX: the rest of the line is left out */
	double   tokens, at;            /* lines that may be logged now, as of when */
	unsigned left_out;
};

static void put_line(const struct child *c, struct log_lines *l)
{
	double now = clock_monotonic();

	l->line[l->len] = '\0';
	l->tokens += (now - l->at) * LOG_PER_S;
	l->at = now;
	if (l->tokens > LOG_BURST)
		l->tokens = LOG_BURST;
	if (l->len > 0 && l->tokens < 1) {
		l->left_out++;
	} else if (l->len > 0) {
		if (l->left_out > 0)
			log_line(LOG_INFO, "%s: (%u lines left out)", c->name, l->left_out);
		l->left_out = 0;
		l->tokens -= 1;
		log_line(LOG_INFO, "%s: %s", c->name, l->line);
	}
	l->len = 0;
}

/* What there is of standard error, at most a few chunks of it; false: it was closed. */
static bool take_said(const struct child *c, struct log_lines *l)
{
	char    bytes[4096];
	ssize_t n;

	/* Bounded, so that one that writes without end is still seen to end. */
	for (int i = 0; i < 16; i++) {
		n = read(c->said, bytes, sizeof bytes);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		for (ssize_t k = 0; k < n; k++) {
			if (bytes[k] == '\n')
				put_line(c, l);
			else if (l->len < LOG_TEXT_MAX)
				l->line[l->len++] = bytes[k] == '\0' ? '?' : bytes[k];
		}
	}
	return true;
}

/* Not yet waited for, its number is its own. */
static bool has_ended(const struct child *c)
{
	siginfo_t how = { .si_pid = 0 };

	return waitid(P_PID, (id_t)c->pid, &how, WEXITED | WNOHANG | WNOWAIT) == 0 && how.si_pid == c->pid;
}

static void *watch(void *arg)
{
	struct child    *c = arg;
	struct log_lines l = { .tokens = LOG_BURST, .at = clock_monotonic() };
	struct pollfd    p[2] = { { .fd = c->said, .events = POLLIN }, { .fd = c->pidfd, .events = POLLIN } };

	while (p[1].revents == 0) {
		if (poll(p, 2, -1) < 0) {
			const int why = errno;

			/* stop() waits for us, whatever poll() says. */
			if (has_ended(c))
				break;
			pause_unless_interrupted(why);
			continue;
		}
		if (p[0].revents != 0 && !take_said(c, &l))
			p[0].fd = -1;
	}
	(void)take_said(c, &l);
	put_line(c, &l);
	if (l.left_out > 0)
		log_line(LOG_INFO, "%s: (%u lines left out)", c->name, l.left_out);

	/* What it started goes with it: its number is still its own, as long as it is
	 * not waited for, and so is that of the group. */
	pthread_mutex_lock(&c->mutex);
	(void)kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
		;
	c->buried = true;
	c->ended = clock_monotonic();
	pthread_mutex_unlock(&c->mutex);
	return NULL;
}

static int watch_start(struct child *c)
{
	sigset_t all, mask;
	int      rc;

	sigfillset(&all);               /* signals are for the threads that expect them */
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	rc = pthread_create(&c->watcher, NULL, watch, c);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return rc;
}

/* ---- start and stop -------------------------------------------------------------------- */

static void close_all(const int fds[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* The descriptors of both ends: ours even, the child's odd and above 3, so that none is
 * overwritten before it is in its place. */
enum { TO, CHILD_TO, FROM, CHILD_FROM, SAID, CHILD_SAID, TIE, CHILD_TIE, FDS };

static int make_fds(int fds[FDS])
{
	int pair[2];

	for (size_t i = 0; i < FDS; i++)
		fds[i] = -1;
	for (int i = 0; i < FDS; i += 2) {
		/* A socket to write to, since a pipe would raise SIGPIPE. */
		if (i == TO ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 : pipe2(pair, O_CLOEXEC) < 0)
			return -1;
		fds[i] = pair[i == TO || i == TIE];
		fds[i + 1] = fcntl(pair[i != TO && i != TIE], F_DUPFD_CLOEXEC, 4);
		close(pair[i != TO && i != TIE]);
		if (fds[i + 1] < 0)
			return -1;
	}
	return fcntl(fds[FROM], F_SETFL, O_NONBLOCK) < 0 || fcntl(fds[SAID], F_SETFL, O_NONBLOCK) < 0 ? -1 : 0;
}

/* posix_spawn, since a fork of a process with threads may only exec, and copies the
 * page tables of a loaded model for it.  0, or an errno. */
static int spawn(struct child *c, const int fds[FDS])
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t          attr;
	sigset_t                   none, all;
	int                        rc;

	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&all);
	rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = rc != 0 ? rc : posix_spawnattr_setsigmask(&attr, &none);
	rc = rc != 0 ? rc : posix_spawnattr_setsigdefault(&attr, &all);
	rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&files, fds[CHILD_TO], STDIN_FILENO);
	rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&files, fds[CHILD_FROM], STDOUT_FILENO);
	rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&files, fds[CHILD_SAID], STDERR_FILENO);
	rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&files, fds[CHILD_TIE], 3);
	/* Not all of ours close by themselves: libfcgi's connections don't. */
	rc = rc != 0 ? rc : posix_spawn_file_actions_addclosefrom_np(&files, 4);
	if (c->folder != NULL)
		rc = rc != 0 ? rc : posix_spawn_file_actions_addchdir_np(&files, c->folder);
	rc = rc != 0 ? rc : posix_spawnp(&c->pid, c->argv[0], &files, &attr, c->argv, c->environment);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

static int start(struct child *c, struct err *e)
{
	int fds[FDS], rc;

	rc = make_fds(fds) < 0 ? errno : spawn(c, fds);
	if (rc != 0) {
		close_all(fds, FDS);
		snprintf(c->why, sizeof c->why, "can't be run: %s", strerror(rc));
		return err_set(e, ERR_BUSY, "%s %s", c->name, c->why);
	}
	/* When the last writer of the tie goes, which is this process, the group of the
	 * readers gets the signal: PR_SET_PDEATHSIG, which only a fork could ask for. */
	(void)fcntl(fds[CHILD_TIE], F_SETOWN, -c->pid);
	(void)fcntl(fds[CHILD_TIE], F_SETSIG, SIGKILL);
	(void)fcntl(fds[CHILD_TIE], F_SETFL, O_ASYNC);
	for (size_t i = CHILD_TO; i < FDS; i += 2) {
		close(fds[i]);
		fds[i] = -1;
	}
	c->to = fds[TO];
	c->from = fds[FROM];
	c->said = fds[SAID];
	c->tie = fds[TIE];
	c->buried = false;
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	rc = c->pidfd < 0 ? errno : watch_start(c);
	if (rc != 0) {
		(void)kill(-c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
		close_all(fds, FDS);
		if (c->pidfd >= 0)
			close(c->pidfd);
		snprintf(c->why, sizeof c->why, "can't be watched: %s", strerror(rc));
		return err_set(e, ERR_BUSY, "%s %s", c->name, c->why);
	}
	c->running = c->fresh = true;
	log_line(LOG_DEBUG, "%s is process %ld", c->name, (long)c->pid);
	return 0;
}

static void stop(struct child *c)
{
	if (!c->running)
		return;
	pthread_mutex_lock(&c->mutex);
	if (!c->buried)
		(void)kill(-c->pid, SIGKILL);
	pthread_mutex_unlock(&c->mutex);
	pthread_join(c->watcher, NULL);
	close_all((int[]){ c->to, c->from, c->said, c->tie, c->pidfd }, 5);
	c->running = false;
}

void child_free(struct child *c)
{
	if (c == NULL)
		return;
	stop(c);
	forget(c);
}

/* Stopped, and not started again before a pause that begins with its end. */
static void fail(struct child *c, const char *why)
{
	double pause = PAUSE_FIRST_S;

	snprintf(c->why, sizeof c->why, "%s", why);
	stop(c);
	for (unsigned i = 0; i < c->failures && pause < PAUSE_MAX_S; i++)
		pause *= 2;
	c->failures++;
	c->start_at = c->ended + (pause < PAUSE_MAX_S ? pause : PAUSE_MAX_S);
}

static void how_it_ended(const struct child *c, char out[64])
{
	if (WIFSIGNALED(c->status))
		snprintf(out, 64, "was killed by signal %d", WTERMSIG(c->status));
	else
		snprintf(out, 64, "ended with status %d", WEXITSTATUS(c->status));
}

/* It has ended by itself: c->why says how. */
static void fail_ended(struct child *c)
{
	char how[64];

	stop(c);
	how_it_ended(c, how);
	fail(c, how);
}

/* ---- a question -------------------------------------------------------------------------- */

static int failed(struct child *c, struct err *e, const char *why)
{
	fail(c, why);
	log_line(LOG_WARNING, "%s %s: it was killed", c->name, why);
	return err_set(e, ERR_BUSY, "%s %s", c->name, why);
}

static int failed_ended(struct child *c, struct err *e)
{
	fail_ended(c);
	log_line(LOG_WARNING, "%s %s", c->name, c->why);
	return err_set(e, ERR_BUSY, "%s %s", c->name, c->why);
}

/* Its output is closed: it is at its end or will never answer again. */
static int at_end(struct child *c, struct err *e)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

	return poll(&p, 1, 1000) == 1 ? failed_ended(c, e) : failed(c, e, "closed its standard output");
}

/* Running, silent, and ready to be asked. */
static int make_ready(struct child *c, struct err *e)
{
	struct pollfd p[2];
	double        now = clock_monotonic(), left;
	char          why[sizeof c->why];

	if (c->running) {
		p[0] = (struct pollfd){ .fd = c->pidfd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = c->from, .events = POLLIN };
		if (poll(p, 2, 0) <= 0)
			return 0;
		if (p[0].revents == 0)
			return failed(c, e, "wrote to standard output without being asked");
		fail_ended(c);
		log_line(LOG_WARNING, "%s %s", c->name, c->why);
	}
	left = c->start_at - now;
	if (left > 0)
		return err_set(e, ERR_BUSY, "%s %s: it is started again in %.1f s", c->name, c->why, left);
	if (start(c, e) == 0)
		return 0;
	c->ended = now;
	snprintf(why, sizeof why, "%s", c->why);
	fail(c, why);
	log_line(LOG_WARNING, "%s %s", c->name, c->why);
	return -1;
}

/* Reads what there is.  1: more is to come; 0: the line is whole, without its end. */
static int take_answer(struct child *c, struct buf *answer, bool asked, struct err *e)
{
	size_t  len = CHUNK < answer->max - answer->len ? CHUNK : answer->max - answer->len;
	char   *room = buf_room(answer, len), *end;
	ssize_t n;

	if (room == NULL) {
		failed(c, NULL, "answered more than there is memory for");
		return buf_check(answer, "the answer", e);
	}
	n = read(c->from, room, len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (n <= 0)
		return at_end(c, e);
	end = memchr(room, '\n', (size_t)n);
	answer->len += (size_t)n;
	if (end == NULL)
		return answer->len < answer->max ? 1 : failed(c, e, "answered with a line that is too long");
	if (end != room + n - 1)
		return failed(c, e, "answered with more than one line");
	if (!asked)
		return failed(c, e, "answered before it had read the question");
	answer->len--;
	answer->p[answer->len] = '\0';
	return 0;
}

/* 1: more is to be sent; 0: all is. */
static int send_some(struct child *c, struct span *question, struct err *e)
{
	ssize_t n = send(c->to, question->p, question->len < CHUNK ? question->len : CHUNK, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return at_end(c, e);
	if (n > 0) {
		question->p += n;
		question->len -= (size_t)n;
	}
	return question->len > 0;
}

static int converse(struct child *c, struct span question, double deadline, bool (*go_on)(void *), void *arg,
                    struct buf *answer, struct err *e)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = c->from, .events = POLLIN },
		                       { .fd = question.len > 0 ? c->to : -1, .events = POLLOUT } };
		double        wait = deadline - clock_monotonic();
		int           rc;

		if (wait <= 0)
			return failed(c, e, c->fresh ? "did not start in time" : "did not answer in time");
		if (go_on != NULL && wait > GO_ON_S)
			wait = GO_ON_S;
		if (poll(p, 2, (int)(wait * 1000) + 1) < 0)
			pause_unless_interrupted(errno);
		if (go_on != NULL && !go_on(arg)) {
			fail(c, "was stopped");
			return err_set(e, ERR_STOPPED, "stopped");
		}
		if (p[1].revents != 0 && send_some(c, &question, e) < 0)
			return -1;
		if (p[0].revents != 0 && (rc = take_answer(c, answer, question.len == 0, e)) <= 0)
			return rc;
	}
}

/* Waits for other threads' questions. */
static int take_turn(struct child *c, double deadline, struct err *e)
{
	const struct timespec until = { .tv_sec = (time_t)deadline,
		.tv_nsec = (long)((deadline - (double)(time_t)deadline) * 1e9) };
	int                   rc = 0;

	pthread_mutex_lock(&c->mutex);
	while (c->busy && rc == 0)
		rc = pthread_cond_timedwait(&c->changed, &c->mutex, &until);
	rc = c->busy ? -1 : 0;
	c->busy = true;
	pthread_mutex_unlock(&c->mutex);
	return rc == 0 ? 0 : err_set(e, ERR_BUSY, "%s did not get to this request in time", c->name);
}

static void end_turn(struct child *c)
{
	pthread_mutex_lock(&c->mutex);
	c->busy = false;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->mutex);
}

int child_ask(struct child *c, struct span question, double seconds, bool (*go_on)(void *), void *arg,
              struct buf *answer, struct span *value, struct err *e)
{
	double deadline = clock_monotonic() + seconds;
	int    rc = -1;

	buf_reset(answer);
	answer->max = c->line_max + 1;          /* with its '\n' */
	if (take_turn(c, deadline, e) < 0)
		return -1;
	if (make_ready(c, e) == 0)
		rc = converse(c, question, deadline + (c->fresh ? c->start_s : 0), go_on, arg, answer, e);
	/* What is no JSON was perhaps no answer, and the answer comes next: out of step. */
	if (rc == 0 && json_check(buf_span(answer), value, NULL) < 0)
		rc = failed(c, e, "answered with a line that is not JSON");
	if (rc == 0) {
		c->fresh = false;
		c->failures = 0;
	}
	end_turn(c);
	return rc;
}
