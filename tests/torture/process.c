/* process.c - a whole program as a process of its own. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANG_MS 20000
#define LEFT_MS 3000

void really_wait(long ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	syscall(SYS_nanosleep, &t, NULL);
}

static void read_all(int fd, char *out, size_t room)
{
	ssize_t n = pread(fd, out, room - 1, 0);

	out[n < 0 ? 0 : n] = '\0';
}

/* All of our children, which include the orphans (PR_SET_CHILD_SUBREAPER). */
static size_t kill_children(void)
{
	char    path[64], text[4096], *at = text, *next;
	size_t  n = 0;
	long    pid;
	int     fd;

	snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	read_all(fd, text, sizeof text);
	close(fd);
	for (; (pid = strtol(at, &next, 10)) > 0; at = next, n++)
		kill((pid_t)pid, SIGKILL);
	return n;
}

/* How many had to be killed. */
static size_t bury(void)
{
	size_t killed = 0;
	pid_t  pid;

	for (long ms = 0; ; ms += 2) {
		pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0)
			return killed;
		if (pid > 0)
			continue;
		if (ms > LEFT_MS)
			killed += kill_children();
		really_wait(2);
	}
}

static void wait_for_end(pid_t pid, struct process_end *end)
{
	for (long ms = 0; waitpid(pid, &end->status, WNOHANG) == 0; ms++) {
		if (ms > HANG_MS && !end->hung) {
			end->hung = true;
			kill(pid, SIGKILL);
		}
		really_wait(1);
	}
}

long process_run(const struct process *p, long point, bool on, struct fault *f, struct process_end *end)
{
	int   out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	pid_t pid;
	long  n;

	faults_aside(true);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out, 1);
		dup2(err, 2);
		close(out);
		close(err);
		faults_aside(false);
		faults_arm(point, on);
		_exit(p->run(p->arg));
	}
	end->hung = pid < 0;
	end->status = 0;
	if (pid > 0) {
		if (p->meet != NULL)
			p->meet(p->arg, pid);
		wait_for_end(pid, end);
	}
	n = faults_disarm(f);
	end->left = bury();
	read_all(out, end->out, sizeof end->out);
	read_all(err, end->err, sizeof end->err);
	close(out);
	close(err);
	faults_aside(false);
	return n;
}

/* ---- FastCGI ------------------------------------------------------------------------------- */

enum { BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

struct bytes {
	unsigned char p[32768];
	size_t        n;
};

static void put(struct bytes *b, const void *p, size_t n)
{
	if (n > sizeof b->p - b->n)
		abort();
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void put_record(struct bytes *b, unsigned char type, const void *p, size_t n)
{
	const unsigned char head[8] = { 1, type, 0, 1, (unsigned char)(n >> 8), (unsigned char)n, 0, 0 };

	put(b, head, sizeof head);
	put(b, p, n);
}

static void put_params(struct bytes *b, char *const params[])
{
	struct bytes all = { .n = 0 };

	for (; *params != NULL; params++) {
		const char   *eq = strchr(*params, '=');
		size_t        name = (size_t)(eq - *params), value = strlen(eq + 1);
		unsigned char lens[2] = { (unsigned char)name, (unsigned char)value };

		put(&all, lens, 2);              /* each below 128 */
		put(&all, *params, name);
		put(&all, eq + 1, value);
	}
	put_record(b, PARAMS, all.p, all.n);
	put_record(b, PARAMS, "", 0);
}

/* n bytes, or false at the end or after ms. */
static bool get(int fd, void *to, size_t n, int ms)
{
	unsigned char *p = to;

	while (n > 0) {
		struct pollfd in = { .fd = fd, .events = POLLIN };
		ssize_t       got = poll(&in, 1, ms) == 1 ? read(fd, p, n) : -1;

		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static size_t get_answer(int fd, int ms, char *out, size_t room)
{
	static char   rest[65536 + 256];
	unsigned char head[8];
	size_t        len = 0, n;

	while (get(fd, head, sizeof head, ms)) {
		n = (size_t)head[4] << 8 | head[5];
		if (!get(fd, rest, n + head[6], ms))
			return 0;
		if (head[1] == END_REQUEST)
			return len;
		if (head[1] != STDOUT || n >= room - len)
			continue;
		memcpy(out + len, rest, n);
		len += n;
	}
	return 0;
}

size_t fcgi_ask(const char *path, char *const params[], const char *body, int seconds, char *out, size_t room)
{
	static const unsigned char responder[8] = { 0, 1 };
	struct sockaddr_un         to = { .sun_family = AF_UNIX };
	struct bytes               b = { .n = 0 };
	size_t                     len = 0;
	int                        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	put_record(&b, BEGIN_REQUEST, responder, sizeof responder);
	put_params(&b, params);
	put_record(&b, STDIN, body, strlen(body));
	if (body[0] != '\0')
		put_record(&b, STDIN, "", 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && send(fd, b.p, b.n, MSG_NOSIGNAL) == (ssize_t)b.n)
		len = get_answer(fd, seconds * 1000, out, room - 1);
	out[len] = '\0';
	close(fd);
	return len;
}
