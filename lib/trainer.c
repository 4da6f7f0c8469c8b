/* trainer.c - who starts `prelabel train`. */
#include "trainer.h"

#include "base/clock.h"
#include "base/log.h"
#include "context.h"
#include "program.h"
#include "wake.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

#define LOG_BYTES_MAX (4 << 20)
#define AT_ONCE       4         /* trainers that one reply may start */

static int spawner = -1;        /* our end of the socket to the process that starts them */

int trainer_log(const char *model_dir)
{
	struct stat sb;
	char        path[PATH_MAX], old[PATH_MAX];

	if (snprintf(path, sizeof path, "%s/train.log", model_dir) >= (int)sizeof path ||
	    snprintf(old, sizeof old, "%s/train.log.1", model_dir) >= (int)sizeof old)
		return -1;
	if (lstat(path, &sb) == 0 && sb.st_size > LOG_BYTES_MAX)
		(void)rename(path, old);
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* The prelabel that belongs to the running program: itself, where it is all programs;
 * in the folder above it (build/cgi, lib/prelabel/cgi); beside it. */
static int find_prelabel(char path[PATH_MAX])
{
	static const char *const places[] = { "../prelabel", "prelabel" };
	struct stat              sb;

	if (program_is_all())
		return program_self(path);
	for (size_t i = 0; i < countof(places); i++)
		if (program_beside(places[i], path) == 0 &&
		    stat(path, &sb) == 0 && S_ISREG(sb.st_mode) && access(path, X_OK) == 0)
			return 0;
	return -1;
}

/* fork, setsid, fork, exec: the trainer outlives this process and is nobody's
 * zombie.  Exec, since a SQLite connection must not cross a fork.  Between fork
 * and exec only calls that are safe beside other threads. */
static void start(const char *prelabel, int64_t project)
{
	char        row[24];
	const char *argv[] = { "prelabel", "train", "--queued", row, NULL };
	sigset_t    none;
	pid_t       pid;
	int         fd;

	snprintf(row, sizeof row, "%lld", (long long)project);
	pid = fork();
	if (pid < 0) {
		log_line(LOG_WARNING, "no trainer could be started: fork fails");
		return;
	}
	if (pid > 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return;
	}
	/* The threads here block the signals that end a program; the trainer is to
	 * hear them and hand its job back. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* Descriptor 0 is the FastCGI listening socket; 1 and 2 are the web server's. */
	if (setsid() < 0 || (pid = fork()) < 0)
		_exit(1);
	if (pid > 0)
		_exit(0);
	fd = open("/dev/null", O_RDWR);
	if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
		_exit(1);
	/* A web server's standard error ends with it; the journal stays. */
	if (!log_to_journal() && dup2(fd, 2) < 0)
		_exit(1);
	if (close_range(3, ~0U, 0) < 0)
		for (fd = 3; fd < 1024; fd++)
			close(fd);
	(void)setpriority(PRIO_PROCESS, 0, TRAINER_NICE);
	execv(prelabel, (char *const *)(uintptr_t)argv);
	_exit(1);
}

static bool supervised(void)
{
	const char *dir = getenv(RUN_DIR_VARIABLE);

	return dir != NULL && dir[0] != '\0';
}

/* Rows of projects come in, until who sends them has ended, however it did. */
static _Noreturn void spawn(int from, const char *prelabel)
{
	int64_t project;

	(void)prctl(PR_SET_NAME, "start-trainers");     /* what ps(1) shows */
	/* Descriptor 0 is the FastCGI listening socket, which must not outlive its program. */
	if (dup2(from, 3) < 0)
		_exit(1);
	if (close_range(4, ~0U, 0) < 0)
		for (int fd = 4; fd < 1024; fd++)
			close(fd);
	close(0);
	close(1);
	while (recv(3, &project, sizeof project, 0) == (ssize_t)sizeof project)
		start(prelabel, project);
	_exit(0);
}

int trainer_prepare(const struct env *env, struct err *e)
{
	char  prelabel[PATH_MAX];
	int   ends[2];
	pid_t pid;

	(void)env;
	if (supervised() || find_prelabel(prelabel) < 0)
		return 0;       /* that one is missing is said when it is needed */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_set(e, ERR_MEMORY, "no process for trainers: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		spawn(ends[1], prelabel);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_set(e, ERR_MEMORY, "no process for trainers: %s", strerror(errno));
	}
	spawner = ends[0];
	return 0;
}

/* Without its spawner this process is of no more use: whoever started it starts another. */
static void ask_spawner(int64_t project)
{
	if (send(spawner, &project, sizeof project, MSG_NOSIGNAL) == (ssize_t)sizeof project)
		return;
	log_line(LOG_WARNING, "no trainer could be started: %s; ending, to be started anew", strerror(errno));
	kill(getpid(), SIGTERM);
}

void trainer_after_reply(void *context, const struct env *env)
{
	struct context *c = context;
	struct store   *st;
	int64_t         due[AT_ONCE];
	size_t          n;
	struct err      e = { 0 };

	(void)env;
	if (supervisor_wake() || supervised())
		return;         /* one that can't be woken looks once a second */
	if (context_store(c, &st, &e) < 0 || store_job_due(st, clock_s(), due, AT_ONCE, &n, &e) < 0) {
		context_failed(c, &e);
		return;         /* the next event looks again */
	}
	if (n == 0)
		return;
	if (spawner < 0) {
		log_line(LOG_ERROR, "no trainer could be started: prelabel is not beside this program");
		return;
	}
	for (size_t i = 0; i < n; i++)
		ask_spawner(due[i]);
}
