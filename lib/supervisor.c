/* supervisor.c - one start of prelabel: lighttpd, its programs, the trainers. */
#include "supervisor.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/span.h"
#include "program.h"
#include "rundir.h"
#include "trainer.h"
#include "wake.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	TRAINERS_MAX = 2,      /* at once */
	DUE_MAX      = 32,     /* rows looked at in one go */
	FDS_WANTED   = 40960   /* half of it connections: most are idle, an active one needs two or three */
};

/* Seconds. */
#define LOOK_EVERY      1.0
#define SETTLED         1.0    /* when the first requests have had their turn */
#define READY_EVERY     0.02   /* until the service manager has been told */
#define PORT_WAIT       2.0    /* for a former start to let go of the port */
#define PAUSE_DONE      0.05   /* before the same row is trained again */
#define PAUSE_FAILED    5.0    /* and after a trainer that failed or was killed */
#define SERVER_GRACE    6.0    /* lighttpd's own bound is 5 (lighttpd.conf) */
#define SERVER_TERM     1.0
#define PROGRAMS_TERM   5.0
#define TRAINERS_TERM   5.0
#define KILLED          2.0    /* until a process that got SIGKILL is gone */

struct trainer {
	pid_t   pid;           /* 0: free */
	int64_t row;
};

struct pause {
	int64_t row;
	double  until;         /* clock_monotonic() */
};

struct start {
	const struct supervisor *s;
	char           prelabel[PATH_MAX], conf[PATH_MAX];
	struct rundir  run, uploads;
	struct rundir  names;                  /* of the programs, where one file is all of them */
	sigset_t       mask;                   /* as it was before ours */
	int            signals, wake;          /* descriptors */
	pid_t          server;                 /* lighttpd; 0: not running (any more) */
	pid_t          group;                  /* its process group, the programs' too */
	struct trainer trainers[TRAINERS_MAX];
	struct pause   pauses[DUE_MAX];
	double         look_at;                /* clock_monotonic() of the next look */
	double         settled_at;             /* and of the call of settled(); 0: it was made */
	char           due_failed[sizeof ((struct err *)0)->msg], settled_failed[sizeof ((struct err *)0)->msg];   /* said already */
	bool           announce;               /* a service manager waits to hear that we serve */
	bool           stop;                   /* a signal asked for it */
};

/*
 * What lighttpd says when even the program behind /error is down: it refuses a
 * request itself, asks that program for the words, and gets no answer.  The
 * names of the files (error-400.html) are lighttpd's rule.
 */
static const struct { int status; const char *why; } refusals[] = {
	{ 400, "not a valid HTTP request" },
	{ 411, "Content-Length is missing" },
	{ 413, "the body is larger than MAX_BODY_MB allows" },
	{ 431, "request line and header are longer than 8 KB" },
	{ 500, "the program behind this path ended" },
	{ 501, "method or transfer coding that is not spoken here" },
	{ 502, "no valid answer from the program behind this path" },
	{ 503, "no program is free to answer: try again" },
	{ 504, "no answer in time from the program behind this path" },
	{ 505, "HTTP/1.0 and HTTP/1.1 are spoken here" },
};

/* ---- before anything runs ------------------------------------------------ */

/* HOST:PORT, to be freed with freeaddrinfo(). */
static int address(const struct env *env, struct addrinfo **at, struct err *e)
{
	struct addrinfo want = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	char            port[8];
	int             rc;

	snprintf(port, sizeof port, "%" PRId64, env->port);
	rc = getaddrinfo(env->host, port, &want, at);
	return rc == 0 ? 0 : err_set(e, ERR_USAGE, "HOST=%.100s: %s", env->host, gai_strerror(rc));
}

/* Waits until HOST:PORT can be bound, as lighttpd is going to. */
static int port_wait(const struct env *env, struct err *e)
{
	struct addrinfo *at;
	double           end = clock_monotonic() + PORT_WAIT;
	int              one = 1, failed;

	if (address(env, &at, e) < 0)
		return -1;
	for (;;) {
		int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		failed = 0;
		if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
		    bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, 1) < 0)
			failed = errno;
		if (fd >= 0)
			close(fd);
		if (failed != EADDRINUSE || clock_monotonic() > end)
			break;
		(void)poll(NULL, 0, 20);
	}
	freeaddrinfo(at);
	if (failed == EADDRINUSE)
		return err_set(e, ERR_USAGE, "%.100s:%" PRId64 " is taken by another program: end it or set PORT",
		               env->host, env->port);
	if (failed != 0)
		return err_set(e, ERR_USAGE, "can't listen on %.100s:%" PRId64 ": %s", env->host, env->port,
		               strerror(failed));
	return 0;
}

/* $XDG_RUNTIME_DIR where it will do; the names of sockets hold 107 bytes, and
 * lighttpd cuts the path of a program at a space. */
static int run_folder(struct rundir *d, struct err *e)
{
	const char *parent = getenv("XDG_RUNTIME_DIR");

	if (parent != NULL && parent[0] == '/' && strlen(parent) < 60 && strpbrk(parent, " \t") == NULL &&
	    rundir_make(d, parent, "prelabel", NULL) == 0)
		return 0;
	return rundir_make(d, "/tmp", "prelabel", e);
}

static int set(const char *name, const char *value, struct err *e)
{
	return setenv(name, value, 1) == 0 ? 0 : err_memory(e);
}

static int set_number(const char *name, uint64_t value, struct err *e)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, value);
	return set(name, text, e);
}

/* The settings in force and what else lighttpd.conf reads: an unset env.NAME is
 * a syntax error there. */
static int environment(const struct start *st, rlim_t fds, struct err *e)
{
	const struct env     *env = st->s->env;
	const struct env_row *rows;
	size_t                n;
	char                  bind_to[300], command[PATH_MAX], folder[PATH_MAX];

	if ((n = env_rows(&rows, e)) == 0 || env_export(e) < 0)
		return -1;
	/* One name for each setting from here on: the value in force may be written
	 * in another way than under its older name, and two that differ stop a program. */
	for (size_t i = 0; i < n; i++) {
		const char *newer = getenv(rows[i].name);
		const char *older = rows[i].older == NULL ? NULL : getenv(rows[i].older);

		if (older == NULL)
			continue;
		if ((newer == NULL || newer[0] == '\0') && set(rows[i].name, older, e) < 0)
			return -1;
		(void)unsetenv(rows[i].older);
	}

	/* The web server runs its programs in their own folder: ./data would be another
	 * one for each. */
	if (realpath(env->model_dir, folder) == NULL)
		return err_set(e, ERR_USAGE, "MODEL_DIR=%.100s: %s", env->model_dir, strerror(errno));
	if (set("MODEL_DIR", folder, e) < 0)
		return -1;
	if (env->model_command != NULL && realpath(env->model_command, command) != NULL &&
	    set("MODEL_COMMAND", command, e) < 0)
		return -1;
	snprintf(bind_to, sizeof bind_to, strchr(env->host, ':') != NULL ? "[%s]" : "%s", env->host);
	if (set("PRELABEL_BIND", bind_to, e) < 0 ||
	    set_number("PRELABEL_BODY_KB", env_body_max(env) >> 10, e) < 0 ||
	    set_number("PRELABEL_FDS", fds, e) < 0 || set_number("PRELABEL_CONNECTIONS", fds / 2, e) < 0 ||
	    set(RUN_DIR_VARIABLE, st->run.path, e) < 0 ||
	    set("PRELABEL_UPLOAD_DIR", st->uploads.path[0] == '\0' ? st->run.path : st->uploads.path, e) < 0)
		return -1;
	return 0;
}

/* Room for many idle connections. */
static rlim_t limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1024;
	if (files.rlim_cur < FDS_WANTED) {
		files.rlim_cur = files.rlim_max < FDS_WANTED ? files.rlim_max : FDS_WANTED;
		(void)setrlimit(RLIMIT_NOFILE, &files);
		(void)getrlimit(RLIMIT_NOFILE, &files);
	}
	return files.rlim_cur < FDS_WANTED ? files.rlim_cur : FDS_WANTED;
}

static int write_refusal(const char *dir, int status, const char *why, struct err *e)
{
	char  path[PATH_MAX];
	FILE *f;
	int   n = snprintf(path, sizeof path, "%s/error-%d.html", dir, status), bad;

	if (n < 0 || (size_t)n >= sizeof path || (f = fopen(path, "wxe")) == NULL)
		return err_set(e, ERR_USAGE, "can't write the answers for refused requests: %s", strerror(errno));
	bad = fprintf(f, "{\"status\": %d, \"error\": \"%s\"}\n", status, why) < 0;
	bad |= fclose(f) != 0;
	return bad ? err_set(e, ERR_DISK, "can't write the answers for refused requests") : 0;
}

static int link_to(const char *target, const char *folder, const char *name)
{
	char path[PATH_MAX];
	int  n = snprintf(path, sizeof path, "%s/%s", folder, name);

	return n < 0 || (size_t)n >= sizeof path ? -1 : symlink(target, path);
}

/* What lies beside a program that does not carry it: lighttpd.conf, and the folder in
 * which the programs have their names.  A folder of the same kind as ours, not one in
 * ours, which is flat. */
static int unpack(struct start *st, struct err *e)
{
	static const char *const programs[] = { "predict", "setup", "webhook", "status" };
	struct span              conf;
	FILE                    *f;
	bool                     bad;

	if (st->s->programs == NULL) {
		if (run_folder(&st->names, e) < 0)
			return -1;
		for (size_t i = 0; i < countof(programs); i++)
			if (link_to(st->prelabel, st->names.path, programs[i]) < 0)
				return err_set(e, ERR_USAGE, "can't name the programs: %s", strerror(errno));
	}
	if (st->s->conf != NULL)
		return 0;
	if (!program_file("lighttpd.conf", &conf))
		return err_set(e, ERR_NOT_FOUND, "lighttpd.conf is neither in the program nor beside it");
	if (snprintf(st->conf, sizeof st->conf, "%s/lighttpd.conf", st->run.path) >= PATH_MAX ||
	    (f = fopen(st->conf, "wxe")) == NULL)
		return err_set(e, ERR_USAGE, "can't write lighttpd.conf: %s", strerror(errno));
	bad = fwrite(conf.p, 1, conf.len, f) != conf.len;
	bad |= fclose(f) != 0;
	return bad ? err_set(e, ERR_DISK, "can't write lighttpd.conf") : 0;
}

static int run_folder_fill(struct start *st, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const char        *folder = st->s->programs != NULL ? st->s->programs : st->names.path;
	char               programs[PATH_MAX];
	int                n;

	for (size_t i = 0; i < countof(refusals); i++)
		if (write_refusal(st->run.path, refusals[i].status, refusals[i].why, e) < 0)
			return -1;

	if (realpath(folder, programs) == NULL || link_to(programs, st->run.path, "cgi") < 0)
		return err_set(e, ERR_USAGE, "folder of the programs %.100s: %s", folder, strerror(errno));

	n = snprintf(at.sun_path, sizeof at.sun_path, "%s/%s", st->run.path, WAKE_SOCKET);
	st->wake = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n < 0 || (size_t)n >= sizeof at.sun_path || st->wake < 0 ||
	    fchmod(st->wake, 0600) < 0 ||
	    bind(st->wake, (const struct sockaddr *)&at, sizeof at) < 0)
		return err_set(e, ERR_USAGE, "can't make the socket for wakes: %s", strerror(errno));
	return 0;
}

static int signals_take(struct start *st, struct err *e)
{
	struct sigaction hup;
	sigset_t         ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGQUIT);
	sigaddset(&ours, SIGCHLD);
	/* Under nohup it stays ignored; a blocked one would come all the same. */
	if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler != SIG_IGN)
		sigaddset(&ours, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &ours, &st->mask) < 0 ||
	    (st->signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
		return err_set(e, ERR_MEMORY, "can't take signals: %s", strerror(errno));
	/* Whoever reads our log may go away before us. */
	(void)signal(SIGPIPE, SIG_IGN);
	/* Inherited as ignored, it would reap behind our back. */
	(void)signal(SIGCHLD, SIG_DFL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) < 0)
		return err_set(e, ERR_USAGE, "can't adopt orphans: %s", strerror(errno));
	return 0;
}

/* ---- children ------------------------------------------------------------ */

/* Forks.  In the child: a group of its own, default signals, death with the
 * supervisor `parent`. */
static pid_t child(const struct start *st)
{
	pid_t parent = getpid(), pid = fork();

	if (pid > 0)
		(void)setpgid(pid, pid);        /* in both, so that neither runs before it is so */
	if (pid != 0)
		return pid;
	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL) < 0 || getppid() != parent)
		_exit(127);                     /* it died before the line above */
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &st->mask, NULL);
	return 0;
}

static _Noreturn void exec_failed(const char *what)
{
	log_line(LOG_ERROR, "can't run %s: %s", what, strerror(errno));
	_exit(127);
}

/* stdin from /dev/null: a terminal's input is not for us. */
static void no_input(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)dup2(fd, STDIN_FILENO);
}

static int server_start(struct start *st, struct err *e)
{
	char        path[4096];
	const char *had = getenv("PATH");

	st->server = st->group = child(st);
	if (st->server < 0) {
		st->server = 0;
		return err_set(e, ERR_MEMORY, "can't start lighttpd: %s", strerror(errno));
	}
	if (st->server > 0)
		return 0;

	no_input();
	/* Sockets 0600: lighttpd makes them with what the mask leaves. */
	(void)umask(0177);
	if (st->s->programs == NULL) {
		execl(st->prelabel, "lighttpd", "-D", "-f", st->conf, (char *)NULL);
		exec_failed(st->prelabel);
	}
	/* Debian has lighttpd where only root's PATH looks. */
	snprintf(path, sizeof path, "%s:/usr/local/sbin:/usr/sbin:/sbin", had == NULL ? "/usr/bin:/bin" : had);
	(void)setenv("PATH", path, 1);
	execlp("lighttpd", "lighttpd", "-D", "-f", st->conf, (char *)NULL);
	exec_failed("lighttpd");
}

static void trainer_start(struct start *st, struct trainer *t, int64_t row)
{
	char  number[24];
	pid_t pid = child(st);

	if (pid < 0) {
		log_line(LOG_ERROR, "project row %" PRId64 ": can't start a trainer: %s", row, strerror(errno));
		return;
	}
	if (pid > 0) {
		*t = (struct trainer){ .pid = pid, .row = row };
		log_line(LOG_DEBUG, "project row %" PRId64 ": trainer is process %ld", row, (long)pid);
		return;
	}

	no_input();
	(void)dup2(STDERR_FILENO, STDOUT_FILENO);
	(void)setpriority(PRIO_PROCESS, 0, TRAINER_NICE);
	/* A trainer calls Label Studio and answers nobody. */
	(void)unsetenv("BASIC_AUTH_USER");
	(void)unsetenv("BASIC_AUTH_PASS");
	(void)unsetenv("WEBHOOK_SECRET");
	snprintf(number, sizeof number, "%" PRId64, row);
	execl(st->prelabel, "prelabel", "train", "--queued", number, (char *)NULL);
	exec_failed(st->prelabel);
}

static void pause_row(struct start *st, int64_t row, double seconds)
{
	struct pause *oldest = &st->pauses[0];

	for (size_t i = 1; i < countof(st->pauses) && oldest->row != row; i++)
		if (st->pauses[i].row == row || st->pauses[i].until < oldest->until)
			oldest = &st->pauses[i];
	*oldest = (struct pause){ .row = row, .until = clock_monotonic() + seconds };
}

static bool paused(const struct start *st, int64_t row)
{
	double now = clock_monotonic();

	for (size_t i = 0; i < countof(st->pauses); i++)
		if (st->pauses[i].row == row && st->pauses[i].until > now)
			return true;
	return false;
}

static const char *how_it_ended(int status, char out[64])
{
	if (WIFSIGNALED(status))
		snprintf(out, 64, "was killed by signal %d", WTERMSIG(status));
	else
		snprintf(out, 64, "ended with status %d", WEXITSTATUS(status));
	return out;
}

static void trainer_ended(struct start *st, struct trainer *t, int status)
{
	char how[64];

	if (status != 0 && !st->stop)
		log_line(LOG_WARNING, "project row %" PRId64 ": the trainer %s", t->row,
		         how_it_ended(status, how));
	pause_row(st, t->row, status == 0 ? PAUSE_DONE : PAUSE_FAILED);
	t->pid = 0;
	st->look_at = 0;        /* a row may have waited for the place */
}

/* Buries the dead, whoever they were. */
static void reap(struct start *st)
{
	char  how[64];
	int   status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == st->server) {
			st->server = 0;
			if (!st->stop)
				log_line(LOG_ERROR, "lighttpd %s by itself: ending the rest",
				         how_it_ended(status, how));
		}
		for (size_t i = 0; i < TRAINERS_MAX; i++)
			if (st->trainers[i].pid == pid)
				trainer_ended(st, &st->trainers[i], status);
	}
}

/* ---- while it runs ------------------------------------------------------- */

/* Once for each reason, not once a second. */
static void say_new(char said[sizeof ((struct err *)0)->msg], const char *what, const struct err *why)
{
	if (strcmp(why->msg, said) != 0)
		log_line(LOG_ERROR, "%s: %s", what, why->msg);
	snprintf(said, sizeof why->msg, "%s", why->msg);
}

static void look(struct start *st)
{
	int64_t    rows[DUE_MAX];
	struct err e = { 0 };
	int        n;

	st->look_at = clock_monotonic() + LOOK_EVERY;
	if (st->settled_at > 0 && clock_monotonic() >= st->settled_at) {
		if (st->s->settled == NULL || st->s->settled(st->s->arg, &e) == 0)
			st->settled_at = 0;
		else
			say_new(st->settled_failed, "Label Studio's export is not yet read", &e);
		err_clear(&e);
	}
	n = st->s->due(st->s->arg, rows, DUE_MAX, &e);
	if (n < 0) {
		say_new(st->due_failed, "looking for due trainings", &e);
		return;
	}
	st->due_failed[0] = '\0';
	for (int i = 0; i < n; i++) {
		struct trainer *place = NULL;
		bool            running = false;

		for (size_t k = 0; k < TRAINERS_MAX; k++) {
			if (st->trainers[k].pid == 0)
				place = &st->trainers[k];
			else if (st->trainers[k].row == rows[i])
				running = true;
		}
		if (place == NULL)
			return;
		if (!running && !paused(st, rows[i]))
			trainer_start(st, place, rows[i]);
		else if (!running)
			/* It became due while its last trainer was ending. */
			st->look_at = clock_monotonic() + PAUSE_DONE;
	}
}

/* Sleeps until a signal, a wake, or `seconds` have passed; takes them in. */
static void attend(struct start *st, double seconds)
{
	struct pollfd           p[2] = { { .fd = st->signals, .events = POLLIN },
	                                 { .fd = st->wake, .events = POLLIN } };
	struct signalfd_siginfo info;
	char                    byte;

	(void)poll(p, 2, seconds <= 0 ? 0 : (int)(seconds * 1000) + 1);
	while (read(st->signals, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo != SIGCHLD)
			st->stop = true;
	while (recv(st->wake, &byte, sizeof byte, 0) >= 0)
		st->look_at = 0;
	reap(st);       /* signals of the same kind merge: always look for all */
}

/* Is HOST:PORT taken, by lighttpd that is?  From then on a request is answered: the
 * programs' sockets are made before it accepts. */
static bool serves(const struct env *env)
{
	const struct timeval wait = { .tv_sec = 1 };   /* of this machine: it is there at once, or refused */
	struct addrinfo     *at;
	struct err           e = { 0 };
	bool                 yes = false;
	int                  fd;

	if (address(env, &at, &e) < 0)
		return false;
	fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		yes = setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0 &&
		      connect(fd, at->ai_addr, at->ai_addrlen) == 0;
		close(fd);
	}
	freeaddrinfo(at);
	return yes;
}

static void announce(struct start *st)
{
	int failed;

	if (!serves(st->s->env))
		return;
	st->announce = false;
	failed = manager_tell("READY=1");
	if (failed != 0)
		log_line(LOG_WARNING, "the service manager can't be told that we serve: %s", strerror(failed));
}

/* ---- the end ------------------------------------------------------------- */

static bool server_gone(const struct start *st)
{
	return st->server == 0;
}

static bool trainers_gone(const struct start *st)
{
	for (size_t i = 0; i < TRAINERS_MAX; i++)
		if (st->trainers[i].pid != 0)
			return false;
	return true;
}

static bool is_trainer(const struct start *st, pid_t pid)
{
	for (size_t i = 0; i < TRAINERS_MAX; i++)
		if (st->trainers[i].pid == pid)
			return true;
	return false;
}

/* Sends sig (0: none) to every child that is neither lighttpd nor a trainer: the
 * programs, once lighttpd is gone, and what they may have left.  How many? */
static size_t others(const struct start *st, int sig)
{
	char   path[64], *line = NULL, *at, *next;
	long   pid;
	size_t n = 0, size = 0;
	bool   some, known;
	FILE  *f;

	snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
	f = fopen(path, "re");
	some = f != NULL && getline(&line, &size, f) > 0;
	known = some || (f != NULL && feof(f) != 0);
	if (f != NULL)
		fclose(f);
	if (!known) {
		/* No such list in this kernel, or no memory for it: the programs are in lighttpd's group. */
		siginfo_t any = { 0 };

		free(line);
		if (waitid(P_PGID, (id_t)st->group, &any, WEXITED | WNOHANG | WNOWAIT) < 0)
			return 0;
		if (sig != 0)
			(void)kill(-st->group, sig);
		return 1;
	}
	/* Without a line nothing was written to it. */
	for (at = line; some && (pid = strtol(at, &next, 10)) > 0; at = next)
		if (pid != st->server && !is_trainer(st, (pid_t)pid)) {
			n++;
			if (sig != 0)
				(void)kill((pid_t)pid, sig);
		}
	free(line);
	return n;
}

static bool others_gone(const struct start *st)
{
	return others(st, 0) == 0;
}

/* Attends until gone() holds: true; after `seconds`: false.  Further signals
 * change nothing: the stop is under way and bounded. */
static bool gone_within(struct start *st, bool (*gone)(const struct start *), double seconds)
{
	double end = clock_monotonic() + seconds;

	for (;;) {
		double left = end - clock_monotonic();

		if (gone(st))
			return true;
		if (left <= 0)
			return false;
		attend(st, left);
	}
}

static void server_stop(struct start *st)
{
	static const struct { int sig; double wait; } steps[] = {
		{ SIGINT, SERVER_GRACE }, { SIGTERM, SERVER_TERM }, { SIGKILL, KILLED },
	};

	for (size_t i = 0; i < countof(steps) && !server_gone(st); i++) {
		(void)kill(st->server, steps[i].sig);
		(void)gone_within(st, server_gone, steps[i].wait);
	}
}

static void others_stop(struct start *st)
{
	double end;

	if (others(st, SIGTERM) == 0 || gone_within(st, others_gone, PROGRAMS_TERM))
		return;
	log_line(LOG_WARNING, "%zu programs did not end within %.0f s: killed", others(st, 0), PROGRAMS_TERM);
	/* Again and again: the children of what was killed come to us in turn. */
	for (end = clock_monotonic() + KILLED; others(st, SIGKILL) != 0 && clock_monotonic() < end; )
		attend(st, 0.02);
}

static void trainers_signal(const struct start *st, int sig)
{
	for (size_t i = 0; i < TRAINERS_MAX; i++)
		if (st->trainers[i].pid != 0)
			(void)kill(st->trainers[i].pid, sig);
}

static void trainers_stop(struct start *st)
{
	trainers_signal(st, SIGTERM);
	if (gone_within(st, trainers_gone, TRAINERS_TERM))
		return;
	log_line(LOG_WARNING, "a trainer did not end within %.0f s: killed", TRAINERS_TERM);
	trainers_signal(st, SIGKILL);
	(void)gone_within(st, trainers_gone, KILLED);
}

/* ---- all of it ----------------------------------------------------------- */

static int start(struct start *st, struct err *e)
{
	const struct supervisor *s = st->s;
	rlim_t                   fds;

	if (realpath(s->prelabel, st->prelabel) == NULL)
		return err_set(e, ERR_USAGE, "%.100s: %s", s->prelabel, strerror(errno));
	if (s->conf != NULL && realpath(s->conf, st->conf) == NULL)
		return err_set(e, ERR_USAGE, "%.100s: %s", s->conf, strerror(errno));
	if (port_wait(s->env, e) < 0 || signals_take(st, e) < 0)
		return -1;
	(void)umask(077);
	fds = limits();
	if (run_folder(&st->run, e) < 0)
		return -1;
	/* Large bodies wait on disk until they are whole: beside the store, where
	 * there is room for them; a store that can't be written to still predicts. */
	(void)rundir_make(&st->uploads, s->env->model_dir, "upload", NULL);
	if (unpack(st, e) < 0 || run_folder_fill(st, e) < 0 || environment(st, fds, e) < 0)
		return -1;
	return server_start(st, e);
}

int supervisor_run(const struct supervisor *s)
{
	static struct start st;         /* some pages: not for the stack; one a process */
	struct err          e = { 0 };
	bool                failed;

	st = (struct start){ .s = s, .signals = -1, .wake = -1, .announce = manager_listens() };
	failed = start(&st, &e) < 0;
	if (failed) {
		log_line(LOG_ERROR, "%s", e.msg);
	} else {
		log_line(LOG_INFO, "serving http://%s:%" PRId64 "/, store in %s", getenv("PRELABEL_BIND"),
		         s->env->port, s->env->model_dir);
		st.settled_at = clock_monotonic() + SETTLED;
		while (!st.stop && st.server != 0) {
			if (clock_monotonic() >= st.look_at)
				look(&st);
			if (st.announce)
				announce(&st);
			attend(&st, st.announce ? READY_EVERY : st.look_at - clock_monotonic());
		}
		failed = !st.stop;
		if (st.stop)
			log_line(LOG_INFO, "stopping");
		(void)manager_tell("STOPPING=1");
		server_stop(&st);
		others_stop(&st);
		trainers_stop(&st);
	}
	rundir_remove(&st.uploads);
	rundir_remove(&st.run);
	rundir_remove(&st.names);
	return failed ? 1 : 0;
}
