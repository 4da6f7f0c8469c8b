/*
 * disk.h - a disk in memory below SQLite, whose power can be cut and whose calls can fail.
 *
 * disk_install() makes it SQLite's default VFS, so that store_open() stands on it as it is.
 * It takes what POSIX promises and no more: what was written is there after a power cut
 * when its file was synced afterwards; a name when its folder was; else each sector may be
 * there, be missing or be torn, in any mixture.  Bytes outside a write never change
 * (SQLITE_IOCAP_POWERSAFE_OVERWRITE, as SQLite's own VFS has it).  One thread.
 */
#ifndef POWER_DISK_H
#define POWER_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_call {
	DISK_WRITE, DISK_SYNC, DISK_TRUNCATE, DISK_DELETE,          /* what a full disk or a read-only one refuses */
	DISK_OPEN, DISK_READ, DISK_SIZE, DISK_ACCESS, DISK_LOCK, DISK_SHM_MAP, DISK_SHM_LOCK, DISK_CALL__MAX
};
extern const char *const disk_call_names[DISK_CALL__MAX];

void disk_install(void);

/* All that is on it; free with disk_free(). */
struct disk;
struct disk *disk_copy(void);
void         disk_free(struct disk *d);        /* NULL allowed */

/* Puts a copy of d (NULL: nothing) in its place.  Who has a file open keeps a dead one:
 * each of its calls fails and changes nothing, as of a process that is gone. */
void disk_put(const struct disk *d);

/* The bytes of the file whose name ends so, to be changed in place; NULL: there is none. */
unsigned char *disk_bytes(const char *end, size_t *len);
void           disk_cut_off(const char *end, size_t len);

/* ---- what is written, call by call --------------------------------------------- */

/* From now on, or no longer: the record starts with a copy of the disk. */
void   disk_record(bool on);
size_t disk_recorded(void);

/* The disk after the first n calls of the record and a power cut.  For one record, n must
 * not fall from call to call (disk_rewind() starts again).  CUT_KILL: the processes are
 * killed, all that was written is there; CUT_DROP: nothing that was not synced; CUT_MIX:
 * each sector its own fate, by seed. */
enum disk_cut { CUT_KILL, CUT_DROP, CUT_MIX, CUT__MAX };
void disk_cut(size_t n, enum disk_cut how, uint64_t seed);
void disk_rewind(void);
void disk_forget(void);                        /* frees the record */

/* ---- calls that fail ------------------------------------------------------------ */

/* The nth call of a kind from now on (0: none) fails with code, that one alone or from
 * then on; of a write that fails half is done. */
void disk_fail(enum disk_call call, long nth, bool for_ever, int code);
void disk_well(void);
long disk_calls(enum disk_call call);          /* since disk_fail() or disk_well() */
bool disk_failed(void);                        /* has one failed since disk_fail()? */

/* A stream of numbers by seed (splitmix64). */
uint64_t random_next(uint64_t *state);

#endif
