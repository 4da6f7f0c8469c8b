/*
 * program.h - where the running program is, and the files that belong to it.
 *
 * They lie beside it: cgi/, lighttpd.conf, init/.  The static binary (deploy/static)
 * carries them instead, and is all programs by the names it is called by: its own
 * program_files comes before the library's, which is empty.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "base/span.h"

#include <limits.h>
#include <stdbool.h>

struct program_file {
	const char *name;           /* as it would be called beside the program: "init/model.py" */
	const char *bytes, *end;
};

extern const struct program_file program_files[];   /* ends with one that has no name */

/* Is this file all of prelabel? */
bool program_is_all(void);

/* One of program_files, valid for ever; false: there is none of that name. */
bool program_file(const char *name, struct span *bytes);

/* The running program's absolute path.  0, or -1: nobody says. */
int program_self(char path[PATH_MAX]);

/* The path of what lies beside it.  0, or -1: nothing does. */
int program_beside(const char *name, char path[PATH_MAX]);

#endif
