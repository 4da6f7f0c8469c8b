/*
 * exit.h - put before every source by `make cover`: a child that leaves by _exit() writes
 * its counters too, with calls that do not fail where tests/torture lets some do so.
 */
#ifndef COVER_EXIT_H
#define COVER_EXIT_H

#include <unistd.h>

void __gcov_dump(void);
void faults_aside(_Bool aside) __attribute__((weak));

static inline _Noreturn void cover_exit(int status)
{
	if (faults_aside)
		faults_aside(1);
	__gcov_dump();
	_exit(status);
}

#define _exit(status) cover_exit(status)

#endif
