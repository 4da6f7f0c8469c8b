/*
 * process.h - a whole program as a process of its own, from its main() to its end, with
 * the calls of its threads and forks counted together (faults_share).
 */
#ifndef PROCESS_H
#define PROCESS_H

#include "faults.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROCESS_OUT ((size_t)256 << 10)

struct process {
	int  (*run)(void *arg);              /* in it: returns its exit status */
	void (*meet)(void *arg, pid_t pid);  /* NULL, or meanwhile, here */
	void  *arg;
};

struct process_end {
	bool   hung;
	int    status;                       /* as of wait(2) */
	size_t left;                         /* processes that it left behind; they are gone now */
	char   out[PROCESS_OUT], err[16384];
};

/* The calls counted. */
long process_run(const struct process *p, long point, bool on, struct fault *f, struct process_end *end);

/* A request to the FastCGI program that listens at `path`; params: "NAME=value", ended by
 * NULL.  What it wrote, 0 bytes when nothing whole came within the seconds. */
size_t fcgi_ask(const char *path, char *const params[], const char *body, int seconds, char *out, size_t room);

/* On the machine's own clock. */
void really_wait(long ms);

#endif
