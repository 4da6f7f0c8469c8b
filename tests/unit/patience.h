/*
 * patience.h - time in tests, on a machine that may be slow or have other work.
 *
 * What is only waited for gets WAIT_S.  What has to be quick is measured less the time
 * in which it was ready to run and got no processor: held_up().  Under a tool that makes
 * everything many times slower nothing is: measured() (SLOW, as `make memcheck` sets it).
 */
#ifndef PATIENCE_H
#define PATIENCE_H

#include "base/clock.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define WAIT_S  60.0

/* Times and sizes are those of the program itself. */
static inline bool measured(void)
{
	const char *slow = getenv("SLOW");

	return slow == NULL || strtod(slow, NULL) < 10;
}

/* Seconds so far of all threads of a process; 0 where the kernel does not tell. */
static inline double held_up(pid_t pid)
{
	char               path[400];
	unsigned long long ran, waited;
	double             s = 0;
	DIR               *d;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	d = opendir(path);
	for (struct dirent *f; d != NULL && (f = readdir(d)) != NULL; ) {
		FILE *in;

		snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, f->d_name);
		in = fopen(path, "re");
		if (in != NULL && fscanf(in, "%llu %llu", &ran, &waited) == 2)
			s += (double)waited * 1e-9;
		if (in != NULL)
			fclose(in);
	}
	if (d != NULL)
		closedir(d);
	return s;
}

/* Waits for a file that a program under test makes. */
static inline bool file_comes(const char *path)
{
	const double end = clock_monotonic() + WAIT_S;

	while (access(path, F_OK) < 0 && clock_monotonic() < end)
		usleep(2000);
	return access(path, F_OK) == 0;
}

#endif
