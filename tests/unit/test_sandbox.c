/* test_sandbox.c - what a confined process may do, and what not. */
#include "base/sandbox.c"       /* its filter, which is run here on every number */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NO_SANDBOX 77

/* ---- what is asked: 0, or errno --------------------------------------------------- */

static int result(long rc)
{
	return rc < 0 ? errno : 0;
}

static int run_a_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int run_by_descriptor(void)
{
	char *const argv[] = { (char[]){ "true" }, NULL }, *const none[] = { NULL };
	int         fd = open("/bin/true", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? 0 : result(fexecve(fd, argv, none));
}

static int fork_a_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int vfork_a_process(void)
{
#ifdef SYS_vfork
	long pid = syscall(SYS_vfork);

	if (pid == 0)
		_exit(0);
	return result(pid);
#else
	return ENOSYS;
#endif
}

static int new_namespace(void)   { return result(syscall(SYS_unshare, 0x10000000)); }
static int internet_socket(void) { return result(socket(AF_INET, SOCK_STREAM, 0)); }
static int internet6_socket(void) { return result(socket(AF_INET6, SOCK_DGRAM, 0)); }
static int netlink_socket(void)  { return result(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int packet_socket(void)   { return result(socket(AF_PACKET, SOCK_RAW, 0)); }

static int connect_somewhere(void)
{
	const struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/nowhere" };
	int                      fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return fd < 0 ? 0 : result(connect(fd, (const struct sockaddr *)&to, sizeof to));
}

static int memory_to_execute(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int writable_code_of_a_file(void)
{
	int   fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fd, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int memory_made_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? 0 : result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int trace_the_parent(void)  { return result(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)); }
static int signal_the_parent(void) { return result(kill(getppid(), SIGCONT)); }
static int mount_something(void)   { return result(syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, NULL)); }
static int read_a_process(void)    { return result(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0)); }
static int load_a_program(void)    { return result(syscall(SYS_bpf, 0, NULL, 0)); }
static int ring_of_calls(void)     { return result(syscall(SYS_io_uring_setup, 1, NULL)); }
static int handle_of_a_file(void)  { return result(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0)); }

static int raise_a_limit(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	return result(setrlimit(RLIMIT_CORE, &all));
}

static int dump_memory(void) { return result(prctl(PR_SET_DUMPABLE, 1)); }

/* The same numbers, counted from another base, reach other calls. */
static int other_interface(void)
{
#ifdef __x86_64__
	return result(syscall(0x40000000 + SYS_getpid));
#else
	return ENOSYS;
#endif
}

static const struct { const char *name; int (*ask)(void); int expected; } refused[] = {
	{ "execve", run_a_program, ENOSYS },
	{ "execveat", run_by_descriptor, ENOSYS },
	{ "fork", fork_a_process, EPERM },
	{ "vfork", vfork_a_process, ENOSYS },
	{ "unshare", new_namespace, ENOSYS },
	{ "socket AF_INET", internet_socket, EPERM },
	{ "socket AF_INET6", internet6_socket, EPERM },
	{ "socket AF_NETLINK", netlink_socket, EPERM },
	{ "socket AF_PACKET", packet_socket, EPERM },
	{ "connect", connect_somewhere, ENOSYS },
	{ "mmap PROT_EXEC", memory_to_execute, EPERM },
	{ "mmap PROT_EXEC, PROT_WRITE of a file", writable_code_of_a_file, EPERM },
	{ "mprotect PROT_EXEC", memory_made_executable, EPERM },
	{ "ptrace", trace_the_parent, ENOSYS },
	{ "kill of another", signal_the_parent, EPERM },
	{ "mount", mount_something, ENOSYS },
	{ "process_vm_readv", read_a_process, ENOSYS },
	{ "bpf", load_a_program, ENOSYS },
	{ "io_uring_setup", ring_of_calls, ENOSYS },
	{ "open_by_handle_at", handle_of_a_file, ENOSYS },
	{ "setrlimit", raise_a_limit, EPERM },
	{ "prctl PR_SET_DUMPABLE", dump_memory, EPERM },
};

static void *in_a_thread(void *arg)
{
	*(int *)arg = internet_socket();
	return NULL;
}

/* What the programs live by; and a thread is as confined as who made it. */
static int ordinary_work(void)
{
	pthread_t thread;
	char      name[] = "/tmp/sandbox.XXXXXX", byte = 1;
	int       fd = mkostemp(name, O_CLOEXEC), in_thread = 0, fds[2];
	void     *p;

	if (fd < 0 || pwrite(fd, &byte, 1, 4095) != 1 || fsync(fd) < 0)
		return 1;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || unlink(name) < 0)
		return 2;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 || errno != ENOSYS)
		return 3;
	if (pthread_create(&thread, NULL, in_a_thread, &in_thread) != 0 || pthread_join(thread, NULL) != 0)
		return 4;
	if (in_thread != EPERM)
		return 5;
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		return 8;
	if (socket(AF_UNIX, SOCK_DGRAM, 0) < 0 || kill(getpid(), 0) < 0)
		return 6;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0 ? 7 : 0;     /* not asked for by any program */
}

/* Its exit status, or minus the signal that ended it. */
static int confined(enum sandbox how, int (*ask)(void))
{
	pid_t pid = fork();
	int   status;

	if (pid == 0) {
		int rc = sandbox_enter(how);

		_exit(rc != 0 ? NO_SANDBOX : ask());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

#ifdef ARCH
static int allow_all(void)
{
	struct sock_filter      yes = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW };
	const struct sock_fprog prog = { 1, &yes };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0 ? NO_SANDBOX : 0;
}
#endif

/* A kernel or a container may take no filter at all; one that refuses ours alone says that it is wrong. */
static void only_where_there_is_one(void)
{
	if (confined(SANDBOX_ON, ordinary_work) != NO_SANDBOX)
		return;
#ifdef ARCH
	assert_int_equal(confined(SANDBOX_OFF, allow_all), NO_SANDBOX);
#endif
	skip();
}

/* ---- the tests ----------------------------------------------------------------------- */

static void test_refused(void **state)
{
	(void)state;
	only_where_there_is_one();
	for (size_t i = 0; i < countof(refused); i++) {
		int got = confined(SANDBOX_ON, refused[i].ask);

		if (got != refused[i].expected)
			fail_msg("%s: %d (%s), expected %s", refused[i].name, got, got > 0 ? strerror(got) : "went through",
			         strerror(refused[i].expected));
	}
}

static void test_strict_ends_the_process(void **state)
{
	(void)state;
	only_where_there_is_one();
	for (size_t i = 0; i < countof(refused); i++) {
		/* The C library asks by clone3 first, which is refused softly, then by clone. */
		int got = confined(SANDBOX_STRICT, refused[i].ask);

		if (got != -SIGSYS)
			fail_msg("%s: %d, expected SIGSYS", refused[i].name, got);
	}
	assert_int_equal(confined(SANDBOX_STRICT, other_interface), -SIGSYS);
}

static void test_ordinary_work_goes_on(void **state)
{
	(void)state;
	only_where_there_is_one();
	assert_int_equal(confined(SANDBOX_ON, ordinary_work), 0);
}

#ifdef ARCH
/* What the filter says of a call, as a kernel runs it. */
static uint32_t verdict(const struct program *p, uint32_t call)
{
	const struct seccomp_data data = { .nr = (int)call, .arch = ARCH };
	uint32_t                  a = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct sock_filter *f = &p->code[i];
		bool                      yes;

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)&data + f->k, sizeof a);
			continue;
		case BPF_RET | BPF_K:
			return f->k;
		case BPF_JMP | BPF_JEQ | BPF_K:  yes = a == f->k; break;
		case BPF_JMP | BPF_JGE | BPF_K:  yes = a >= f->k; break;
		case BPF_JMP | BPF_JSET | BPF_K: yes = (a & f->k) != 0; break;
		default: fail_msg("instruction %zu: %x", i, f->code); return 0;
		}
		i += yes ? f->jt : f->jf;
	}
	fail_msg("call %u: past the end", call);
	return 0;
}

static bool on_the_list(uint32_t call)
{
	for (size_t i = 0; i < countof(allowed); i++)
		if ((uint32_t)allowed[i] == call)
			return true;
	return false;
}

static bool has_a_rule(uint32_t call)
{
	for (size_t i = 0; i < countof(rules); i++)
		if ((uint32_t)rules[i].call == call)
			return true;
	return call == SYS_mmap || call == SYS_clone3;
}
#endif

/* The list is searched by halving: none that stands beside an allowed one may slip through. */
static void test_every_number_is_answered_as_the_list_says(void **state)
{
	(void)state;
#ifdef ARCH
	static const struct { enum sandbox how; uint32_t never; } ways[] = {
		{ SANDBOX_ON, SECCOMP_RET_ERRNO | ENOSYS }, { SANDBOX_STRICT, SECCOMP_RET_KILL_PROCESS },
	};

	for (size_t w = 0; w < countof(ways); w++) {
		struct program p;

		compile(&p, ways[w].how);
		assert_true(p.n <= countof(p.code));
		for (uint32_t call = 0; call < 5000; call++)
			if (!has_a_rule(call) && verdict(&p, call) != (on_the_list(call) ? SECCOMP_RET_ALLOW : ways[w].never))
				fail_msg("call %u: %x", call, verdict(&p, call));
		assert_int_equal(verdict(&p, 0x3fffffff), ways[w].never);
		assert_int_equal(verdict(&p, SYS_clone3), SECCOMP_RET_ERRNO | ENOSYS);
		assert_int_equal(verdict(&p, SYS_mmap), SECCOMP_RET_ALLOW);     /* neither written nor run */
		assert_int_equal(verdict(&p, UINT32_MAX), ARCH == AUDIT_ARCH_X86_64 ? SECCOMP_RET_KILL_PROCESS : ways[w].never);
	}
#endif
}

static void test_off_is_off(void **state)
{
	(void)state;
	assert_int_equal(confined(SANDBOX_OFF, internet_socket), 0);
	assert_int_equal(confined(SANDBOX_OFF, fork_a_process), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_strict_ends_the_process),
		cmocka_unit_test(test_ordinary_work_goes_on), cmocka_unit_test(test_off_is_off),
		cmocka_unit_test(test_every_number_is_answered_as_the_list_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
