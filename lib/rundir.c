/* rundir.c - private folders that live as long as the process that made them. */
#include "rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SUFFIX = 7, MAKE_TRIES = 5 };     /* ".XXXXXX" */

/* Unlinks all that is in the folder; it is flat, so a folder in it stays (and
 * makes the rmdir() that follows fail).  Takes fd. */
static void empty(int fd)
{
	DIR           *dir = fdopendir(fd);
	struct dirent *entry;

	if (dir == NULL) {
		close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

/* parent may be /tmp, where others can put what they like: only a real folder
 * that is ours and closed to others is looked into. */
static void sweep_one(int parent, const char *name)
{
	struct stat st;
	int         fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 0777) != 0700 ||
	    flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return;
	}
	empty(fd);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

static void sweep(const char *parent, const char *prefix)
{
	DIR           *dir = opendir(parent);
	size_t         len = strlen(prefix);
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, prefix, len) == 0 && entry->d_name[len] == '.' &&
		    strlen(entry->d_name) == len + SUFFIX)
			sweep_one(dirfd(dir), entry->d_name);
	closedir(dir);
}

/* Another start may sweep the folder in the moment before it is locked: then the
 * lock is refused or the folder has no link any more. */
static bool lock(struct rundir *d)
{
	struct stat st;

	d->lock = open(d->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (d->lock < 0)
		return false;
	if (flock(d->lock, LOCK_EX | LOCK_NB) == 0 && fstat(d->lock, &st) == 0 && st.st_nlink > 0)
		return true;
	close(d->lock);
	return false;
}

int rundir_make(struct rundir *d, const char *parent, const char *prefix, struct err *e)
{
	*d = (struct rundir){ .lock = -1 };
	sweep(parent, prefix);
	for (int i = 0; i < MAKE_TRIES; i++) {
		int n = snprintf(d->path, sizeof d->path, "%s/%s.XXXXXX", parent, prefix);

		if (n < 0 || (size_t)n >= sizeof d->path)
			errno = ENAMETOOLONG;
		else if (mkdtemp(d->path) != NULL && lock(d))
			return 0;
		else if (errno == ENOENT || errno == EWOULDBLOCK)
			continue;
		break;
	}
	d->path[0] = '\0';
	return err_set(e, ERR_USAGE, "can't make a folder in %.100s: %s", parent, strerror(errno));
}

void rundir_remove(struct rundir *d)
{
	int fd;

	if (d->path[0] == '\0')
		return;
	fd = dup(d->lock);
	if (fd >= 0)
		empty(fd);
	(void)rmdir(d->path);
	close(d->lock);
	d->path[0] = '\0';
}
