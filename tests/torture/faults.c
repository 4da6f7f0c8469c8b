/* faults.c - malloc, read, open and their like, which fail when they are told to. */
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The C library's own, by the names that stay when the usual ones are taken. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void  __libc_free(void *);

const char *const fault_sort_names[FAULT__MAX] = {
	[FAULT_MEMORY] = "memory", [FAULT_MAP] = "mmap", [FAULT_THREAD] = "pthread_create", [FAULT_FORK] = "fork",
	[FAULT_PIPE] = "pipe", [FAULT_POLL] = "poll", [FAULT_OPEN] = "open", [FAULT_READ] = "read",
	[FAULT_WRITE] = "write", [FAULT_SYNC] = "fsync", [FAULT_NET] = "socket",
	[FAULT_SECCOMP] = "seccomp",
};

static const int numbers[FAULT__MAX] = {
	[FAULT_MEMORY] = ENOMEM, [FAULT_MAP] = ENOMEM, [FAULT_THREAD] = EAGAIN, [FAULT_FORK] = EAGAIN,
	[FAULT_PIPE] = EMFILE, [FAULT_POLL] = ENOMEM, [FAULT_OPEN] = EMFILE, [FAULT_READ] = EIO,
	[FAULT_WRITE] = EIO, [FAULT_SYNC] = EIO, [FAULT_NET] = ENOBUFS,
	[FAULT_SECCOMP] = EPERM,
};

static struct state {
	atomic_bool  armed;
	atomic_long  count, slept_ns;
	long         fail_at;
	bool         fail_on;
	struct fault found;
} own, *all = &own;

static atomic_long   blocks;
static bool          aside, spares_libraries;
static __thread bool within;             /* backtrace() may ask for memory itself */

static int     (*real_thread)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static pid_t   (*real_fork)(void);
static int     (*real_spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                             char *const *, char *const *);
static FILE   *(*real_fopen)(const char *, const char *);
static void   *(*real_dlopen)(const char *, int);
static int     (*real_dlclose)(void *);

static void resolve(void)
{
	void *frame[2];

	if (real_fork != NULL)
		return;
	*(void **)&real_thread = dlsym(RTLD_NEXT, "pthread_create");
	*(void **)&real_spawn = dlsym(RTLD_NEXT, "posix_spawnp");
	*(void **)&real_fopen = dlsym(RTLD_NEXT, "fopen");
	*(void **)&real_dlopen = dlsym(RTLD_NEXT, "dlopen");
	*(void **)&real_dlclose = dlsym(RTLD_NEXT, "dlclose");
	*(void **)&real_fork = dlsym(RTLD_NEXT, "fork");
	(void)backtrace(frame, 2);           /* loads what it needs */
}

/* ---- whether ------------------------------------------------------------------------ */

static bool fails(enum fault_sort sort)
{
	long n;

	if (!atomic_load_explicit(&all->armed, memory_order_relaxed) || within || aside)
		return false;
	n = atomic_fetch_add(&all->count, 1);
	if (n == all->fail_at) {
		within = true;
		all->found.sort = sort;
		all->found.n_frames = backtrace(all->found.frame, FAULT_FRAMES);
		all->found.fired = true;
		within = false;
	} else if (!(all->fail_on && all->found.fired && all->found.sort == sort)) {
		return false;
	}
	errno = numbers[sort];
	return true;
}

void faults_arm(long point, bool on)
{
	resolve();
	all->found = (struct fault){ .fired = false };
	all->fail_at = point;
	all->fail_on = on;
	atomic_store(&all->count, 0);
	atomic_store(&all->armed, true);
}

void faults_share(void)
{
	struct state *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		abort();
	*shared = *all;
	all = shared;
}

void faults_aside(bool is)
{
	aside = is;
}

void faults_spare_libraries(void)
{
	spares_libraries = true;
}

long faults_disarm(struct fault *f)
{
	atomic_store(&all->armed, false);
	if (f != NULL)
		*f = all->found;
	return atomic_load(&all->count);
}

long faults_blocks(void)
{
	return atomic_load(&blocks);
}

/* ---- who has which block --------------------------------------------------------------- */

#define TRACED_MAX 65536

static struct {
	void *p, *frame[FAULT_FRAMES];
	int   n;
} *traced;
static atomic_bool     tracing;
static size_t          n_traced;
static pthread_mutex_t trace_mutex = PTHREAD_MUTEX_INITIALIZER;

static void given(void *p)
{
	if (p == NULL)
		return;
	atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
	if (!atomic_load_explicit(&tracing, memory_order_relaxed) || within)
		return;
	within = true;
	pthread_mutex_lock(&trace_mutex);
	if (n_traced < TRACED_MAX) {
		traced[n_traced].p = p;
		traced[n_traced].n = backtrace(traced[n_traced].frame, FAULT_FRAMES);
		n_traced++;
	}
	pthread_mutex_unlock(&trace_mutex);
	within = false;
}

static void taken(void *p)
{
	if (p == NULL)
		return;
	atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
	if (!atomic_load_explicit(&tracing, memory_order_relaxed) || within)
		return;
	pthread_mutex_lock(&trace_mutex);
	for (size_t i = n_traced; i-- > 0; )
		if (traced[i].p == p) {
			traced[i] = traced[--n_traced];
			break;
		}
	pthread_mutex_unlock(&trace_mutex);
}

void faults_trace(void)
{
	if (traced == NULL)
		traced = mmap(NULL, TRACED_MAX * sizeof *traced, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	n_traced = 0;
	atomic_store(&tracing, true);
}

void faults_trace_end(void (*each)(void *const frame[], int n))
{
	atomic_store(&tracing, false);
	for (size_t i = 0; each != NULL && i < n_traced; i++)
		each(traced[i].frame, traced[i].n);
}

/* ---- memory ------------------------------------------------------------------------------ */

void *malloc(size_t n)
{
	void *p = fails(FAULT_MEMORY) ? NULL : __libc_malloc(n);

	given(p);
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = fails(FAULT_MEMORY) ? NULL : __libc_calloc(n, size);

	given(p);
	return p;
}

/* As glibc's: of length 0 it frees. */
void *realloc(void *old, size_t n)
{
	void *p;

	if (old == NULL)
		return malloc(n);
	if (n == 0) {
		free(old);
		return NULL;
	}
	if (fails(FAULT_MEMORY))
		return NULL;
	p = __libc_realloc(old, n);
	if (p != NULL) {
		taken(old);
		given(p);
	}
	return p;
}

void *reallocarray(void *old, size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / size) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, n * size);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
	void *p = fails(FAULT_MEMORY) ? NULL : __libc_memalign(align, n);

	given(p);
	return p;
}

void *aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	void *q = memalign(align, n);

	if (q == NULL)
		return ENOMEM;
	*p = q;
	return 0;
}

void free(void *p)
{
	taken(p);
	__libc_free(p);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t from)
{
	if (fails(FAULT_MAP))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, from);
}
void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));

/* ---- threads and processes ------------------------------------------------------------------ */

int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	resolve();
	return fails(FAULT_THREAD) ? EAGAIN : real_thread(t, attr, run, arg);
}

pid_t fork(void)
{
	resolve();
	return fails(FAULT_FORK) ? -1 : real_fork();
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attr,
                 char *const argv[], char *const env[])
{
	resolve();
	return fails(FAULT_FORK) ? EAGAIN : real_spawn(pid, file, files, attr, argv, env);
}

/* What a container may forbid. */
int prctl(int what, ...)
{
	unsigned long arg[4];
	va_list       ap;

	va_start(ap, what);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if ((what == PR_SET_NO_NEW_PRIVS || what == PR_SET_SECCOMP) && fails(FAULT_SECCOMP))
		return -1;
	return (int)syscall(SYS_prctl, what, arg[0], arg[1], arg[2], arg[3]);
}

int pipe2(int end[2], int flags)
{
	return fails(FAULT_PIPE) ? -1 : (int)syscall(SYS_pipe2, end, flags);
}

int pipe(int end[2])
{
	return pipe2(end, 0);
}

int poll(struct pollfd *p, nfds_t n, int ms)
{
	return fails(FAULT_POLL) ? -1 : (int)syscall(SYS_poll, p, n, ms);
}

int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t room);
int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t room)
{
	(void)room;
	return poll(p, n, ms);
}

/* ---- files ------------------------------------------------------------------------------------- */

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t  mode;

	va_start(ap, flags);
	mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t  mode;

	va_start(ap, flags);
	mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return openat(AT_FDCWD, path, flags, mode);
}
int open64(const char *, int, ...) __attribute__((alias("open")));

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	return openat(AT_FDCWD, path, flags);
}
int __open64_2(const char *, int) __attribute__((alias("__open_2")));

FILE *fopen(const char *path, const char *mode)
{
	resolve();
	return fails(FAULT_OPEN) ? NULL : real_fopen(path, mode);
}
FILE *fopen64(const char *, const char *) __attribute__((alias("fopen")));

int mkdir(const char *path, mode_t mode)
{
	/* Most of them are there: what counts is that one that is missing can't be made. */
	int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);

	if (rc == 0 && fails(FAULT_OPEN)) {
		syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
		return -1;
	}
	return rc;
}

int symlink(const char *to, const char *path)
{
	return fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_symlinkat, to, AT_FDCWD, path);
}

int signalfd(int fd, const sigset_t *mask, int flags)
{
	return fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_signalfd4, fd, mask, (size_t)8, flags);
}

/* The kernel's own, as a signalfd is, can't have a damaged disk. */
static bool on_disk_or_wire(int fd)
{
	struct stat sb;

	return fstat(fd, &sb) < 0 || (sb.st_mode & S_IFMT) != 0;
}

ssize_t read(int fd, void *p, size_t n)
{
	return on_disk_or_wire(fd) && fails(FAULT_READ) ? -1 : (ssize_t)syscall(SYS_read, fd, p, n);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	return fails(FAULT_READ) ? -1 : (ssize_t)syscall(SYS_pread64, fd, p, n, at);
}
ssize_t pread64(int, void *, size_t, off_t) __attribute__((alias("pread")));

ssize_t __read_chk(int fd, void *p, size_t n, size_t room);
ssize_t __read_chk(int fd, void *p, size_t n, size_t room)
{
	(void)room;
	return read(fd, p, n);
}

ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room);
ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room)
{
	(void)room;
	return pread(fd, p, n, at);
}
ssize_t __pread64_chk(int, void *, size_t, off_t, size_t) __attribute__((alias("__pread_chk")));

ssize_t write(int fd, const void *p, size_t n)
{
	return fails(FAULT_WRITE) ? -1 : (ssize_t)syscall(SYS_write, fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return fails(FAULT_WRITE) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, p, n, at);
}
ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));

int ftruncate(int fd, off_t n)
{
	return fails(FAULT_WRITE) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}
int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));

int fsync(int fd)
{
	return fails(FAULT_SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return fails(FAULT_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* ---- network ---------------------------------------------------------------------------------- */

int socket(int domain, int type, int protocol)
{
	return fails(FAULT_NET) ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int end[2])
{
	return fails(FAULT_NET) ? -1 : (int)syscall(SYS_socketpair, domain, type, protocol, end);
}

int connect(int fd, const struct sockaddr *to, socklen_t n)
{
	return fails(FAULT_NET) ? -1 : (int)syscall(SYS_connect, fd, to, n);
}

int bind(int fd, const struct sockaddr *at, socklen_t n)
{
	return fails(FAULT_NET) ? -1 : (int)syscall(SYS_bind, fd, at, n);
}

int listen(int fd, int n)
{
	return fails(FAULT_NET) ? -1 : (int)syscall(SYS_listen, fd, n);
}

ssize_t sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t len)
{
	return fails(FAULT_NET) ? -1 : (ssize_t)syscall(SYS_sendto, fd, p, n, flags, to, len);
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
	return fails(FAULT_NET) ? -1 : (ssize_t)syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
	return fails(FAULT_NET) ? -1 : (ssize_t)syscall(SYS_recvfrom, fd, p, n, flags, NULL, NULL);
}

ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags);
ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags)
{
	(void)room;
	return recv(fd, p, n, flags);
}

/* ---- libraries -------------------------------------------------------------------------------- */

void *dlopen(const char *name, int flags)
{
	const bool was = within;
	void      *so;

	resolve();
	if (spares_libraries && (flags & RTLD_NOLOAD) != 0)
		return NULL;
	within = was || spares_libraries;
	so = real_dlopen(name, flags);
	within = was;
	return so;
}

int dlclose(void *so)
{
	resolve();
	return spares_libraries ? 0 : real_dlclose(so);
}

/* ---- time --------------------------------------------------------------------------------------- */

int clock_gettime(clockid_t id, struct timespec *t)
{
	int  rc = (int)syscall(SYS_clock_gettime, id, t);
	long ns = atomic_load(&all->slept_ns);

	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_MONOTONIC)) {
		t->tv_sec += ns / 1000000000;
		t->tv_nsec += ns % 1000000000;
		if (t->tv_nsec >= 1000000000) {
			t->tv_sec++;
			t->tv_nsec -= 1000000000;
		}
	}
	return rc;
}

int nanosleep(const struct timespec *t, struct timespec *left)
{
	atomic_fetch_add(&all->slept_ns, t->tv_sec * 1000000000L + t->tv_nsec);
	if (left != NULL)
		*left = (struct timespec){ 0 };
	return 0;
}

int usleep(useconds_t us)
{
	atomic_fetch_add(&all->slept_ns, (long)us * 1000);
	return 0;
}
