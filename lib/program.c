/* program.c - where the running program is, and the files that belong to it. */
#include "program.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

bool program_is_all(void)
{
	return program_files[0].name != NULL;
}

bool program_file(const char *name, struct span *bytes)
{
	for (const struct program_file *f = program_files; f->name != NULL; f++)
		if (strcmp(f->name, name) == 0) {
			*bytes = (struct span){ f->bytes, (size_t)(f->end - f->bytes) };
			return true;
		}
	return false;
}

int program_self(char path[PATH_MAX])
{
	ssize_t     len = readlink("/proc/self/exe", path, PATH_MAX - 1);
	const char *called;

	if (len > 0) {
		path[len] = '\0';
		return 0;
	}
	/* A root without /proc.  What the kernel was called with is true as long as
	 * nobody has left the folder that it may be relative to. */
	called = (const char *)(uintptr_t)getauxval(AT_EXECFN);
	return called != NULL && realpath(called, path) != NULL ? 0 : -1;
}

int program_beside(const char *name, char path[PATH_MAX])
{
	char self[PATH_MAX], *slash;

	if (program_self(self) < 0 || (slash = strrchr(self, '/')) == NULL)
		return -1;
	*slash = '\0';
	return snprintf(path, PATH_MAX, "%s/%s", self, name) < PATH_MAX ? access(path, F_OK) : -1;
}
