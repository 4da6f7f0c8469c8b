/*
 * rundir.h - private folders that live as long as the process that made them.
 *
 * A folder is parent/PREFIX.XXXXXX, mode 0700, flat, and locked by flock() on
 * the folder itself for as long as its maker lives: so the folders of makers
 * that were killed can be told from those in use and are swept by the next one
 * (and systemd-tmpfiles leaves a locked folder alone).
 */
#ifndef RUNDIR_H
#define RUNDIR_H

#include "base/err.h"

#include <limits.h>

struct rundir {
	char path[PATH_MAX];    /* "" while there is none */
	int  lock;              /* the locked folder; closed by exec */
};

/* Sweeps what killed makers left in parent, then makes a new folder there.
 * prefix: letters only.  -1: ERR_USAGE, with the parent and the reason. */
int rundir_make(struct rundir *d, const char *parent, const char *prefix, struct err *e);

/* Removes it with all it holds; nothing where rundir_make() failed. */
void rundir_remove(struct rundir *d);

#endif
