/* disk.h - what kind of disk a folder is on. */
#ifndef BASE_DISK_H
#define BASE_DISK_H

#include <stdbool.h>

/* The name of the network file system that `path` is on; NULL: it is on none, or that
 * can't be told.  *never: SQLite's locks and shared memory do not hold on it, whoever
 * else uses it; else it depends on how it is mounted. */
const char *disk_network(const char *path, bool *never);

#endif
