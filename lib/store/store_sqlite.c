/* store_sqlite.c - store.h on SQLite: one file, WAL, one connection a thread. */
#include "store/store.h"

#include "base/clock.h"
#include "base/disk.h"
#include "base/json_digest.h"
#include "schema.h"
#include "sql.h"
#include "store/blocks.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define CACHE_LITTLE "-64"              /* pages that a connection keeps, KiB */
#define CACHE_MORE   "-2000"
#define WAL_BYTES_MAX "33554432"       /* what a checkpoint leaves of the journal */
#define TURN_MIN_S    0.001            /* who waits looks again after less than that (wait_for_lock) */
#define TURN_SHARE    0.1              /* or this part of the time the store was held: all is slow then */

struct store {
	sqlite3      *db;
	sqlite3_stmt *stmt[SQL__MAX];      /* prepared when first used */
	sqlite3_stmt *rollback;            /* prepared at once: it is needed when memory is out */
	char          path[4096];
	bool          open_tx;
	bool          wide;                /* its cache is that of a publishing, until the transaction ends */
	bool          immutable;           /* opened as a file that nobody changes: */
	struct stat   file;                /* as it was then */
	int           busy_ms;             /* how long a write waits for another's */
	double        busy_since;          /* clock_monotonic() when this wait began */
	bool          opening;             /* all waits of it are one */
};

const char *const job_state_names[JOB__MAX] = {
	[JOB_NONE] = "no", [JOB_QUEUED] = "queued", [JOB_RUNNING] = "running",
	[JOB_DONE] = "done", [JOB_SKIPPED] = "skipped", [JOB_FAILED] = "failed",
};

/* ---- statements ---------------------------------------------------------- */

static int db_error(sqlite3 *db, int rc, struct err *e)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(e, ERR_BUSY, "the store is busy, try again");
	case SQLITE_FULL:
		return err_set(e, ERR_DISK, "the disk of the store is full");
	case SQLITE_NOMEM:
		return err_memory(e);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(e, ERR_DAMAGED, "the store is damaged: %s", sqlite3_errstr(rc));
	default:
		/* Never sqlite3_errmsg(): it may hold SQL or values. */
		return err_set(e, ERR_STORE, "the store refuses: %s",
		               sqlite3_errstr(db == NULL ? rc : sqlite3_extended_errcode(db)));
	}
}

/* Binds by one letter an argument: i int64_t (STORE_NULL: NULL), r double,
 * t const char * and s struct span as text, b struct span as a blob (NULL
 * pointers: NULL).  Texts must live until the statement is reset. */
static int prepare(struct store *st, enum sql id, const char *types, va_list ap, sqlite3_stmt **out,
                   struct err *e)
{
	sqlite3_stmt *s = st->stmt[id];
	int           rc = SQLITE_OK;

	if (s == NULL) {
		rc = sqlite3_prepare_v3(st->db, sql_text[id], -1, SQLITE_PREPARE_PERSISTENT, &s, NULL);
		if (rc != SQLITE_OK)
			return db_error(st->db, rc, e);
		st->stmt[id] = s;
	}
	for (int i = 1; types[i - 1] != '\0' && rc == SQLITE_OK; i++) {
		const char *t;
		struct span v;
		int64_t     n;

		switch (types[i - 1]) {
		case 'i':
			n = va_arg(ap, int64_t);
			rc = n == STORE_NULL ? sqlite3_bind_null(s, i) : sqlite3_bind_int64(s, i, n);
			break;
		case 'r':
			rc = sqlite3_bind_double(s, i, va_arg(ap, double));
			break;
		case 't':
			t = va_arg(ap, const char *);
			rc = t == NULL ? sqlite3_bind_null(s, i) : sqlite3_bind_text(s, i, t, -1, SQLITE_STATIC);
			break;
		case 's':
			v = va_arg(ap, struct span);
			rc = v.p == NULL ? sqlite3_bind_null(s, i)
			                 : sqlite3_bind_text64(s, i, v.p, v.len, SQLITE_STATIC, SQLITE_UTF8);
			break;
		default:
			v = va_arg(ap, struct span);
			rc = v.p == NULL ? sqlite3_bind_zeroblob(s, i, 0)
			                 : sqlite3_bind_blob64(s, i, v.p, v.len, SQLITE_STATIC);
		}
	}
	if (rc != SQLITE_OK) {
		db_error(st->db, rc, e);
		sqlite3_clear_bindings(s);
		return -1;
	}
	*out = s;
	return 0;
}

static void done(sqlite3_stmt *s)
{
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
}

/* The next row: 0; 1 no more (the statement is reset); -1. */
static int next(struct store *st, sqlite3_stmt *s, struct err *e)
{
	int rc = sqlite3_step(s);

	if (rc == SQLITE_ROW)
		return 0;
	done(s);
	return rc == SQLITE_DONE ? 1 : db_error(st->db, rc, e);
}

/* Runs a query up to its first row: 0 and *s to be given to done(); 1 no row; -1. */
static int query(struct store *st, enum sql id, sqlite3_stmt **s, struct err *e, const char *types, ...)
{
	va_list ap;
	int     rc;

	va_start(ap, types);
	rc = prepare(st, id, types, ap, s, e);
	va_end(ap);
	return rc < 0 ? -1 : next(st, *s, e);
}

/* Runs a change: the number of rows it touched, or -1. */
static int64_t change(struct store *st, enum sql id, struct err *e, const char *types, ...)
{
	sqlite3_stmt *s;
	va_list       ap;
	int           rc;

	va_start(ap, types);
	rc = prepare(st, id, types, ap, &s, e);
	va_end(ap);
	if (rc < 0)
		return -1;
	while ((rc = next(st, s, e)) == 0)
		;
	return rc < 0 ? -1 : sqlite3_changes64(st->db);
}

static int64_t column_int(sqlite3_stmt *s, int i)
{
	return sqlite3_column_type(s, i) == SQLITE_NULL ? STORE_NULL : sqlite3_column_int64(s, i);
}

/* Borrowed until the statement moves. */
static struct span column_span(sqlite3_stmt *s, int i)
{
	const char *p = sqlite3_column_blob(s, i);

	if (sqlite3_column_type(s, i) == SQLITE_NULL)
		return (struct span){ NULL, 0 };
	return (struct span){ p == NULL ? "" : p, (size_t)sqlite3_column_bytes(s, i) };
}

static int column_copy(sqlite3_stmt *s, int i, struct arena *a, struct span *out, struct err *e)
{
	struct span v = column_span(s, i);

	*out = v;
	if (v.p != NULL && (out->p = arena_copy(a, v)) == NULL)
		return err_memory(e);
	return 0;
}

/*
 * Waiting for another's write.  Writes here take a millisecond or two: SQLite's own
 * handler, which sleeps longer each time, lets late comers overtake who has waited
 * long (p99 of 8 webhooks at once: 425 ms).  Short sleeps of random length don't.
 */
static int wait_for_lock(void *arg, int count)
{
	struct store   *st = arg;
	struct timespec pause = { 0, 200000 + (long)randombytes_uniform(600000) };

	if (count == 0 && !st->opening)
		st->busy_since = clock_monotonic();
	if ((clock_monotonic() - st->busy_since) * 1000 >= st->busy_ms)
		return 0;
	nanosleep(&pause, NULL);
	return 1;
}

/* ---- opening -------------------------------------------------------------- */

static int exec(struct store *st, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(st->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : db_error(st->db, rc, e);
}

/* The first number that a pragma answers. */
static int pragma(struct store *st, const char *sql, int *n, struct err *e)
{
	sqlite3_stmt *s;
	int           rc = sqlite3_prepare_v2(st->db, sql, -1, &s, NULL);

	if (rc != SQLITE_OK)
		return db_error(st->db, rc, e);
	rc = sqlite3_step(s);
	*n = rc == SQLITE_ROW ? sqlite3_column_int(s, 0) : 0;
	sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : db_error(st->db, rc, e);
}

/* Of a store without a page, and of what VACUUM makes: with SQLite's map of pages, a block
 * of a model's part is found without reading those before it, each of which says where
 * the next one is, as long as they ascend.  Of parts of more than 4 MB, whose pages come
 * from several pages of the free list, those of every other generation descend (3.40 to
 * 3.53), and are read as without the map.  The pragma acts where it is compiled; run, it
 * would write the first page in a transaction of its own, with four syncs of the disk. */
static int map_pages(struct store *st, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int           rc = sqlite3_prepare_v2(st->db, "PRAGMA auto_vacuum = INCREMENTAL", -1, &s, NULL);

	sqlite3_finalize(s);
	return rc == SQLITE_OK ? 0 : db_error(st->db, rc, e);
}

/* Where another is making the store, SQLite says at once that it is busy. */
static int use_wal(struct store *st, struct err *e)
{
	struct err why = { 0 };

	while (exec(st, "PRAGMA journal_mode = WAL", &why) < 0) {
		if (why.code != ERR_BUSY || !wait_for_lock(st, 1))
			return err_set(e, why.code, "%s", why.msg);
		err_clear(&why);
	}
	return 0;
}

static int schema_known(int version, struct err *e)
{
	if (version < 0)
		return err_set(e, ERR_DAMAGED, "the store is damaged: it has schema %d", version);
	if (version > SCHEMA_VERSIONS)
		return err_set(e, ERR_STORE, "the store has schema %d, this program knows %d: it was made by a newer prelabel",
		               version, SCHEMA_VERSIONS);
	return 0;
}

/* All steps are one transaction with their mark: a program killed in the middle leaves
 * the old schema, and a new store costs one sync of the disk, for which the others that
 * start at the same time wait. */
static int migrate(struct store *st, struct err *e)
{
	int  version;
	char mark[48];

	if (pragma(st, "PRAGMA user_version", &version, e) < 0 || schema_known(version, e) < 0)
		return -1;
	if (version == SCHEMA_VERSIONS)
		return 0;
	if (store_begin(st, e) < 0)
		return -1;
	/* A step may have to say that views which somebody added are none of its business. */
	sqlite3_db_config(st->db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
	/* Another program may have done it meanwhile. */
	if (pragma(st, "PRAGMA user_version", &version, e) < 0 || schema_known(version, e) < 0)
		goto fail;
	for (; version < SCHEMA_VERSIONS; version++)
		if (exec(st, schema_sql[version], e) < 0)
			goto fail;
	snprintf(mark, sizeof mark, "PRAGMA user_version = %d", version);
	if (exec(st, mark, e) < 0 || store_commit(st, e) < 0)
		goto fail;
	sqlite3_db_config(st->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return 0;
fail:
	store_rollback(st);
	return -1;
}

static int make_folder(const char *path, struct err *e)
{
	struct stat sb;
	char        part[4096];
	size_t      n = strlen(path);

	if (n == 0 || n >= sizeof part)
		return err_set(e, ERR_USAGE, "MODEL_DIR is too long or empty");
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return err_set(e, errno == ENOSPC ? ERR_DISK : ERR_STORE, "MODEL_DIR can't be made: %s",
			               strerror(errno));
	}
	if (stat(path, &sb) < 0 || !S_ISDIR(sb.st_mode))
		return err_set(e, ERR_STORE, "MODEL_DIR is not a folder");
	return 0;
}

/* Where another machine may write as well, locks and shared memory do not hold, and the
 * store would be damaged in silence. */
static int check_disk(const char *path, struct err *e)
{
	bool        never;
	const char *name = disk_network(path, &never);

	return !never ? 0 : err_set(e, ERR_STORE, "it is on a network file system (%s), where SQLite's locks do not hold: "
	                            "a folder on a disk of this machine is needed", name);
}

/* The store holds texts that people label: for its owner alone, and no link to
 * somewhere else.  The file is made before SQLite opens it, for its mode; only
 * where it is missing, since closing a second descriptor of a file drops the
 * locks that other connections of the process hold on it. */
static int make_file(const char *path, struct err *e)
{
	struct stat sb;
	int         fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno != EEXIST)
		return err_set(e, errno == ENOSPC ? ERR_DISK : ERR_STORE, "the store can't be made: %s",
		               strerror(errno));
	if (lstat(path, &sb) < 0 || !S_ISREG(sb.st_mode))
		return err_set(e, ERR_STORE, "the store is not a regular file");
	if ((sb.st_mode & 077) != 0)
		(void)chmod(path, 0600);
	return 0;
}

static int prepare_rollback(struct store *st, struct err *e)
{
	int rc = sqlite3_prepare_v3(st->db, "ROLLBACK", -1, SQLITE_PREPARE_PERSISTENT, &st->rollback, NULL);

	return rc == SQLITE_OK ? 0 : db_error(st->db, rc, e);
}

static int64_t size_of(const char *path, const char *end)
{
	struct stat sb;
	char        name[sizeof ((struct store *)0)->path + 8];

	snprintf(name, sizeof name, "%s%s", path, end);
	return stat(name, &sb) == 0 ? sb.st_size : 0;
}

/* On a file system that is mounted read-only, a store that was closed in order.  SQLite
 * would have to make its journal to read it; nobody can, and nobody changes the file. */
static bool never_changes(const char *path)
{
	struct statvfs fs;

	return statvfs(path, &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0 && size_of(path, "-wal") == 0;
}

/* As a URI, in which some characters of a path mean something else. */
static int open_immutable(struct store *st)
{
	char   uri[3 * sizeof st->path + 32] = "file:";
	size_t n = strlen(uri);

	for (const char *p = st->path; *p != '\0'; p++)
		n += (size_t)sprintf(uri + n, strchr("%?#", *p) != NULL ? "%%%02x" : "%c", (unsigned)*p);
	memcpy(uri + n, "?immutable=1", sizeof "?immutable=1");
	return sqlite3_open_v2(uri, &st->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
	                       SQLITE_OPEN_URI, NULL);
}

/* A connection would begin with room for 20 pages, however few it may keep; and each piece
 * of memory would be counted, under a lock of the whole process. */
static void configure(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 1);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int store_open(struct store **out, const char *model_dir, int busy_ms, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct store         *st;
	int                   rc;

	*out = NULL;
	pthread_once(&once, configure);
	if (sodium_init() < 0)
		return err_set(e, ERR_STORE, "libsodium can't be started");
	if (make_folder(model_dir, e) < 0 || check_disk(model_dir, e) < 0)
		return -1;
	st = calloc(1, sizeof *st);
	if (st == NULL)
		return err_memory(e);
	if (snprintf(st->path, sizeof st->path, "%s/" STORE_FILE, model_dir) >= (int)sizeof st->path)
		err_set(e, ERR_USAGE, "MODEL_DIR is too long");
	else if (make_file(st->path, e) == 0) {
		st->immutable = stat(st->path, &st->file) == 0 && never_changes(st->path);
		rc = st->immutable ? open_immutable(st)
		     : sqlite3_open_v2(st->path, &st->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
		                       NULL);
		if (rc != SQLITE_OK) {
			db_error(st->db, rc, e);
		} else {
			st->busy_ms = busy_ms;
			st->busy_since = clock_monotonic();
			st->opening = true;
			sqlite3_busy_handler(st->db, wait_for_lock, st);
			sqlite3_extended_result_codes(st->db, 1);
			/* Of SQLite's own 48 KB a connection: there is one a thread of each process. */
			sqlite3_db_config(st->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 512, 24);
			sqlite3_db_config(st->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
			sqlite3_db_config(st->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
			if ((st->file.st_size > 0 || map_pages(st, e) == 0) &&
			    (st->immutable || use_wal(st, e) == 0) &&
			    exec(st, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
			             "PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON;"
			             "PRAGMA journal_size_limit = " WAL_BYTES_MAX ";", e) == 0 &&
			    migrate(st, e) == 0 && exec(st, "PRAGMA cache_size = " CACHE_LITTLE, e) == 0 &&
			    prepare_rollback(st, e) == 0) {
				st->opening = false;
				*out = st;
				return 0;
			}
		}
	}
	store_close(st);
	return -1;
}

void store_keep_more(struct store *st)
{
	struct err e = { 0 };

	(void)exec(st, "PRAGMA cache_size = " CACHE_MORE, &e);
}

void store_close(struct store *st)
{
	if (st == NULL)
		return;
	store_rollback(st);
	for (size_t i = 0; i < SQL__MAX; i++)
		sqlite3_finalize(st->stmt[i]);
	sqlite3_finalize(st->rollback);
	sqlite3_close(st->db);
	free(st);
}

/* Where the disk is mounted read-only for us alone, others write, too. */
bool store_outdated(const struct store *st)
{
	struct stat now;

	return st->immutable && (!never_changes(st->path) || stat(st->path, &now) < 0 || now.st_ino != st->file.st_ino ||
	                         now.st_size != st->file.st_size || now.st_mtim.tv_sec != st->file.st_mtim.tv_sec ||
	                         now.st_mtim.tv_nsec != st->file.st_mtim.tv_nsec);
}

static int begin(struct store *st, const char *sql, struct err *e)
{
	if (exec(st, sql, e) < 0)
		return -1;
	st->open_tx = true;
	return 0;
}

int store_begin(struct store *st, struct err *e)
{
	return begin(st, "BEGIN IMMEDIATE", e);
}

int store_begin_read(struct store *st, struct err *e)
{
	return begin(st, "BEGIN", e);
}

static void tx_ended(struct store *st)
{
	if (st->wide)
		store_keep_more(st);
	st->open_tx = st->wide = false;
}

int store_commit(struct store *st, struct err *e)
{
	if (exec(st, "COMMIT", e) < 0)
		return -1;
	tx_ended(st);
	return 0;
}

void store_leave_turn(double held_s)
{
	const double          s = held_s * TURN_SHARE > TURN_MIN_S ? held_s * TURN_SHARE : TURN_MIN_S;
	const struct timespec t = { (time_t)s, (long)((s - (double)(time_t)s) * 1e9) };

	if (held_s > 0)
		nanosleep(&t, NULL);
}

int64_t store_writes(const struct store *st)
{
	return sqlite3_total_changes64(st->db);
}

void store_rollback(struct store *st)
{
	if (st->open_tx) {
		(void)(st->rollback != NULL ? sqlite3_step(st->rollback)
		                            : sqlite3_exec(st->db, "ROLLBACK", NULL, NULL, NULL));
		sqlite3_reset(st->rollback);
	}
	tx_ended(st);
}

bool store_stuck(const struct store *st)
{
	return !st->open_tx && !sqlite3_get_autocommit(st->db);
}

void store_sizes(const struct store *st, int64_t *database, int64_t *wal)
{
	*database = size_of(st->path, "");
	*wal = size_of(st->path, "-wal");
}

/* ---- projects ------------------------------------------------------------- */

/* The one integer of a query that came to rc: 0, 1 no row, -1.  s is a pointer
 * since it is set by the query, in the same list of arguments. */
static int one_int(int rc, sqlite3_stmt **s, int64_t *v)
{
	if (rc != 0)
		return rc;
	*v = column_int(*s, 0);
	done(*s);
	return 0;
}

int store_state(struct store *st, int64_t state[2], struct err *e)
{
	sqlite3_stmt *s = NULL;

	/* SQLite's counts the commits of others alone. */
	state[1] = store_writes(st);
	return one_int(query(st, SQL_DATA_VERSION, &s, e, ""), &s, &state[0]);
}

int store_project_find(struct store *st, int64_t id, int64_t created_s, int64_t *row, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int           rc;

	if (created_s == STORE_NULL)
		return one_int(query(st, SQL_PROJECT_NEWEST, &s, e, "i", id), &s, row);
	rc = one_int(query(st, SQL_PROJECT_PAIR, &s, e, "ii", id, created_s), &s, row);
	if (rc == 1)
		rc = one_int(query(st, SQL_PROJECT_WITHOUT_TIME, &s, e, "i", id), &s, row);
	return rc;
}

int store_project_ensure(struct store *st, int64_t id, int64_t created_s, int64_t *row, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int           rc;

	if (created_s == STORE_NULL) {
		rc = store_project_find(st, id, created_s, row, e);
	} else {
		rc = one_int(query(st, SQL_PROJECT_PAIR, &s, e, "ii", id, created_s), &s, row);
		if (rc == 1) {
			rc = one_int(query(st, SQL_PROJECT_WITHOUT_TIME, &s, e, "i", id), &s, row);
			if (rc == 0 && change(st, SQL_PROJECT_TIME, e, "ii", *row, created_s) < 0)
				return -1;
		}
	}
	if (rc != 1)
		return rc;
	if (change(st, SQL_PROJECT_ADD, e, "ii", id, created_s) < 0)
		return -1;
	*row = sqlite3_last_insert_rowid(st->db);
	return 0;
}

static int get_project(struct store *st, int64_t row, int64_t id, int64_t created_s, struct arena *a,
                       struct project *p, struct err *e)
{
	sqlite3_stmt *s;
	int           rc = query(st, SQL_PROJECT_GET, &s, e, "iii", row, id, created_s);

	if (rc != 0)
		return rc;
	*p = (struct project){ .row = column_int(s, 27), .id = column_int(s, 0), .created_s = column_int(s, 1),
		.updates = column_int(s, 7), .updates_trained = column_int(s, 8), .unread = column_int(s, 9),
		.webhook_s = column_int(s, 10), .fetched_s = column_int(s, 11), .fetch_ms = column_int(s, 23),
		.uncertainty = column_int(s, 25) != 0, .api_s = column_int(s, 26) };
	p->version.row = sqlite3_column_int64(s, 13);
	p->version.number = sqlite3_column_int64(s, 14);
	p->version.logreg_c = sqlite3_column_double(s, 19);
	p->version.n_examples = sqlite3_column_int64(s, 21);
	p->version.created_s = sqlite3_column_int64(s, 22);
	rc = column_copy(s, 2, a, &p->title, e) < 0 || column_copy(s, 3, a, &p->label_config, e) < 0 ||
	     column_copy(s, 4, a, &p->config_hash, e) < 0 || column_copy(s, 5, a, &p->labels, e) < 0 ||
	     column_copy(s, 6, a, &p->reason, e) < 0 || column_copy(s, 12, a, &p->fetch_error, e) < 0 ||
	     column_copy(s, 15, a, &p->version.kind, e) < 0 || column_copy(s, 16, a, &p->version.formats, e) < 0 ||
	     column_copy(s, 24, a, &p->extra_params, e) < 0 || column_copy(s, 28, a, &p->config_elements, e) < 0 ||
	     column_copy(s, 29, a, &p->words_form, e) < 0 ||
	     column_copy(s, 17, a, &p->version.examples_hash, e) < 0 ||
	     column_copy(s, 18, a, &p->version.token_pattern, e) < 0 ||
	     column_copy(s, 20, a, &p->version.labels, e) < 0 ? -1 : 0;
	done(s);
	return rc;
}

int store_project_get(struct store *st, int64_t row, struct arena *a, struct project *p, struct err *e)
{
	int rc = get_project(st, row, STORE_NULL, STORE_NULL, a, p, e);

	return rc == 1 ? err_set(e, ERR_NOT_FOUND, "the project is no longer there") : rc;
}

int store_project_named(struct store *st, int64_t id, int64_t created_s, struct arena *a, struct project *p,
                        struct err *e)
{
	return get_project(st, STORE_NULL, id, created_s, a, p, e);
}

/* list[n], with room for one more: itself, or a copy of twice its size; NULL. */
static void *with_room(struct arena *a, void *list, size_t n, size_t *cap, size_t size)
{
	void *grown;

	if (n < *cap)
		return list;
	*cap = *cap == 0 ? 16 : *cap * 2;
	grown = arena_array(a, *cap, size);
	if (grown != NULL && n > 0)
		memcpy(grown, list, n * size);
	return grown;
}

/* All integers of column 0 of a running query. */
static int int_list(struct store *st, sqlite3_stmt **sp, int rc, struct arena *a, int64_t **list, size_t *n,
                    struct err *e)
{
	sqlite3_stmt *s = *sp;
	size_t        cap = 0;
	int64_t      *grown;

	*list = NULL;
	*n = 0;
	for (; rc == 0; rc = next(st, s, e)) {
		grown = with_room(a, *list, *n, &cap, sizeof *grown);
		if (grown == NULL) {
			done(s);
			return err_memory(e);
		}
		*list = grown;
		(*list)[(*n)++] = column_int(s, 0);
	}
	return rc == 1 ? 0 : -1;
}

int store_project_rows(struct store *st, struct arena *a, int64_t **rows, size_t *n, struct err *e)
{
	sqlite3_stmt *s = NULL;

	return int_list(st, &s, query(st, SQL_PROJECT_ROWS, &s, e, ""), a, rows, n, e);
}

int store_project_config(struct store *st, int64_t row, struct span label_config, const char *config_hash,
                         const char *control, const char *text_key, struct span labels,
                         const char *reason, bool multiple, struct span config_elements, struct err *e)
{
	return change(st, SQL_PROJECT_CONFIG, e, "isttt" "stis", row, label_config, config_hash, control, text_key,
	              labels, reason, (int64_t)multiple, config_elements) < 0 ? -1 : 0;
}

int store_project_extra(struct store *st, int64_t row, struct span extra_params, struct err *e)
{
	return change(st, SQL_PROJECT_EXTRA, e, "is", row, extra_params) < 0 ? -1 : 0;
}

int store_project_title(struct store *st, int64_t row, struct span title, struct err *e)
{
	return change(st, SQL_PROJECT_TITLE, e, "is", row, title) < 0 ? -1 : 0;
}

int store_project_uncertainty(struct store *st, int64_t row, bool on, struct err *e)
{
	return change(st, SQL_PROJECT_UNCERTAINTY, e, "ii", row, (int64_t)on) < 0 ? -1 : 0;
}

int store_project_answered(struct store *st, int64_t row, int64_t now_s, struct err *e)
{
	return change(st, SQL_PROJECT_ANSWERED, e, "ii", row, now_s) < 0 ? -1 : 0;
}

int store_project_delete(struct store *st, int64_t row, struct err *e)
{
	return change(st, SQL_PROJECT_DELETE, e, "i", row) < 0 ? -1 : 0;
}

int store_compact(struct store *st, struct err *e)
{
	int busy;

	if (map_pages(st, e) < 0 || exec(st, "VACUUM", e) < 0 || pragma(st, "PRAGMA wal_checkpoint(TRUNCATE)", &busy, e) < 0)
		return -1;
	return busy == 0 ? 0 : err_set(e, ERR_BUSY, "what was deleted is still in the journal: another program reads the store");
}

void store_drop_cache(struct store *st)
{
	(void)sqlite3_db_release_memory(st->db);
}

int store_free_pages(struct store *st, int *n, struct err *e)
{
	return pragma(st, "PRAGMA freelist_count", n, e);
}

int store_project_counts(struct store *st, int64_t row, struct project_counts *c, struct err *e)
{
	sqlite3_stmt *s;

	if (query(st, SQL_PROJECT_COUNTS, &s, e, "i", row) != 0)
		return -1;
	*c = (struct project_counts){ column_int(s, 0), column_int(s, 1), column_int(s, 2) };
	done(s);
	return 0;
}

/* ---- tasks and annotations ------------------------------------------------- */

int store_event_add(struct store *st, int64_t project, const char *source, const char *action,
                    int64_t *event, struct err *e)
{
	if (change(st, SQL_EVENT_ADD, e, "iitti", project, clock_us(), source, action, (int64_t)0) < 0)
		return -1;
	*event = sqlite3_last_insert_rowid(st->db);
	return 0;
}

int store_event_end(struct store *st, int64_t project, int64_t event, int64_t changed, int64_t unread,
                    int64_t webhook_s, struct err *e)
{
	if (changed > 0 && change(st, SQL_EVENT_CHANGED, e, "ii", event, changed) < 0)
		return -1;
	return change(st, SQL_PROJECT_WEBHOOK, e, "iiii", project, webhook_s, changed, unread) < 0 ? -1 : 0;
}

int store_event_drop(struct store *st, int64_t event, struct err *e)
{
	return change(st, SQL_EVENT_DROP, e, "i", event) < 0 ? -1 : 0;
}

int store_event_last(struct store *st, int64_t *event, struct err *e)
{
	sqlite3_stmt *s = NULL;

	return one_int(query(st, SQL_EVENT_LAST, &s, e, ""), &s, event);
}

/* Is what came later than what is kept?  `same`: the content is equal. */
static bool later(int64_t came_us, int64_t kept_us, bool same)
{
	if (came_us == STORE_NULL || kept_us == STORE_NULL)
		return !same;
	return came_us > kept_us;
}

int store_task_put(struct store *st, int64_t project, const struct task_row *t, int64_t revive_until,
                   bool *changed, struct err *e)
{
	sqlite3_stmt *s;
	int           rc = query(st, SQL_TASK_GET, &s, e, "ii", project, t->id);

	*changed = false;
	if (rc < 0)
		return -1;
	if (rc == 0) {
		bool    same = json_same(column_span(s, 0), t->data);
		int64_t kept_us = column_int(s, 1), deleted = column_int(s, 2);

		done(s);
		if (deleted != 0 ? deleted > revive_until : t->updated_us != STORE_NULL && kept_us != STORE_NULL &&
		    t->updated_us < kept_us)
			return 0;
		/* Label Studio moves a task's updated_at with each annotation: what counts as a
		 * change is other data.  The time is kept all the same: older data may follow. */
		if (deleted == 0 && same)
			return t->updated_us == STORE_NULL || t->updated_us == kept_us ? 0 :
			       change(st, SQL_TASK_TIME, e, "iii", project, t->id, t->updated_us) < 0 ? -1 : 0;
	}
	*changed = true;
	return change(st, SQL_TASK_PUT, e, "iisi", project, t->id, t->data, t->updated_us) < 0 ? -1 : 0;
}

int store_annotation_put(struct store *st, int64_t project, const struct annotation_row *a, int64_t event,
                         int64_t revive_until, bool *changed, struct err *e)
{
	sqlite3_stmt *s;
	int           rc;

	*changed = false;
	rc = query(st, SQL_TASK_GET, &s, e, "ii", project, a->task);
	if (rc < 0)
		return -1;
	if (rc == 0) {
		bool task_deleted = column_int(s, 2) != 0;

		done(s);
		if (task_deleted)
			return 0;
	}
	rc = query(st, SQL_ANNOTATION_GET, &s, e, "ii", project, a->id);
	if (rc < 0)
		return -1;
	if (rc == 0) {
		bool same = column_int(s, 0) == a->task && json_same(column_span(s, 1), a->result) &&
		            (column_int(s, 2) != 0) == a->was_cancelled &&
		            (column_int(s, 3) != 0) == a->ground_truth && column_int(s, 4) == a->completed_by;
		bool deleted = column_int(s, 7) != 0;
		bool read_later = column_int(s, 6) <= revive_until;
		bool newer = deleted ? read_later : later(a->updated_us, column_int(s, 5), same) || (read_later && !same);

		done(s);
		if (!newer)
			return 0;
		/* An export that says the same changes nothing but the time that events are compared with. */
		if (!deleted && same && revive_until > 0)
			return change(st, SQL_ANNOTATION_TIME, e, "iii", project, a->id, a->updated_us) < 0 ? -1 : 0;
	}
	*changed = true;
	return change(st, SQL_ANNOTATION_PUT, e, "iiisiiiii", project, a->id, a->task, a->result,
	              (int64_t)a->was_cancelled, (int64_t)a->ground_truth, a->completed_by, a->updated_us,
	              event) < 0 ? -1 : 0;
}

int store_annotation_delete(struct store *st, int64_t project, int64_t id, int64_t event, int64_t *changed,
                            struct err *e)
{
	sqlite3_stmt *s;
	int           rc = query(st, SQL_ANNOTATION_GET, &s, e, "ii", project, id);

	*changed = 0;
	if (rc < 0)
		return -1;
	if (rc == 0) {
		bool deleted = column_int(s, 7) != 0;

		done(s);
		if (deleted)
			return 0;
		*changed = 1;
	}
	return change(st, SQL_ANNOTATION_DELETE, e, "iii", project, id, event) < 0 ? -1 : 0;
}

int store_task_delete(struct store *st, int64_t project, int64_t id, int64_t event, int64_t *changed,
                      struct err *e)
{
	if (change(st, SQL_TASK_DELETE, e, "iii", project, id, event) < 0)
		return -1;
	*changed = change(st, SQL_ANNOTATION_DELETE_TASK, e, "iii", project, id, event);
	return *changed < 0 ? -1 : 0;
}

int store_annotation_ids(struct store *st, int64_t project, int64_t until, struct arena *a, int64_t **ids,
                         size_t *n, struct err *e)
{
	sqlite3_stmt *s = NULL;

	return int_list(st, &s, query(st, SQL_ANNOTATION_IDS, &s, e, "ii", project, until), a, ids, n, e);
}

int store_annotation_least(struct store *st, int64_t project, int64_t *id, struct err *e)
{
	sqlite3_stmt *s = NULL;

	return one_int(query(st, SQL_ANNOTATION_LEAST, &s, e, "i", project), &s, id) < 0 ? -1 : 0;
}

int store_examples(struct store *st, int64_t project, bool words, int64_t first, int64_t last,
                   int (*each)(void *arg, const struct labelled_row *row, struct err *e), void *arg,
                   struct err *e)
{
	sqlite3_stmt *s;
	int           rc = query(st, SQL_ANNOTATION_EXAMPLES, &s, e, "iiii", project, (int64_t)words, first, last);

	for (; rc == 0; rc = next(st, s, e)) {
		struct labelled_row row = {
			.annotation = column_int(s, 0), .task = column_int(s, 1), .result = column_span(s, 2),
			.was_cancelled = column_int(s, 3) != 0, .completed_by = column_int(s, 4),
			.overruled = column_int(s, 5) != 0, .data = column_span(s, 6), .words = column_span(s, 7),
			.label = column_span(s, 8),
		};

		if (each(arg, &row, e) < 0) {
			done(s);
			return -1;
		}
	}
	return rc == 1 ? 0 : -1;
}

int store_annotation_words(struct store *st, int64_t project, int64_t id, struct span words, struct span label, struct err *e)
{
	return change(st, SQL_ANNOTATION_WORDS, e, "iiss", project, id, words, label) < 0 ? -1 : 0;
}

int store_project_words(struct store *st, int64_t row, const char *form, struct err *e)
{
	return change(st, SQL_PROJECT_WORDS, e, "it", row, form) < 0 ? -1 : 0;
}

/* ---- jobs -------------------------------------------------------------------- */

static enum job_state state_of(struct span name)
{
	for (size_t i = 0; i < JOB__MAX; i++)
		if (span_is(name, job_state_names[i]))
			return (enum job_state)i;
	return JOB_NONE;
}

/* 0, 1 none open, -1. */
static int open_job(struct store *st, int64_t project, int64_t *row, enum job_state *state, struct err *e)
{
	sqlite3_stmt *s;
	int           rc = query(st, SQL_JOB_OPEN, &s, e, "i", project);

	if (rc != 0)
		return rc;
	*row = column_int(s, 0);
	*state = state_of(column_span(s, 1));
	done(s);
	return 0;
}

int store_job_queue(struct store *st, int64_t project, const char *reason, int64_t now_s, int64_t *job,
                    struct err *e)
{
	bool           person = strcmp(reason, "start") == 0 || strcmp(reason, "command") == 0;
	bool           reading = strcmp(reason, "connect") == 0 || strcmp(reason, "sync") == 0;
	enum job_state state;
	int64_t        row;
	int            rc = open_job(st, project, &row, &state, e);

	if (rc == 1) {
		if (change(st, SQL_JOB_ADD, e, "iti", project, reason, now_s) < 0)
			return -1;
		row = sqlite3_last_insert_rowid(st->db);
	} else if (rc == 0 && state == JOB_QUEUED && reading) {
		rc = change(st, SQL_JOB_READS, e, "i", project) < 0 ? -1 : 0;
	} else if (rc == 0 && state == JOB_QUEUED) {
		rc = change(st, SQL_JOB_UNREAD, e, "i", project) < 0 ||
		     change(st, person ? SQL_JOB_HURRY : SQL_JOB_INSTEAD, e, "it", row, reason) < 0 ? -1 : 0;
	} else if (rc == 0 && state == JOB_RUNNING && strcmp(reason, "updates") != 0) {
		rc = change(st, SQL_JOB_AGAIN, e, "it", row, reason) < 0 ? -1 : 0;
	}
	if (rc >= 0 && job != NULL)
		*job = row;
	return rc < 0 ? -1 : 0;
}

int store_job_now(struct store *st, int64_t project, struct err *e)
{
	return change(st, SQL_JOB_NOW, e, "i", project) < 0 ? -1 : 0;
}

int store_job_training(struct store *st, int64_t project, enum job_state *state, struct err *e)
{
	sqlite3_stmt *s;
	int           rc = query(st, SQL_JOB_TRAINING, &s, e, "i", project);

	*state = JOB_NONE;
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (column_span(s, 0).p != NULL)
		*state = state_of(column_span(s, 0));
	done(s);
	return 0;
}

int store_job_open(struct store *st, int64_t project, enum job_state *state, struct err *e)
{
	int64_t row;
	int     rc = open_job(st, project, &row, state, e);

	if (rc == 1)
		*state = JOB_NONE;
	return rc < 0 ? -1 : 0;
}

/* The first of the integers of column 0 of a running query. */
static int first_ints(struct store *st, sqlite3_stmt **sp, int rc, int64_t list[], size_t max, size_t *n, struct err *e)
{
	sqlite3_stmt *s = *sp;

	for (*n = 0; rc == 0 && *n < max; rc = next(st, s, e))
		list[(*n)++] = column_int(s, 0);
	if (rc == 0)
		done(s);
	return rc < 0 ? -1 : 0;
}

int store_job_due(struct store *st, int64_t now_s, int64_t projects[], size_t max, size_t *n, struct err *e)
{
	sqlite3_stmt *s = NULL;

	return first_ints(st, &s, query(st, SQL_JOB_DUE, &s, e, "i", now_s), projects, max, n, e);
}

int store_job_unasked(struct store *st, int64_t projects[], size_t max, size_t *n, struct err *e)
{
	sqlite3_stmt *s = NULL;

	return first_ints(st, &s, query(st, SQL_JOB_UNASKED, &s, e, ""), projects, max, n, e);
}

static int read_job(sqlite3_stmt **sp, int rc, struct arena *a, struct job *job, struct err *e)
{
	sqlite3_stmt *s = *sp;

	if (rc != 0)
		return rc;
	*job = (struct job){ .state = state_of(column_span(s, 0)), .attempt = column_int(s, 3),
		.queued_s = column_int(s, 4), .started_s = column_int(s, 5), .finished_s = column_int(s, 6),
		.progress = sqlite3_column_double(s, 7), .version_number = column_int(s, 9),
		.row = column_int(s, 10) };
	rc = column_copy(s, 1, a, &job->reason, e) < 0 || column_copy(s, 8, a, &job->note, e) < 0 ? -1 : 0;
	done(s);
	return rc;
}

int store_job_get(struct store *st, int64_t row, struct arena *a, struct job *job, struct err *e)
{
	sqlite3_stmt *s = NULL;

	return read_job(&s, query(st, SQL_JOB_GET, &s, e, "i", row), a, job, e);
}

int store_job_newest(struct store *st, int64_t *row, struct err *e)
{
	sqlite3_stmt *s = NULL;

	return one_int(query(st, SQL_JOB_NEWEST, &s, e, ""), &s, row);
}

int store_job_last(struct store *st, int64_t project, struct arena *a, struct job *job, struct err *e)
{
	sqlite3_stmt *s = NULL;

	return read_job(&s, query(st, SQL_JOB_LAST, &s, e, "i", project), a, job, e);
}

int store_lease_take(struct store *st, int64_t project, int64_t now_s, struct lease *lease, struct err *e)
{
	unsigned char random[16];
	sqlite3_stmt *s;
	int64_t       taken;
	int           rc;

	*lease = (struct lease){ .project = project };
	randombytes_buf(random, sizeof random);
	sodium_bin2hex(lease->owner, sizeof lease->owner, random, sizeof random);
	taken = change(st, SQL_LEASE_TAKE, e, "itii", project, (const char *)lease->owner, now_s, now_s + LEASE_S);
	if (taken <= 0)
		return taken < 0 ? -1 : 1;
	rc = query(st, SQL_LEASE_GET, &s, e, "it", project, (const char *)lease->owner);
	if (rc != 0)
		return rc;
	lease->job = column_int(s, 0);
	lease->attempt = column_int(s, 1);
	snprintf(lease->reason, sizeof lease->reason, "%.*s", (int)column_span(s, 2).len, column_span(s, 2).p);
	done(s);
	return 0;
}

static int lost_unless(int64_t rows, const struct lease *lease, struct err *e)
{
	if (rows == 0)
		err_set(e, ERR_LEASE, "job %lld: another trainer has taken it over", (long long)lease->job);
	return rows > 0 ? 0 : -1;
}

int store_lease_renew(struct store *st, const struct lease *lease, int64_t now_s, double progress, struct err *e)
{
	return lost_unless(change(st, SQL_LEASE_RENEW, e, "itiir", lease->job, (const char *)lease->owner,
	                          lease->attempt, now_s + LEASE_S, progress), lease, e);
}

int store_lease_return(struct store *st, const struct lease *lease, struct err *e)
{
	return lost_unless(change(st, SQL_LEASE_RETURN, e, "iti", lease->job, (const char *)lease->owner,
	                          lease->attempt), lease, e);
}

int store_lease_retry(struct store *st, const struct lease *lease, int64_t not_before_s, const char *note,
                      struct err *e)
{
	return lost_unless(change(st, SQL_LEASE_RETRY, e, "itiit", lease->job, (const char *)lease->owner,
	                          lease->attempt, not_before_s, note), lease, e);
}

/* Ends the job; what was asked for meanwhile follows. */
static int finish(struct store *st, const struct lease *lease, enum job_state state, int64_t now_s,
                  const char *note, int64_t version, bool due, struct err *e)
{
	sqlite3_stmt *s;
	char          again[16] = "";

	if (query(st, SQL_JOB_GET, &s, e, "i", lease->job) != 0)
		return lost_unless(0, lease, e);
	if (column_span(s, 2).p != NULL)
		snprintf(again, sizeof again, "%.*s", (int)column_span(s, 2).len, column_span(s, 2).p);
	done(s);
	if (lost_unless(change(st, SQL_LEASE_FINISH, e, "itititi", lease->job, (const char *)lease->owner,
	                       lease->attempt, job_state_names[state], now_s, note, version), lease, e) < 0)
		return -1;
	if (again[0] != '\0' || due)
		return store_job_queue(st, lease->project, again[0] != '\0' ? again : "updates", now_s, NULL, e);
	return 0;
}

int store_lease_finish(struct store *st, const struct lease *lease, enum job_state state, int64_t now_s,
                       const char *note, struct err *e)
{
	return finish(st, lease, state, now_s, note, STORE_NULL, false, e);
}

/* ---- versions ------------------------------------------------------------------ */

#define PART_SUM_BYTES 32       /* of BLAKE2b-256, and of SHA-256 in parts from before schema 9 */

/* Damage is what this is to find: a part that has either sum is whole. */
static bool part_right(struct span part, struct span want)
{
	unsigned char sum[PART_SUM_BYTES];

	static_assert(sizeof sum == crypto_hash_sha256_BYTES, "one column holds both");
	if (want.len != sizeof sum)
		return false;
	crypto_generichash(sum, sizeof sum, (const unsigned char *)part.p, part.len, NULL, 0);
	if (memcmp(want.p, sum, sizeof sum) == 0)
		return true;
	crypto_hash_sha256(sum, (const unsigned char *)part.p, part.len);
	return memcmp(want.p, sum, sizeof sum) == 0;
}

static int add_part(struct store *st, int64_t version, const struct version_part *part, struct err *e)
{
	unsigned char sum[PART_SUM_BYTES];
	struct span   sums = { NULL, blocks_bytes(part->bytes.len) };
	char         *room = malloc(sums.len);
	int64_t       rc;

	if (room == NULL)
		return err_memory(e);
	blocks_sum(part->name, part->bytes, room);
	sums.p = room;
	crypto_generichash(sum, sizeof sum, (const unsigned char *)part->bytes.p, part->bytes.len, NULL, 0);
	rc = change(st, SQL_PART_ADD, e, "itbb", version, part->name, part->bytes,
	            (struct span){ (const char *)sum, sizeof sum });
	if (rc >= 0)
		rc = change(st, SQL_BLOCKS_ADD, e, "itib", version, part->name, (int64_t)part->bytes.len, sums);
	free(room);
	return rc < 0 ? -1 : 0;
}

int store_version_publish(struct store *st, const struct lease *lease, struct version *v,
                          const struct version_part parts[], size_t n_parts, int64_t updates_trained,
                          int64_t train_every, int64_t keep, struct err *e)
{
	sqlite3_stmt *s = NULL;
	struct arena  a;
	struct project p;
	int           rc;

	/* The fence: a trainer that lost its lease stops here. */
	if (store_lease_renew(st, lease, clock_s(), 1, e) < 0)
		return -1;
	if (one_int(query(st, SQL_VERSION_NUMBER, &s, e, "i", lease->project), &s, &v->number) != 0)
		return err_set(e, ERR_NOT_FOUND, "the project is no longer there");
	if (change(st, SQL_VERSION_ADD, e, "iissssiiiiisrir", lease->project, v->number, v->kind, v->formats,
	           v->labels, v->examples_hash, v->n_examples, v->n_cancelled, v->n_empty, v->n_unknown,
	           v->n_overruled, v->token_pattern, v->logreg_c, v->created_s, v->train_seconds) < 0)
		return -1;
	v->row = sqlite3_last_insert_rowid(st->db);
	/* What older versions give up makes room for the new one: its pages are zeroed, then
	 * filled, and where all of them stay in the cache they go to the disk once. */
	if (exec(st, "PRAGMA cache_size = -65536", e) < 0)
		return -1;
	st->wide = true;
	if (change(st, SQL_VERSION_SELECT, e, "iii", lease->project, v->row, updates_trained) < 0 ||
	    change(st, SQL_PART_PRUNE, e, "ii", lease->project, keep) < 0)
		return -1;
	for (size_t i = 0; i < n_parts; i++)
		if (add_part(st, v->row, &parts[i], e) < 0)
			return -1;
	arena_init(&a, (size_t)64 << 20);
	rc = store_project_get(st, lease->project, &a, &p, e);
	arena_clear(&a);
	if (rc != 0 || finish(st, lease, JOB_DONE, v->created_s, NULL, v->row,
	                     p.updates - updates_trained >= train_every, e) < 0)
		return -1;
	return 0;
}

int store_version_name(struct store *st, int64_t version, const char *name, struct err *e)
{
	return change(st, SQL_VERSION_NAME, e, "it", version, name) < 0 ? -1 : 0;
}

int store_version_metrics(struct store *st, int64_t version, int64_t n_held_out, double accuracy,
                          double macro_f1, double log_loss, struct err *e)
{
	return change(st, SQL_VERSION_METRICS, e, "iirrr", version, n_held_out, accuracy, macro_f1, log_loss) < 0
	       ? -1 : 0;
}

static int read_version(sqlite3_stmt *s, struct arena *a, struct version *v, struct err *e)
{
	*v = (struct version){ .row = column_int(s, 0), .number = column_int(s, 1),
		.n_examples = column_int(s, 6), .n_cancelled = column_int(s, 7), .n_empty = column_int(s, 8),
		.n_unknown = column_int(s, 9), .n_overruled = column_int(s, 10),
		.logreg_c = sqlite3_column_double(s, 12), .created_s = column_int(s, 13),
		.train_seconds = sqlite3_column_double(s, 14), .n_held_out = column_int(s, 15),
		.accuracy = sqlite3_column_double(s, 16), .macro_f1 = sqlite3_column_double(s, 17),
		.log_loss = sqlite3_column_double(s, 18), .damaged = column_int(s, 19) != 0,
		.has_parts = column_int(s, 20) != 0 };
	return column_copy(s, 2, a, &v->kind, e) < 0 || column_copy(s, 3, a, &v->formats, e) < 0 ||
	       column_copy(s, 4, a, &v->labels, e) < 0 ||
	       column_copy(s, 5, a, &v->examples_hash, e) < 0 ||
	       column_copy(s, 11, a, &v->token_pattern, e) < 0 ? -1 : 0;
}

int store_version_list(struct store *st, int64_t project, struct arena *a, struct version **list, size_t *n,
                       struct err *e)
{
	sqlite3_stmt   *s;
	struct version *grown;
	size_t          cap = 0;
	int             rc = query(st, SQL_VERSION_LIST, &s, e, "i", project);

	*list = NULL;
	for (*n = 0; rc == 0; rc = next(st, s, e)) {
		grown = with_room(a, *list, *n, &cap, sizeof *grown);
		if (grown == NULL || read_version(s, a, &grown[*n], e) < 0) {
			done(s);
			return grown == NULL ? err_memory(e) : -1;
		}
		*list = grown;
		(*n)++;
	}
	return rc == 1 ? 0 : -1;
}

int store_version_select(struct store *st, int64_t project, int64_t version, struct err *e)
{
	return change(st, SQL_VERSION_SELECT, e, "iii", project, version == 0 ? STORE_NULL : version,
	              STORE_NULL) < 0 ? -1 : 0;
}

int store_version_damaged(struct store *st, int64_t version, struct err *e)
{
	return change(st, SQL_VERSION_DAMAGED, e, "i", version) < 0 ? -1 : 0;
}

int store_part(struct store *st, int64_t version, const char *name, struct span *bytes, struct err *e)
{
	sqlite3_stmt *s;
	struct span   stored;
	char         *copy;
	int           rc = query(st, SQL_PART_GET, &s, e, "it", version, name);

	if (rc != 0)
		return rc;
	stored = column_span(s, 0);
	if (!part_right(stored, column_span(s, 1))) {
		done(s);
		return err_set(e, ERR_DAMAGED, "part \"%s\" does not have its checksum", name);
	}
	copy = malloc(stored.len + 1);
	if (copy != NULL) {
		if (stored.p != NULL)               /* of an empty part it is */
			memcpy(copy, stored.p, stored.len);
		copy[stored.len] = '\0';
		*bytes = (struct span){ copy, stored.len };
	}
	done(s);
	/* cppcheck-suppress memleak ; it is the caller's, as *bytes */
	return copy == NULL ? err_memory(e) : 0;
}

/* ---- a part, read in part ------------------------------------------------------ */

struct open_part {
	struct partial  partial;             /* first: what others see */
	struct store  *store;
	sqlite3_blob  *blob;
	char          *room;               /* [partial.len], mapped: what is not read takes no memory */
	struct span    sums;
	unsigned char *have;               /* [blocks] 1: read and right */
	char           name[80];
};

static int read_block(struct open_part *p, size_t i, struct err *e)
{
	const size_t at = i * BLOCK_BYTES, left = p->partial.len - at, n = left < BLOCK_BYTES ? left : BLOCK_BYTES;
	int          rc = sqlite3_blob_read(p->blob, p->room + at, (int)n, (int)at);

	if (rc != SQLITE_OK)
		return db_error(p->store->db, rc, e);
	if (!block_right(p->sums, i, p->room + at, n))
		return err_set(e, ERR_DAMAGED, "block %zu of part \"%s\" does not have its checksum", i, p->name);
	p->have[i] = 1;
	return 0;
}

static int fetch(struct partial *s, size_t at, size_t n, struct err *e)
{
	struct open_part *p = (struct open_part *)s;

	for (size_t i = at / BLOCK_BYTES; i <= (at + n - 1) / BLOCK_BYTES; i++)
		if (!p->have[i] && read_block(p, i, e) < 0)
			return -1;
	return 0;
}

/* Room for the part, and its sums, which are checked as a whole. */
static int take_sums(struct open_part *p, int64_t length, struct span sums, struct err *e)
{
	char *copy;

	if (length <= 0 || length > INT32_MAX || sums.len == 0 || !blocks_right(sums, p->name, (size_t)length))
		return err_set(e, ERR_DAMAGED, "the checksums of part \"%s\" are damaged", p->name);
	copy = malloc(sums.len);
	p->have = calloc((size_t)length / BLOCK_BYTES + 1, 1);
	p->room = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (copy != NULL)
		p->sums = (struct span){ memcpy(copy, sums.p, sums.len), sums.len };
	if (p->room != MAP_FAILED)
		p->partial = (struct partial){ p->room, (size_t)length, fetch };
	else
		p->room = NULL;
	/* cppcheck-suppress memleak ; it is p->sums */
	return copy == NULL || p->have == NULL || p->room == NULL ? err_memory(e) : 0;
}

int store_part_open(struct store *st, int64_t version, const char *name, struct partial **part, struct err *e)
{
	struct open_part *p;
	sqlite3_stmt     *s;
	int64_t           row;
	int               rc = query(st, SQL_BLOCKS_GET, &s, e, "it", version, name);

	if (rc != 0)
		return rc;
	row = column_int(s, 0);
	p = calloc(1, sizeof *p);
	if (p == NULL) {
		rc = err_memory(e);
	} else {
		p->store = st;
		snprintf(p->name, sizeof p->name, "%s", name);
		rc = take_sums(p, column_int(s, 1), column_span(s, 2), e);
	}
	if (rc == 0 && (rc = sqlite3_blob_open(st->db, "main", "model_part", "bytes", row, 0, &p->blob)) != SQLITE_OK)
		rc = db_error(st->db, rc, e);
	done(s);                           /* not before the blob holds the transaction */
	if (rc == 0 && (size_t)sqlite3_blob_bytes(p->blob) != p->partial.len)
		rc = err_set(e, ERR_DAMAGED, "part \"%s\" has another length", name);
	if (rc == 0)
		*part = &p->partial;
	else if (p != NULL)
		store_part_close(&p->partial);
	return rc;
}

void store_part_close(struct partial *part)
{
	struct open_part *p = (struct open_part *)part;

	if (p == NULL)
		return;
	sqlite3_blob_close(p->blob);
	if (p->room != NULL)
		munmap(p->room, p->partial.len);
	free((void *)(uintptr_t)p->sums.p);
	free(p->have);
	free(p);
}

int store_fetched(struct store *st, int64_t project, int64_t now_s, int64_t unread, int64_t ms, struct err *e)
{
	return change(st, SQL_PROJECT_FETCHED, e, "iiii", project, now_s, unread, ms) < 0 ? -1 : 0;
}

int store_fetch_failed(struct store *st, int64_t project, const char *reason, struct err *e)
{
	return change(st, SQL_PROJECT_FETCH_ERROR, e, "it", project, reason) < 0 ? -1 : 0;
}

/* ---- what lies back -------------------------------------------------------------- */

int store_history_prune(struct store *st, int64_t project, int64_t keep, int64_t most, int64_t *deleted,
                        struct err *e)
{
	sqlite3_stmt *s = NULL;
	int64_t       events, jobs, versions, until;

	events = change(st, SQL_EVENT_PRUNE, e, "iii", project, keep, most);
	if (events < 0 || one_int(query(st, SQL_JOB_PRUNABLE, &s, e, "ii", project, keep), &s, &until) != 0 ||
	    change(st, SQL_JOB_PRUNE_COUNT, e, "iii", project, until, most) < 0)
		return -1;
	jobs = change(st, SQL_JOB_PRUNE, e, "iii", project, until, most);
	versions = jobs < 0 ? -1 : change(st, SQL_VERSION_PRUNE, e, "iii", project, keep, most);
	*deleted = events + jobs + versions;
	return versions < 0 ? -1 : 0;
}

/* ---- all projects at once -------------------------------------------------------- */

/* The jobs of one project from a query over all, ordered by project: rc is what its
 * last step said, and what the next one will have to know. */
static int take_jobs(struct store *st, sqlite3_stmt *jobs, int rc, int64_t project, int64_t n[], struct err *e)
{
	for (; rc == 0 && column_int(jobs, 0) <= project; rc = next(st, jobs, e))
		if (column_int(jobs, 0) == project)
			n[state_of(column_span(jobs, 1))] = column_int(jobs, 2);
	return rc;
}

static struct store_report report_row(sqlite3_stmt *s)
{
	return (struct store_report){
		.project = { .row = column_int(s, 0), .id = column_int(s, 1), .created_s = column_int(s, 2),
			.label_config = column_span(s, 3), .config_hash = column_span(s, 4), .extra_params = column_span(s, 5),
			.config_elements = column_span(s, 17), .updates = column_int(s, 6), .updates_trained = column_int(s, 7), .webhook_s = column_int(s, 8),
			.version = { .row = sqlite3_column_int64(s, 9), .number = sqlite3_column_int64(s, 10),
				.formats = column_span(s, 11), .examples_hash = column_span(s, 12),
				.created_s = sqlite3_column_int64(s, 13) } },
		.has_accuracy = sqlite3_column_type(s, 14) != SQLITE_NULL, .accuracy = sqlite3_column_double(s, 14),
		.has_trained = sqlite3_column_type(s, 15) != SQLITE_NULL, .train_seconds = sqlite3_column_double(s, 15),
		.last_event = sqlite3_column_int64(s, 16),
	};
}

int store_report(struct store *st, int (*each)(void *arg, const struct store_report *r, struct err *e), void *arg,
                 struct err *e)
{
	struct store_report r;
	sqlite3_stmt       *s, *jobs;
	int                 left = query(st, SQL_REPORT_JOBS, &jobs, e, ""), rc;

	if (left < 0)
		return -1;
	for (rc = query(st, SQL_REPORT, &s, e, ""); rc == 0; rc = next(st, s, e)) {
		r = report_row(s);
		if (left == 0)
			left = take_jobs(st, jobs, left, r.project.row, r.jobs, e);
		if (left < 0 || each(arg, &r, e) < 0) {
			done(s);
			rc = -1;
			break;
		}
	}
	if (left == 0)
		done(jobs);
	return rc < 0 ? -1 : 0;
}

/* ---- what was written to Label Studio ----------------------------------------- */

int store_push_get(struct store *st, int64_t project, struct arena *a, struct push_row *p, struct err *e)
{
	sqlite3_stmt *s;
	int           rc = query(st, SQL_PUSH_GET, &s, e, "i", project);

	if (rc != 0)
		return rc;
	*p = (struct push_row){ .sent_s = column_int(s, 1), .sent_task = column_int(s, 2), .done_s = column_int(s, 3),
	                        .gave_way = sqlite3_column_int64(s, 4) };
	rc = column_copy(s, 0, a, &p->version, e) < 0 || column_copy(s, 5, a, &p->error, e) < 0 ? -1 : 0;
	done(s);
	return rc;
}

/* The end of a transaction of one change. */
static int changed_alone(struct store *st, int64_t changed, struct err *e)
{
	if (changed >= 0 && store_commit(st, e) == 0)
		return 0;
	store_rollback(st);
	return -1;
}

int store_push_sent(struct store *st, int64_t project, const char *version, int64_t task, int64_t now_s, struct err *e)
{
	if (store_begin(st, e) < 0)
		return -1;
	return changed_alone(st, change(st, SQL_PUSH_SENT, e, "itii", project, version,
	                                task == STORE_NULL ? STORE_NULL : now_s, task), e);
}

int store_push_ended(struct store *st, int64_t project, int64_t done_s, bool gave_way, const char *error, struct err *e)
{
	if (store_begin(st, e) < 0)
		return -1;
	return changed_alone(st, change(st, SQL_PUSH_ENDED, e, "iiit", project, done_s, (int64_t)gave_way, error), e);
}
