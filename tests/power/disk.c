/* disk.c - a disk in memory below SQLite, whose power can be cut and whose calls can fail. */
#include "disk.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX   64            /* names at once */
#define IDS_MAX     1024          /* files ever made, in one record */
#define NAME_BYTES  512
#define SHM_REGIONS 64
#define SHM_LOCKS   SQLITE_SHM_NLOCK

const char *const disk_call_names[DISK_CALL__MAX] = {
	[DISK_WRITE] = "write", [DISK_SYNC] = "sync", [DISK_TRUNCATE] = "truncate", [DISK_DELETE] = "delete",
	[DISK_OPEN] = "open", [DISK_READ] = "read", [DISK_SIZE] = "size", [DISK_ACCESS] = "access",
	[DISK_LOCK] = "lock", [DISK_SHM_MAP] = "shm-map", [DISK_SHM_LOCK] = "shm-lock",
};

struct bytes {
	unsigned char *p;
	size_t         len, cap;
};

/* An inode.  Its locks and shared memory are those of its users, not of the disk. */
struct file {
	struct bytes   data;
	size_t         id;
	int            refs;                   /* names and handles */
	bool           was_synced;
	int            shared;                 /* handles that read; */
	struct handle *reserved, *exclusive;   /* who is about to write, who writes */
	void          *shm[SHM_REGIONS];
	int            shm_users;
	int            shm_shared[SHM_LOCKS];
	struct handle *shm_exclusive[SHM_LOCKS];
};

struct name {
	char         text[NAME_BYTES];
	struct file *file;
};

struct disk {
	struct name name[FILES_MAX];
	size_t      n;
};

struct handle {
	sqlite3_file base;
	struct file *file;
	uint64_t     age;                      /* of the disk that it was opened on */
	bool         journal, temporary, shm_open;
	char         unlink[NAME_BYTES];       /* name to take away at the end; "" */
	int          lock;
	unsigned     shm_shared, shm_exclusive;
};

enum entry_kind { WROTE, CUT_TO, SYNCED, NAMED, UNNAMED, FOLDER_SYNCED };

struct entry {
	enum entry_kind kind;
	size_t          id;
	size_t          at, len;
	unsigned char  *bytes;
	char            name[NAME_BYTES];
};

static struct disk  disk;
static uint64_t     age;
static size_t       next_id = 1;
static sqlite3_vfs *real;

static struct {
	bool          on;
	struct disk  *start;
	struct entry *entry;
	size_t        n, cap;
} record;

static struct {
	enum disk_call call;
	long           nth, seen[DISK_CALL__MAX];
	bool           for_ever, struck;
	int            code;
} fault;

static void *must(void *p)
{
	if (p == NULL) {
		fputs("disk: out of memory\n", stderr);
		abort();
	}
	return p;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- bytes and files ------------------------------------------------------------- */

static void bytes_resize(struct bytes *b, size_t len)
{
	if (len > b->cap) {
		b->cap = len + len / 2 + 4096;
		b->p = must(realloc(b->p, b->cap));
	}
	if (len > b->len)
		memset(b->p + b->len, 0, len - b->len);
	b->len = len;
}

static void bytes_write(struct bytes *b, size_t at, const void *from, size_t len)
{
	if (len == 0)
		return;
	if (at + len > b->len)
		bytes_resize(b, at + len);
	memcpy(b->p + at, from, len);
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
	*to = (struct bytes){ NULL, 0, 0 };
	bytes_write(to, 0, from->p, from->len);
}

static struct file *file_new(size_t id)
{
	struct file *f = must(calloc(1, sizeof *f));

	f->id = id;
	return f;
}

static void shm_free(struct file *f)
{
	for (size_t i = 0; i < SHM_REGIONS; i++) {
		free(f->shm[i]);
		f->shm[i] = NULL;
	}
}

static void file_release(struct file *f)
{
	if (--f->refs > 0)
		return;
	shm_free(f);
	free(f->data.p);
	free(f);
}

static struct name *name_find(struct disk *d, const char *text)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->name[i].text, text) == 0)
			return &d->name[i];
	return NULL;
}

static void name_add(struct disk *d, const char *text, struct file *f)
{
	if (d->n == FILES_MAX) {
		fputs("disk: too many files\n", stderr);
		abort();
	}
	snprintf(d->name[d->n].text, NAME_BYTES, "%s", text);
	d->name[d->n++].file = f;
	f->refs++;
}

static void name_drop(struct disk *d, struct name *name)
{
	file_release(name->file);
	*name = d->name[--d->n];
}

static void clear(struct disk *d)
{
	while (d->n > 0)
		name_drop(d, &d->name[0]);
}

static void copy(struct disk *to, const struct disk *from)
{
	to->n = 0;
	for (size_t i = 0; i < from->n; i++) {
		const struct file *old = from->name[i].file;
		struct file       *f = file_new(old->id);

		bytes_copy(&f->data, &old->data);
		f->was_synced = old->was_synced;
		name_add(to, from->name[i].text, f);
	}
}

struct disk *disk_copy(void)
{
	struct disk *d = must(calloc(1, sizeof *d));

	copy(d, &disk);
	return d;
}

void disk_free(struct disk *d)
{
	if (d == NULL)
		return;
	clear(d);
	free(d);
}

void disk_put(const struct disk *d)
{
	age++;
	clear(&disk);
	if (d != NULL)
		copy(&disk, d);
}

static struct file *by_end(const char *end)
{
	for (size_t i = 0; i < disk.n; i++) {
		size_t len = strlen(disk.name[i].text), n = strlen(end);

		if (len >= n && strcmp(disk.name[i].text + len - n, end) == 0)
			return disk.name[i].file;
	}
	return NULL;
}

unsigned char *disk_bytes(const char *end, size_t *len)
{
	struct file *f = by_end(end);

	if (f == NULL)
		return NULL;
	*len = f->data.len;
	return f->data.p;
}

void disk_cut_off(const char *end, size_t len)
{
	struct file *f = by_end(end);

	if (f != NULL && len < f->data.len)
		f->data.len = len;
}

/* ---- the record --------------------------------------------------------------------- */

static void recorded(enum entry_kind kind, size_t id, size_t at, const void *bytes, size_t len, const char *name)
{
	struct entry *en;

	if (!record.on)
		return;
	if (record.n == record.cap) {
		record.cap = record.cap == 0 ? 1024 : record.cap * 2;
		record.entry = must(realloc(record.entry, record.cap * sizeof *record.entry));
	}
	en = &record.entry[record.n++];
	*en = (struct entry){ .kind = kind, .id = id, .at = at, .len = len };
	if (bytes != NULL) {
		en->bytes = must(malloc(len == 0 ? 1 : len));
		memcpy(en->bytes, bytes, len);
	}
	if (name != NULL)
		snprintf(en->name, NAME_BYTES, "%s", name);
}

void disk_forget(void)
{
	disk_rewind();
	for (size_t i = 0; i < record.n; i++)
		free(record.entry[i].bytes);
	free(record.entry);
	disk_free(record.start);
	memset(&record, 0, sizeof record);
}

void disk_record(bool on)
{
	if (on) {
		disk_forget();
		next_id = 1;
		for (size_t i = 0; i < disk.n; i++)
			disk.name[i].file->id = next_id++;
		record.start = disk_copy();
	}
	record.on = on;
}

size_t disk_recorded(void)
{
	return record.n;
}

/* ---- replaying it: what is safe, and what is only written ------------------------------ */

static struct {
	bool         begun;
	size_t       at;                       /* entries taken */
	struct disk  safe;                     /* names and bytes that are synced */
	struct file *file[IDS_MAX];            /* by id: its safe bytes, named or not yet */
	size_t      *loose;                    /* entries that are not safe, in order */
	size_t       n_loose;
} play;

static struct file *play_file(size_t id)
{
	if (id >= IDS_MAX) {
		fputs("disk: too many files in a record\n", stderr);
		abort();
	}
	if (play.file[id] == NULL) {
		play.file[id] = file_new(id);
		play.file[id]->refs = 1;
	}
	return play.file[id];
}

void disk_rewind(void)
{
	for (size_t i = 0; i < IDS_MAX; i++) {
		if (play.file[i] != NULL)
			file_release(play.file[i]);
		play.file[i] = NULL;
	}
	clear(&play.safe);
	free(play.loose);
	play.loose = NULL;
	play.begun = false;
}

static void play_begin(void)
{
	play.begun = true;
	play.at = play.n_loose = 0;
	play.loose = must(calloc(record.n + 1, sizeof *play.loose));
	for (size_t i = 0; i < record.start->n; i++) {
		const struct file *old = record.start->name[i].file;
		struct file       *f = play_file(old->id);

		bytes_copy(&f->data, &old->data);
		f->was_synced = old->was_synced;
		name_add(&play.safe, record.start->name[i].text, f);
	}
}

static void apply_name(struct disk *d, const struct entry *en, struct file *f)
{
	struct name *there = name_find(d, en->name);

	if (there != NULL)
		name_drop(d, there);
	if (en->kind == NAMED)
		name_add(d, en->name, f);
}

/* Makes safe what the entry says: the loose bytes of a file, or the loose names. */
static void settle(const struct entry *by)
{
	size_t left = 0;

	for (size_t i = 0; i < play.n_loose; i++) {
		const struct entry *en = &record.entry[play.loose[i]];
		bool                name = en->kind == NAMED || en->kind == UNNAMED;

		if (by->kind == FOLDER_SYNCED && name)
			apply_name(&play.safe, en, play_file(en->id));
		else if (by->kind == SYNCED && !name && en->id == by->id && en->kind == WROTE)
			bytes_write(&play_file(en->id)->data, en->at, en->bytes, en->len);
		else if (by->kind == SYNCED && !name && en->id == by->id)
			bytes_resize(&play_file(en->id)->data, en->at);
		else
			play.loose[left++] = play.loose[i];
	}
	play.n_loose = left;
}

static void play_to(size_t n)
{
	if (!play.begun)
		play_begin();
	for (; play.at < n && play.at < record.n; play.at++) {
		const struct entry *en = &record.entry[play.at];

		if (en->kind == SYNCED || en->kind == FOLDER_SYNCED)
			settle(en);
		else
			play.loose[play.n_loose++] = play.at;
	}
}

struct fate {
	enum disk_cut how;
	uint64_t      random;
	unsigned      keep, tear;          /* of 100 sectors */
	size_t        sector;
};

/* One sector's share of a write: there, not there, or its first bytes, and then what was
 * there or anything. */
static void write_sector(struct bytes *b, const struct entry *en, size_t from, size_t len, struct fate *f)
{
	unsigned draw = (unsigned)(random_next(&f->random) % 100);
	size_t   whole;

	if (draw < f->keep) {
		bytes_write(b, en->at + from, en->bytes + from, len);
	} else if (draw < f->keep + f->tear) {
		whole = random_next(&f->random) % (len + 1);
		bytes_write(b, en->at + from, en->bytes + from, whole);
		if (random_next(&f->random) % 2 == 0)
			for (size_t i = whole; i < len; i++)
				bytes_write(b, en->at + from + i, &(unsigned char){ (unsigned char)random_next(&f->random) }, 1);
	}
}

static void write_loose(struct bytes *b, const struct entry *en, struct fate *f)
{
	if (en->kind == CUT_TO) {
		if (f->how == CUT_KILL || (f->how == CUT_MIX && random_next(&f->random) % 2 == 0))
			bytes_resize(b, en->at);
	} else if (f->how == CUT_KILL) {
		bytes_write(b, en->at, en->bytes, en->len);
	} else if (f->how == CUT_MIX) {
		for (size_t from = 0, len; from < en->len; from += len) {
			len = f->sector - (en->at + from) % f->sector;
			if (len > en->len - from)
				len = en->len - from;
			write_sector(b, en, from, len, f);
		}
	}
}

/* Names are kept in the order in which they were made: a journal of the file system. */
static void cut_names(struct disk *d, struct file *const file[], struct fate *f)
{
	for (size_t i = 0; i < play.n_loose; i++) {
		const struct entry *en = &record.entry[play.loose[i]];

		if (en->kind != NAMED && en->kind != UNNAMED)
			continue;
		if (f->how == CUT_DROP || (f->how == CUT_MIX && random_next(&f->random) % 3 == 0))
			break;
		apply_name(d, en, file[en->id]);
	}
}

void disk_cut(size_t n, enum disk_cut how, uint64_t seed)
{
	static const unsigned keeps[] = { 5, 50, 95 };
	struct file          *file[IDS_MAX] = { NULL };
	struct fate           f = { .how = how, .random = seed, .sector = 512 };

	play_to(n);
	f.keep = keeps[random_next(&f.random) % 3];
	f.tear = (100 - f.keep) / 2;
	f.sector = random_next(&f.random) % 2 == 0 ? 512 : 4096;
	age++;
	clear(&disk);
	for (size_t i = 0; i < IDS_MAX; i++)
		if (play.file[i] != NULL) {
			file[i] = file_new(i);
			file[i]->refs = 1;
			file[i]->was_synced = play.file[i]->was_synced;
			bytes_copy(&file[i]->data, &play.file[i]->data);
		}
	for (size_t i = 0; i < play.n_loose; i++) {
		const struct entry *en = &record.entry[play.loose[i]];

		if (file[en->id] == NULL) {
			file[en->id] = file_new(en->id);
			file[en->id]->refs = 1;
		}
		if (en->kind == WROTE || en->kind == CUT_TO)
			write_loose(&file[en->id]->data, en, &f);
	}
	for (size_t i = 0; i < play.safe.n; i++)
		name_add(&disk, play.safe.name[i].text, file[play.safe.name[i].file->id]);
	cut_names(&disk, file, &f);
	for (size_t i = 0; i < IDS_MAX; i++)
		if (file[i] != NULL)
			file_release(file[i]);
}

/* ---- faults -------------------------------------------------------------------------- */

void disk_fail(enum disk_call call, long nth, bool for_ever, int code)
{
	memset(&fault, 0, sizeof fault);
	fault.call = call;
	fault.nth = nth;
	fault.for_ever = for_ever;
	fault.code = code;
}

void disk_well(void)
{
	memset(&fault, 0, sizeof fault);
}

long disk_calls(enum disk_call call)
{
	return fault.seen[call];
}

bool disk_failed(void)
{
	return fault.struck;
}

static int failing(enum disk_call call)
{
	long n = ++fault.seen[call];

	if (fault.nth == 0 || call != fault.call || (fault.for_ever ? n < fault.nth : n != fault.nth))
		return SQLITE_OK;
	fault.struck = true;
	return fault.code;
}

/* ---- the methods of a file -------------------------------------------------------------- */

#define TRY(h, call, dead)                              \
	do {                                            \
		int code_ = failing(call);              \
		if ((h)->age != age)                    \
			return (dead);                  \
		if (code_ != SQLITE_OK)                 \
			return code_;                   \
	} while (0)

static struct handle *handle_of(sqlite3_file *f)
{
	return (struct handle *)f;
}

static int x_unlock(sqlite3_file *f, int level)
{
	struct handle *h = handle_of(f);

	if (h->lock >= SQLITE_LOCK_SHARED && level < SQLITE_LOCK_SHARED)
		h->file->shared--;
	if (h->file->reserved == h && level < SQLITE_LOCK_RESERVED)
		h->file->reserved = NULL;
	if (h->file->exclusive == h && level < SQLITE_LOCK_PENDING)
		h->file->exclusive = NULL;
	if (level < h->lock)
		h->lock = level;
	return SQLITE_OK;
}

static int x_lock(sqlite3_file *f, int level)
{
	struct handle *h = handle_of(f);
	struct file   *file = h->file;

	TRY(h, DISK_LOCK, SQLITE_IOERR_LOCK);
	if (h->lock >= level)
		return SQLITE_OK;
	if (file->exclusive != NULL && file->exclusive != h)
		return SQLITE_BUSY;
	if (level >= SQLITE_LOCK_RESERVED && file->reserved != NULL && file->reserved != h)
		return SQLITE_BUSY;
	if (h->lock < SQLITE_LOCK_SHARED)
		file->shared++;
	if (h->lock < SQLITE_LOCK_SHARED)
		h->lock = SQLITE_LOCK_SHARED;
	if (level >= SQLITE_LOCK_RESERVED) {
		file->reserved = h;
		h->lock = SQLITE_LOCK_RESERVED;
	}
	if (level == SQLITE_LOCK_EXCLUSIVE) {
		file->exclusive = h;
		h->lock = SQLITE_LOCK_PENDING;
		if (file->shared > 1)
			return SQLITE_BUSY;
		h->lock = SQLITE_LOCK_EXCLUSIVE;
	}
	return SQLITE_OK;
}

static int x_reserved(sqlite3_file *f, int *out)
{
	*out = handle_of(f)->file->reserved != NULL;
	return SQLITE_OK;
}

static int x_shm_unmap(sqlite3_file *f, int delete)
{
	struct handle *h = handle_of(f);

	for (int i = 0; i < SHM_LOCKS; i++) {
		if ((h->shm_shared & 1u << i) != 0)
			h->file->shm_shared[i]--;
		if (h->file->shm_exclusive[i] == h)
			h->file->shm_exclusive[i] = NULL;
	}
	h->shm_shared = h->shm_exclusive = 0;
	if (h->shm_open && --h->file->shm_users == 0 && delete)
		shm_free(h->file);
	h->shm_open = false;
	return SQLITE_OK;
}

static int x_close(sqlite3_file *f)
{
	struct handle *h = handle_of(f);
	struct name   *name;

	x_shm_unmap(f, 0);
	x_unlock(f, SQLITE_LOCK_NONE);
	if (h->file->shm_users == 0)
		shm_free(h->file);
	if (h->unlink[0] != '\0' && h->age == age && (name = name_find(&disk, h->unlink)) != NULL)
		name_drop(&disk, name);
	file_release(h->file);
	return SQLITE_OK;
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	struct handle *h = handle_of(f);
	struct bytes  *b = &h->file->data;
	size_t         len = (size_t)n, from = (size_t)at, there = from < b->len ? b->len - from : 0;

	TRY(h, DISK_READ, SQLITE_IOERR_READ);
	if (there > len)
		there = len;
	if (there > 0)
		memcpy(to, b->p + from, there);
	memset((char *)to + there, 0, len - there);
	return there == len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	struct handle *h = handle_of(f);
	int            code = failing(DISK_WRITE);
	size_t         len = code == SQLITE_OK ? (size_t)n : (size_t)n / 2;

	if (h->age != age)
		return SQLITE_IOERR_WRITE;
	bytes_write(&h->file->data, (size_t)at, from, len);
	if (!h->temporary && len > 0)
		recorded(WROTE, h->file->id, (size_t)at, from, len, NULL);
	return code;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct handle *h = handle_of(f);

	TRY(h, DISK_TRUNCATE, SQLITE_IOERR_TRUNCATE);
	bytes_resize(&h->file->data, (size_t)size);
	if (!h->temporary)
		recorded(CUT_TO, h->file->id, (size_t)size, NULL, 0, NULL);
	return SQLITE_OK;
}

/* As unix: the first sync of a journal syncs its folder as well. */
static int x_sync(sqlite3_file *f, int flags)
{
	struct handle *h = handle_of(f);

	(void)flags;
	TRY(h, DISK_SYNC, SQLITE_IOERR_FSYNC);
	if (h->temporary)
		return SQLITE_OK;
	recorded(SYNCED, h->file->id, 0, NULL, 0, NULL);
	if (h->journal && !h->file->was_synced)
		recorded(FOLDER_SYNCED, 0, 0, NULL, 0, NULL);
	h->file->was_synced = true;
	return SQLITE_OK;
}

static int x_size(sqlite3_file *f, sqlite3_int64 *size)
{
	struct handle *h = handle_of(f);

	TRY(h, DISK_SIZE, SQLITE_IOERR_FSTAT);
	*size = (sqlite3_int64)h->file->data.len;
	return SQLITE_OK;
}

static int x_control(sqlite3_file *f, int op, void *arg)
{
	(void)f, (void)op, (void)arg;
	return SQLITE_NOTFOUND;
}

static int x_sector(sqlite3_file *f)
{
	(void)f;
	return 4096;
}

static int x_traits(sqlite3_file *f)
{
	(void)f;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int x_shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **out)
{
	struct handle *h = handle_of(f);

	*out = NULL;
	TRY(h, DISK_SHM_MAP, SQLITE_IOERR_SHMMAP);
	if (region >= SHM_REGIONS)
		return SQLITE_IOERR_SHMMAP;
	if (!h->shm_open) {
		h->shm_open = true;
		h->file->shm_users++;
	}
	if (h->file->shm[region] == NULL && extend)
		h->file->shm[region] = must(calloc(1, (size_t)size));
	*out = h->file->shm[region];
	return SQLITE_OK;
}

static int shm_unlock(struct handle *h, int from, int n, bool shared)
{
	for (int i = from; i < from + n; i++) {
		if (shared && (h->shm_shared & 1u << i) != 0) {
			h->file->shm_shared[i]--;
			h->shm_shared &= ~(1u << i);
		} else if (!shared && h->file->shm_exclusive[i] == h) {
			h->file->shm_exclusive[i] = NULL;
			h->shm_exclusive &= ~(1u << i);
		}
	}
	return SQLITE_OK;
}

static int x_shm_lock(sqlite3_file *f, int from, int n, int flags)
{
	struct handle *h = handle_of(f);
	struct file   *file = h->file;
	bool           shared = (flags & SQLITE_SHM_SHARED) != 0;

	if ((flags & SQLITE_SHM_UNLOCK) != 0)
		return shm_unlock(h, from, n, shared);
	TRY(h, DISK_SHM_LOCK, SQLITE_IOERR_SHMLOCK);
	for (int i = from; i < from + n; i++)
		if ((file->shm_exclusive[i] != NULL && file->shm_exclusive[i] != h) ||
		    (!shared && file->shm_shared[i] > (int)(h->shm_shared >> i & 1)))
			return SQLITE_BUSY;
	for (int i = from; i < from + n; i++) {
		if (!shared) {
			file->shm_exclusive[i] = h;
			h->shm_exclusive |= 1u << i;
		} else if ((h->shm_shared & 1u << i) == 0) {
			file->shm_shared[i]++;
			h->shm_shared |= 1u << i;
		}
	}
	return SQLITE_OK;
}

static void x_shm_barrier(sqlite3_file *f)
{
	(void)f;
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, .xClose = x_close, .xRead = x_read, .xWrite = x_write, .xTruncate = x_truncate, .xSync = x_sync,
	.xFileSize = x_size, .xLock = x_lock, .xUnlock = x_unlock, .xCheckReservedLock = x_reserved,
	.xFileControl = x_control, .xSectorSize = x_sector, .xDeviceCharacteristics = x_traits, .xShmMap = x_shm_map,
	.xShmLock = x_shm_lock, .xShmBarrier = x_shm_barrier, .xShmUnmap = x_shm_unmap,
};

/* ---- the methods of the disk --------------------------------------------------------- */

static int v_open(sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *f, int flags, int *out_flags)
{
	struct handle *h = handle_of(f);
	struct name   *name;
	int            code = failing(DISK_OPEN);

	(void)vfs;
	memset(h, 0, sizeof *h);
	if (code != SQLITE_OK)
		return code;
	h->age = age;
	h->temporary = path == NULL || (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
	h->journal = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
	name = path == NULL ? NULL : name_find(&disk, path);
	if (name != NULL) {
		h->file = name->file;
	} else {
		/* The store itself is made by store_open(), on the real disk, before SQLite opens it. */
		if (path != NULL && (flags & (SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB)) == 0)
			return SQLITE_CANTOPEN;
		h->file = file_new(next_id++);
		if (path != NULL)
			name_add(&disk, path, h->file);
		if (!h->temporary)
			recorded(NAMED, h->file->id, 0, NULL, 0, path);
	}
	if (path != NULL && h->temporary)
		snprintf(h->unlink, sizeof h->unlink, "%s", path);
	h->file->refs++;
	h->base.pMethods = &methods;
	if (out_flags != NULL)
		*out_flags = flags;
	return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
	struct name *name = name_find(&disk, path);
	int          code = failing(DISK_DELETE);

	(void)vfs;
	if (code != SQLITE_OK)
		return code;
	if (name == NULL)
		return SQLITE_IOERR_DELETE_NOENT;
	recorded(UNNAMED, name->file->id, 0, NULL, 0, path);
	name_drop(&disk, name);
	if (sync_folder)
		recorded(FOLDER_SYNCED, 0, 0, NULL, 0, NULL);
	return SQLITE_OK;
}

static int v_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
	const struct name *name = name_find(&disk, path);
	int                code = failing(DISK_ACCESS);

	(void)vfs;
	if (code != SQLITE_OK)
		return code;
	*out = name != NULL && (flags != SQLITE_ACCESS_EXISTS || name->file->data.len > 0);
	return SQLITE_OK;
}

static int v_path(sqlite3_vfs *vfs, const char *path, int n, char *out)
{
	(void)vfs;
	return real->xFullPathname(real, path, n, out);
}

static int v_randomness(sqlite3_vfs *vfs, int n, char *out)
{
	(void)vfs;
	return real->xRandomness(real, n, out);
}

static int v_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int v_time(sqlite3_vfs *vfs, double *out)
{
	(void)vfs;
	return real->xCurrentTime(real, out);
}

static int v_error(sqlite3_vfs *vfs, int n, char *out)
{
	(void)vfs;
	if (n > 0)
		out[0] = '\0';
	return 0;
}

void disk_install(void)
{
	static sqlite3_vfs vfs = {
		.iVersion = 1, .szOsFile = sizeof(struct handle), .mxPathname = NAME_BYTES - 16, .zName = "disk",
		.xOpen = v_open, .xDelete = v_delete, .xAccess = v_access, .xFullPathname = v_path,
		.xRandomness = v_randomness, .xSleep = v_sleep, .xCurrentTime = v_time, .xGetLastError = v_error,
	};

	real = sqlite3_vfs_find(NULL);
	if (real == NULL || sqlite3_vfs_register(&vfs, 1) != SQLITE_OK) {
		fputs("disk: SQLite does not take it\n", stderr);
		abort();
	}
}
