/* sandbox.c - the allow-list as a BPF program for seccomp(2). */
#include "base/sandbox.h"
#include "base/span.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#define X32  0x40000000     /* set in the numbers of its other interface, which is refused whole */
#elif defined __aarch64__
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* A sanitizer maps, traces and signals as it likes. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#undef ARCH
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#undef ARCH
#endif
#endif

#ifndef ARCH

int sandbox_enter(enum sandbox how)
{
	return how == SANDBOX_OFF ? 0 : 1;
}

#else

/* Called whatever the arguments.  The older of two calls that do the same is not there on
 * arm64; elsewhere libraries still ask by it. */
static const int allowed[] = {
	/* descriptors that are open */
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_close, SYS_lseek, SYS_fstat,
	SYS_fcntl, SYS_dup, SYS_dup3, SYS_flock, SYS_ftruncate, SYS_fallocate, SYS_fsync, SYS_fdatasync, SYS_fchmod, SYS_fchown,
	SYS_fstatfs,
	/* the store, its WAL and its index; the file of /metrics */
	SYS_openat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_faccessat, SYS_faccessat2, SYS_readlinkat,
	SYS_mkdirat, SYS_unlinkat, SYS_renameat, SYS_linkat, SYS_fchmodat, SYS_fchownat, SYS_utimensat, SYS_getdents64,
	SYS_getcwd, SYS_umask,
#ifdef SYS_open
	SYS_dup2, SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_mkdir, SYS_unlink, SYS_rmdir, SYS_rename, SYS_link,
	SYS_chmod, SYS_chown,
#endif
	/* a connection of the web server, a word to the supervisor */
	SYS_accept, SYS_accept4, SYS_shutdown, SYS_recvfrom, SYS_recvmsg, SYS_sendto, SYS_sendmsg,
	SYS_getsockname, SYS_getpeername, SYS_getsockopt, SYS_setsockopt, SYS_ppoll, SYS_pselect6,
#ifdef SYS_poll
	SYS_poll, SYS_select,
#endif
	/* memory; executable only as below */
	SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise,
	/* threads and signals of this process */
	SYS_futex, SYS_set_robust_list, SYS_rseq, SYS_membarrier, SYS_sched_yield, SYS_sched_getaffinity, SYS_gettid,
	SYS_exit, SYS_exit_group, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigtimedwait,
	SYS_sigaltstack, SYS_restart_syscall,
	/* clocks, random numbers, who we are, who has ended */
	SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getrandom,
	SYS_getpid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname, SYS_sysinfo,
	SYS_getrusage, SYS_wait4,
#ifdef SYS_time
	SYS_time,
#endif
};

/* By an argument (its lower half: no flag that counts is above). */
enum test { EQUALS, LACKS, HAS };

static const struct rule {
	int       call;
	unsigned  arg;
	enum test test;
	uint32_t  value;        /* OWN_PID: the number of this process */
} rules[] = {
#define OWN_PID UINT32_MAX
	{ SYS_mprotect,  2, LACKS,  PROT_EXEC },
	{ SYS_clone,     0, HAS,    CLONE_THREAD },     /* no process */
	{ SYS_socket,    0, EQUALS, AF_UNIX },
	{ SYS_kill,      0, EQUALS, OWN_PID },
	{ SYS_tgkill,    0, EQUALS, OWN_PID },
	{ SYS_prlimit64, 2, EQUALS, 0 },                /* asked, not set */
	{ SYS_prctl,     0, EQUALS, PR_SET_NAME },
};

#define EDGES_MAX (2 * countof(allowed))

struct program {
	struct sock_filter code[2 * EDGES_MAX + 1 + 5 * countof(rules) + 24];
	size_t             n;
};

static void put(struct program *p, int code, uint32_t k, uint8_t yes, uint8_t no)
{
	p->code[p->n++] = (struct sock_filter){ (uint16_t)code, yes, no, k };
}

static void load(struct program *p, size_t offset)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void put_rule(struct program *p, const struct rule *r, uint32_t refused)
{
	const uint32_t value = r->value == OWN_PID ? (uint32_t)getpid() : r->value;

	put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->call, 0, 4);
	load(p, offsetof(struct seccomp_data, args) + 8 * (size_t)r->arg);      /* both processors are little-endian */
	put(p, BPF_JMP | (r->test == EQUALS ? BPF_JEQ : BPF_JSET) | BPF_K, value, r->test == LACKS, r->test != LACKS);
	put(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	put(p, BPF_RET | BPF_K, refused, 0, 0);
}

/* Code comes from a file, as a library that is opened when it is needed (libxml2): not
 * from memory that was, or can be, written. */
static void put_mmap(struct program *p, uint32_t refused)
{
	put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 7);
	load(p, offsetof(struct seccomp_data, args[2]));
	put(p, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 3);
	put(p, BPF_JMP | BPF_JSET | BPF_K, PROT_WRITE, 3, 0);
	load(p, offsetof(struct seccomp_data, args[3]));
	put(p, BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 1, 0);
	put(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	put(p, BPF_RET | BPF_K, refused, 0, 0);
}

static int by_number(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Where allowed numbers begin and where they end, in turn, ascending. */
static size_t edges(uint32_t edge[EDGES_MAX])
{
	uint32_t call[countof(allowed)];
	size_t   n = 0;

	for (size_t i = 0; i < countof(allowed); i++)
		call[i] = (uint32_t)allowed[i];
	qsort(call, countof(call), sizeof *call, by_number);
	for (size_t i = 0; i < countof(call); i++) {
		if (n == 0 || call[i] > edge[n - 1]) {
			edge[n++] = call[i];
			edge[n++] = call[i];
		}
		edge[n - 1] = call[i] + 1;
	}
	return n;
}

/* The answer for numbers between edge[from - 1] and edge[to].  The kernel tries a filter on
 * every number when it comes, in each request of plain CGI: a list would be a hundred
 * comparisons for each, this is seven behind the rules.  No jump is longer than half of all. */
static void put_search(struct program *p, const uint32_t *edge, size_t from, size_t to, uint32_t never)
{
	const size_t mid = from + (to - from) / 2, at = p->n;

	if (from == to) {
		put(p, BPF_RET | BPF_K, from % 2 == 1 ? SECCOMP_RET_ALLOW : never, 0, 0);
		return;
	}
	put(p, BPF_JMP | BPF_JGE | BPF_K, edge[mid], 0, 0);
	put_search(p, edge, from, mid, never);
	p->code[at].jt = (uint8_t)(p->n - at - 1);
	put_search(p, edge, mid + 1, to, never);
}

_Static_assert(EDGES_MAX < UINT8_MAX, "a jump of the search might be too long");

static void compile(struct program *p, enum sandbox how)
{
	uint32_t       edge[EDGES_MAX];
	const uint32_t no    = how == SANDBOX_STRICT ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM;
	const uint32_t never = how == SANDBOX_STRICT ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | ENOSYS;

	p->n = 0;
	load(p, offsetof(struct seccomp_data, arch));
	put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	put(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	load(p, offsetof(struct seccomp_data, nr));
#ifdef X32
	put(p, BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1);
	put(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
#endif
	/* Its flags lie in memory, out of a filter's reach: the C library then takes clone. */
	put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
	put(p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
	put_mmap(p, no);
	for (size_t i = 0; i < countof(rules); i++)
		put_rule(p, &rules[i], no);
	put_search(p, edge, 0, edges(edge), never);
}

int sandbox_enter(enum sandbox how)
{
	struct program    p;
	struct sock_fprog prog = { .filter = p.code };

	if (how == SANDBOX_OFF)
		return 0;
	compile(&p, how);
	prog.len = (unsigned short)p.n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		return -1;
	return 0;
}

#endif
