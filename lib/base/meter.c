/* meter.c - counters in a file that several processes map. */
#include "base/meter.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES  20480
#define LAYOUT      1
#define AGAIN_S     1.0            /* after it could not be made */
#define TRIES       3              /* others may make and replace it at the same time */
#define STATUSES    1000

const double meter_bounds[METER_BUCKETS - 1] = {
	0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
};

/* Their place is their number in the file: a new one comes at the end. */
static const char *const endpoints[] = {
	"other", "predict", "setup", "webhook", "train", "versions", "status", "job_status", "metrics", "health", "livez",
	"validate", "delete", "duplicate_model",
};

struct line {
	_Atomic uint64_t key, nanoseconds, bucket[METER_BUCKETS];
};

struct file {
	char             magic[16];
	uint64_t         layout;
	_Atomic uint64_t counter[METER__MAX];
	uint64_t         zero[1];
	struct line      line[METER_LINES];
};

_Static_assert(sizeof(struct file) == 18496 && sizeof(struct file) <= FILE_BYTES, "as meter.h says");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes");

static const struct file right = { .magic = { 'p', 'r', 'e', 'l', 'a', 'b', 'e', 'l', ' ', 'm', 'e', 't', 'r', 'i', 'c', 's' },
	                           .layout = LAYOUT };
#define HEAD_BYTES offsetof(struct file, counter)

/*
 * The mapping keeps its address and the descriptor its number for as long as the
 * process lives: another file is put in their places in one step each, under the
 * feet of threads that count, whose additions reach the one or the other.
 */
static struct {
	const char     *folder;            /* NULL: not opened */
	char            path[PATH_MAX];
	struct file    *file;
	atomic_int      fd;                /* -1: nothing is counted */
	_Atomic uint64_t device, inode;    /* of what is mapped */
	atomic_bool     lost;              /* by the handler: the file has no such page any more */
	pthread_mutex_t mutex;             /* of those who open, and of what follows */
	double          again;             /* not before this moment of clock_monotonic() */
	bool            told;              /* the log knows */
	struct sigaction before;           /* our handler */
} meter = { .fd = -1, .mutex = PTHREAD_MUTEX_INITIALIZER };

/* ---- the file --------------------------------------------------------------- */

/* Somebody cut the file short, or its disk has failed.  What is no business of ours
 * happens again, to whom it was meant for. */
static void no_page(int sig, siginfo_t *info, void *context)
{
	const char *at = info->si_addr, *file = (const char *)meter.file;
	const int   saved = errno;

	(void)context;
	if (at >= file && at < file + FILE_BYTES &&
	    mmap(meter.file, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		atomic_store(&meter.lost, true);
	else
		sigaction(sig, &meter.before, NULL);
	errno = saved;
}

/* A descriptor of the file as it should be; -1, errno ENOENT: there is none, 0:
 * what is there is not right. */
static int open_right(const char *path)
{
	char        head[HEAD_BYTES];
	struct stat sb;
	int         fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0) {
		if (errno != ENOENT && errno != EMFILE && errno != ENFILE && errno != EROFS)
			errno = 0;
		return -1;
	}
	if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_uid == geteuid() && sb.st_size == FILE_BYTES &&
	    pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head && memcmp(head, &right, sizeof head) == 0 &&
	    ((sb.st_mode & 077) == 0 || fchmod(fd, 0600) == 0))
		return fd;
	close(fd);
	errno = 0;
	return -1;
}

/* Made whole under a name of its own, and there at once or not at all.  -1, errno
 * EEXIST: another was faster. */
static int make(const char *path)
{
	char new[PATH_MAX + 8];
	int  fd, rc;

	snprintf(new, sizeof new, "%s.XXXXXX", path);
	fd = mkostemp(new, O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = posix_fallocate(fd, 0, FILE_BYTES);
	if (rc == 0 && (pwrite(fd, &right, HEAD_BYTES, 0) != (ssize_t)HEAD_BYTES || link(new, path) < 0))
		rc = errno;
	unlink(new);
	if (rc == 0)
		return fd;
	close(fd);
	errno = rc;
	return -1;
}

static int open_or_make(const char *path)
{
	int fd = -1;

	for (int i = 0; i < TRIES && fd < 0; i++) {
		fd = open_right(path);
		if (fd >= 0 || (errno != 0 && errno != ENOENT) || (errno == 0 && unlink(path) < 0 && errno != ENOENT))
			break;
		fd = make(path);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd;
}

/* fd in place of what was mapped. */
static int map(int fd)
{
	struct stat sb;
	int         old = atomic_load(&meter.fd), rc = 0;

	if (fstat(fd, &sb) < 0) {
		close(fd);
		return -1;
	}
	/* Before: what is lost from here on is of the new file. */
	atomic_store(&meter.lost, false);
	if (mmap(meter.file, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		rc = -1;
	else if (old < 0)
		atomic_store(&meter.fd, fd);
	else
		rc = dup3(fd, old, O_CLOEXEC) < 0 ? -1 : 0;
	if (rc < 0 || old >= 0)
		close(fd);
	if (rc == 0) {
		atomic_store(&meter.device, sb.st_dev);
		atomic_store(&meter.inode, sb.st_ino);
	}
	return rc;
}

/* Is what is mapped still the file of that name, and whole?  Its number is nobody
 * else's for as long as the descriptor holds it. */
static bool holds(void)
{
	struct stat named;

	return atomic_load(&meter.fd) >= 0 && !atomic_load(&meter.lost) && lstat(meter.path, &named) == 0 &&
	       atomic_load(&meter.inode) == named.st_ino && atomic_load(&meter.device) == named.st_dev &&
	       named.st_size == FILE_BYTES;
}

static bool open_again(void)       /* with the mutex held */
{
	const double now = clock_monotonic();
	int          fd;

	if (holds())
		return true;
	if (now < meter.again)
		return false;
	fd = open_or_make(meter.path);
	if (fd >= 0 && map(fd) == 0)
		return true;
	if (errno == ENOENT)               /* no folder yet */
		return false;
	meter.again = now + AGAIN_S;
	if (!meter.told)
		log_line(LOG_WARNING, "requests are not counted: " METER_FILE " in MODEL_DIR can't be made: %s", strerror(errno));
	meter.told = true;
	return false;
}

static bool ready(void)
{
	bool is;

	if (meter.folder == NULL)
		return false;
	if (holds())
		return true;
	pthread_mutex_lock(&meter.mutex);
	is = open_again();
	pthread_mutex_unlock(&meter.mutex);
	return is;
}

void meter_open(const char *folder)
{
	struct sigaction handler = { .sa_sigaction = no_page, .sa_flags = SA_SIGINFO };

	if (snprintf(meter.path, sizeof meter.path, "%s/" METER_FILE, folder) >= (int)sizeof meter.path)
		return;
	meter.file = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (meter.file == MAP_FAILED || sigaction(SIGBUS, &handler, &meter.before) < 0)
		return;
	meter.folder = folder;
	(void)ready();
}

/* ---- counting ----------------------------------------------------------------- */

static uint64_t endpoint_of(struct span path)
{
	if (span_is(path, "/"))
		path = SPAN("/health");
	for (size_t i = 1; path.len > 1 && i < countof(endpoints); i++)
		if (span_is((struct span){ path.p + 1, path.len - 1 }, endpoints[i]))
			return i;
	return 0;
}

/* The line of a pair, taken where it has none; NULL: there is no room for another. */
static struct line *line_of(uint64_t key)
{
	for (size_t i = 0; i < METER_LINES; i++) {
		struct line *l = &meter.file->line[(key + i) % METER_LINES];
		uint64_t     is = atomic_load(&l->key);

		if (is == key || (is == 0 && (atomic_compare_exchange_strong(&l->key, &is, key) || is == key)))
			return l;
	}
	return NULL;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

void meter_add(enum meter_counter counter, uint64_t n)
{
	if (ready())
		add(&meter.file->counter[counter], n);
}

void meter_mark(enum meter_counter counter, uint64_t now_s)
{
	if (ready())
		atomic_store(&meter.file->counter[counter], now_s);
}

bool meter_turn(enum meter_counter counter, uint64_t now_s, uint64_t every)
{
	static _Atomic uint64_t own[METER__MAX];
	_Atomic uint64_t       *at = ready() ? &meter.file->counter[counter] : &own[counter];
	uint64_t                last = atomic_load(at);

	/* A time ahead of now is a clock that was set back. */
	if (last <= now_s && now_s - last < every)
		return false;
	return atomic_compare_exchange_strong(at, &last, now_s);
}

void meter_request(struct span path, int status, double seconds)
{
	struct line *l;
	size_t       b = 0;

	if (status < 100 || status >= STATUSES || !ready() ||
	    (l = line_of(1 + endpoint_of(path) * STATUSES + (uint64_t)status)) == NULL)
		return;
	while (b < METER_BUCKETS - 1 && seconds > meter_bounds[b])
		b++;
	add(&l->nanoseconds, seconds > 0 ? (uint64_t)(seconds * 1e9) : 0);
	add(&l->bucket[b], 1);
}

/* ---- reading ------------------------------------------------------------------- */

static int by_pair(const void *a, const void *b)
{
	const struct meter_line *x = a, *y = b;
	const int                order = strcmp(x->endpoint, y->endpoint);

	return order != 0 ? order : x->status - y->status;
}

static void read_file(const struct file *f, struct meter *m)
{
	for (size_t i = 0; i < METER__MAX; i++)
		m->counter[i] = atomic_load(&f->counter[i]);
	for (size_t i = 0; i < METER_LINES; i++) {
		const struct line *from = &f->line[i];
		struct meter_line *to = &m->line[m->n];
		const uint64_t     key = atomic_load(&from->key) - 1;
		uint64_t           any = 0;

		if (key / STATUSES >= countof(endpoints))
			continue;
		to->endpoint = endpoints[key / STATUSES];
		to->status = (int)(key % STATUSES);
		to->nanoseconds = atomic_load(&from->nanoseconds);
		for (size_t b = 0; b < METER_BUCKETS; b++)
			any |= to->bucket[b] = atomic_load(&from->bucket[b]);
		m->n += any != 0;              /* one is just being counted */
	}
	qsort(m->line, m->n, sizeof m->line[0], by_pair);
}

bool meter_read(struct meter *m)
{
	*m = (struct meter){ .n = 0 };
	if (!ready())
		return false;
	read_file(meter.file, m);
	return true;
}

bool meter_peek(const char *folder, struct meter *m)
{
	struct file copy;
	char        path[PATH_MAX];
	ssize_t     n = -1;
	int         fd;

	*m = (struct meter){ .n = 0 };
	if (snprintf(path, sizeof path, "%s/" METER_FILE, folder) >= (int)sizeof path)
		return false;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0) {
		n = pread(fd, &copy, sizeof copy, 0);
		close(fd);
	}
	if (n != (ssize_t)sizeof copy || memcmp(&copy, &right, HEAD_BYTES) != 0)
		return false;
	read_file(&copy, m);
	return true;
}

uint64_t meter_refused(const struct meter *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->line[i].endpoint, "webhook") == 0 && m->line[i].status == 401)
			for (size_t b = 0; b < METER_BUCKETS; b++)
				n += m->line[i].bucket[b];
	return n;
}
