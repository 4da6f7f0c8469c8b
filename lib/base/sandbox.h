/*
 * sandbox.h - what a request program may still ask of the kernel.
 *
 * A seccomp filter (seccomp(2), Linux on x86-64 and arm64) over an allow-list: files
 * and the memory that SQLite maps, the connections it is given, threads, clocks.  Not
 * among it, so that a hole in a parser opens no way out: to execute or fork, any
 * socket but AF_UNIX, connect and bind, ptrace and the memory of other processes,
 * mounts, namespaces, keys, modules; and code in memory that was or can be written
 * (W^X): only a file is mapped executable, as a library is.
 *
 * What is refused fails like on a kernel that does not have it: ENOSYS, or EPERM where
 * an argument decides.  So a library that tries something newer first goes on with
 * what it did before.
 */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

enum sandbox {
	SANDBOX_ON,         /* where the kernel has it */
	SANDBOX_STRICT,     /* a refused call ends the process by SIGSYS: for tests */
	SANDBOX_OFF,
	SANDBOX__MAX
};

/* For this thread and those it makes, for good; so before any thread.  0; 1: there is
 * none here (another processor, a sanitizer in this build); -1: the kernel refuses, see
 * errno. */
int sandbox_enter(enum sandbox how);

#endif
