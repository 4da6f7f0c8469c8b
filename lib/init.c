/* init.c - a folder of somebody's own: written, and made ready to be started. */
#include "init.h"

#include "base/buf.h"
#include "base/env.h"
#include "base/span.h"
#include "program.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)64 << 20)   /* of a script: somebody may bring a program */

enum { IN_C = 1, IN_SCRIPT = 2, IN_PYTHON = 4 };

/* The model itself is not in here: it may be the user's. */
static const struct {
	const char *template, *name;
	int         in;
} files[] = {
	{ "Makefile.c",           "Makefile",           IN_C },
	{ "Makefile.script",      "Makefile",           IN_SCRIPT },
	{ "prelabel.conf.c",      "prelabel.conf",      IN_C },
	{ "prelabel.conf.script", "prelabel.conf",      IN_SCRIPT },
	{ "README.c.md",          "README.md",          IN_C },
	{ "README.script.md",     "README.md",          IN_SCRIPT },
	{ "Dockerfile.c",         "Dockerfile",         IN_C },
	{ "Dockerfile.script",    "Dockerfile",         IN_SCRIPT },
	{ "requirements.txt",     "requirements.txt",   IN_PYTHON },
	{ "docker-compose.yml",   "docker-compose.yml", IN_C | IN_SCRIPT },
	{ "gitignore",            ".gitignore",         IN_C | IN_SCRIPT },
	{ "gitignore",            ".dockerignore",      IN_C | IN_SCRIPT },
	{ "test_api.py",          "test_api.py",        IN_C | IN_SCRIPT },
};

static int path_join(char out[PATH_MAX], const char *dir, const char *name, struct err *e)
{
	return snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX ? 0 :
	       err_set(e, ERR_USAGE, "%.100s: the path is too long", name);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n > k && strcmp(s + n - k, end) == 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* Appends a file's bytes.  b: initialised by the caller. */
static int file_read(const char *path, struct buf *b, struct err *e)
{
	FILE  *f = fopen(path, "re");
	size_t n;
	char  *room;

	if (f == NULL)
		return err_set(e, ERR_USAGE, "%.100s: %s", path, strerror(errno));
	while ((room = buf_room(b, 65536)) != NULL && (n = fread(room, 1, 65536, f)) > 0)
		b->len += n;
	if (ferror(f))
		err_set(e, ERR_USAGE, "%.100s: %s", path, strerror(errno));
	else
		buf_check(b, base_name(path), e);
	fclose(f);
	return e->code == ERR_OK ? 0 : -1;
}

static int file_write(const char *dir, const char *name, struct span bytes, mode_t mode, struct err *e)
{
	char   path[PATH_MAX];
	size_t n;
	FILE  *f;
	int    fd;

	if (path_join(path, dir, name, e) < 0)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (f == NULL) {
		err_set(e, ERR_USAGE, "%.100s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	n = bytes.len == 0 ? 0 : fwrite(bytes.p, 1, bytes.len, f);
	if (fclose(f) != 0 || n != bytes.len || ((mode & 0100) != 0 && chmod(path, mode) < 0))
		return err_set(e, ERR_USAGE, "%.100s: %s", path, strerror(errno));
	return 0;
}

/* ---- writing -------------------------------------------------------------------- */

struct writing {
	const struct init *in;
	char               name[64];      /* of the folder, as a service may be called */
	const char        *script;        /* its name in the folder, NULL: a model in C */
	size_t             n;
};

/* Copies text with @NAME@, @SCRIPT@ and @PRELABEL_DIR@ filled in. */
static void fill_in(const struct writing *w, struct span text, struct buf *out)
{
	const struct { const char *mark, *value; } marks[] = {
		{ "@NAME@", w->name }, { "@SCRIPT@", w->script == NULL ? "" : w->script },
		{ "@PRELABEL_DIR@", w->in->pkgconfig },
	};

	for (size_t at = 0, i; at < text.len;) {
		for (i = 0; i < countof(marks); i++)
			if (text.len - at >= strlen(marks[i].mark) &&
			    memcmp(text.p + at, marks[i].mark, strlen(marks[i].mark)) == 0)
				break;
		if (i < countof(marks)) {
			buf_adds(out, marks[i].value);
			at += strlen(marks[i].mark);
		} else {
			buf_addc(out, text.p[at++]);
		}
	}
}

/* Appends what belongs to the program: a file, or (path NULL) what it carries as `name`. */
static int own_read(const char *path, const char *name, struct buf *b, struct err *e)
{
	struct span bytes;

	if (path != NULL)
		return file_read(path, b, e);
	if (!program_file(name, &bytes))
		return err_set(e, ERR_NOT_FOUND, "%.100s is not in the program", name);
	buf_add(b, bytes.p, bytes.len);
	return buf_check(b, name, e);
}

static int write_template(struct writing *w, const char *template, const char *name, mode_t mode, struct err *e)
{
	struct buf text, filled;
	char       path[PATH_MAX];
	int        rc = -1;

	buf_init(&text, FILE_BYTES_MAX);
	buf_init(&filled, FILE_BYTES_MAX);
	if (path_join(path, w->in->templates == NULL ? "init" : w->in->templates, template, e) == 0 &&
	    own_read(w->in->templates == NULL ? NULL : path, path, &text, e) == 0) {
		fill_in(w, buf_span(&text), &filled);
		if (buf_check(&filled, name, e) == 0)
			rc = file_write(w->in->dir, name, buf_span(&filled), mode, e);
	}
	buf_clear(&text);
	buf_clear(&filled);
	w->n += rc == 0;
	return rc;
}

static int copy(struct writing *w, struct span bytes, const char *name, mode_t mode, struct err *e)
{
	w->n++;
	return file_write(w->in->dir, name, bytes, mode, e);
}

/* The rule of the Makefile: at the start of a line. */
static bool defines_kind(struct span text)
{
	static const char kind[] = "\nconst struct model_kind model_";
	const size_t      len = sizeof kind - 1;

	return (text.len >= len - 1 && memcmp(text.p, kind + 1, len - 1) == 0) ||
	       (text.p != NULL && memmem(text.p, text.len, kind, len) != NULL);
}

/* The script is read before anything is written: it may lie in the folder. */
static int script_read(const char *path, struct buf *b, struct err *e)
{
	struct stat sb;

	if (stat(path, &sb) < 0)
		return err_set(e, ERR_USAGE, "%.100s: %s", path, strerror(errno));
	if (!S_ISREG(sb.st_mode))
		return err_set(e, ERR_USAGE, "%.100s: is no file", path);
	if (file_read(path, b, e) < 0)
		return -1;
	if (ends_in(path, ".c") && !defines_kind(buf_span(b)))
		return err_set(e, ERR_USAGE, "%.100s: no line of it begins with `const struct model_kind model_NAME = {`", path);
	if (!ends_in(path, ".c") && !ends_in(path, ".py") && (sb.st_mode & 0111) == 0)
		return err_set(e, ERR_USAGE, "%.100s: is neither C nor Python nor executable", path);
	return 0;
}

static int write_model(struct writing *w, const struct buf *script, bool given, struct err *e)
{
	const bool  in_c = w->script == NULL;
	const char *name = in_c ? "model.c" : w->script;

	return given ? copy(w, buf_span(script), name, in_c ? 0666 : 0755, e)
	             : write_template(w, in_c ? "model.c" : "model.py", name, in_c ? 0666 : 0755, e);
}

static int empty_folder(const struct init *in, struct err *e)
{
	struct dirent *d;
	DIR           *dir;
	size_t         n = 0;

	if (mkdir(in->dir, 0777) < 0 && errno != EEXIST)
		return err_set(e, ERR_USAGE, "%.100s: %s", in->dir, strerror(errno));
	dir = opendir(in->dir);
	if (dir == NULL)
		return err_set(e, ERR_USAGE, "%.100s: %s", in->dir, strerror(errno));
	while ((d = readdir(dir)) != NULL)
		n += strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
	closedir(dir);
	return n == 0 || in->force ? 0 :
	       err_set(e, ERR_USAGE, "%.100s: is not empty (--force writes over what is there)", in->dir);
}

static void name_of(const char *dir, char name[64])
{
	size_t n = 0;

	for (const char *p = base_name(dir); *p != '\0' && n < 63; p++)
		if (isalnum((unsigned char)*p) || (n > 0 && (*p == '-' || *p == '_')))
			name[n++] = (char)tolower((unsigned char)*p);
	name[n] = '\0';
	if (n == 0)
		memcpy(name, "backend", sizeof "backend");
}

/* A name that stands in Makefiles and settings without quotes. */
static int check_script_name(const char *name, struct err *e)
{
	for (const char *p = name; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("._-+", *p) == NULL)
			return err_set(e, ERR_USAGE, "%.100s: a script's name has letters, digits and . _ - + only", name);
	for (size_t i = 0; i < countof(files); i++)
		if (strcmp(name, files[i].name) == 0)
			return err_set(e, ERR_USAGE, "%.100s: is the name of another file of the folder", name);
	return 0;
}

int init_write(const struct init *in, size_t *n, struct err *e)
{
	struct writing w = { .in = in };
	struct buf     script;
	char           real[PATH_MAX];
	/* A bare NAME.py that is not there asks for the template; a path is a mistake. */
	bool           given = in->script != NULL && (exists(in->script) || !ends_in(in->script, ".py") ||
	                                              strchr(in->script, '/') != NULL);
	int            kind = IN_C, rc = -1;

	buf_init(&script, FILE_BYTES_MAX);
	if (given && script_read(in->script, &script, e) < 0)
		goto out;
	if (in->script != NULL && !ends_in(in->script, ".c")) {
		w.script = base_name(in->script);
		kind = ends_in(w.script, ".py") ? IN_SCRIPT | IN_PYTHON : IN_SCRIPT;
		if (check_script_name(w.script, e) < 0)
			goto out;
	}
	if (empty_folder(in, e) < 0)
		goto out;
	if (realpath(in->dir, real) == NULL) {
		err_set(e, ERR_USAGE, "%.100s: %s", in->dir, strerror(errno));
		goto out;
	}
	name_of(real, w.name);
	if (write_model(&w, &script, given, e) < 0)
		goto out;
	for (size_t i = 0; i < countof(files); i++)
		if ((files[i].in & kind) != 0 && write_template(&w, files[i].template, files[i].name, 0666, e) < 0)
			goto out;
	buf_reset(&script);
	if (own_read(in->conf, "lighttpd.conf", &script, e) < 0 || copy(&w, buf_span(&script), "lighttpd.conf", 0666, e) < 0)
		goto out;
	*n = w.n;
	rc = 0;
out:
	buf_clear(&script);
	return rc;
}

/* ---- starting -------------------------------------------------------------------- */

/* One line of prelabel.conf, without its newline. */
static int conf_line(char *line, size_t number, struct err *e)
{
	char *name = line + strspn(line, " \t"), *value, *end;

	if (*name == '\0' || *name == '#')
		return 0;
	value = strchr(name, '=');
	if (value == NULL)
		return err_set(e, ERR_USAGE, "prelabel.conf:%zu: a line is NAME=value", number);
	*value++ = '\0';
	for (end = value + strlen(value); end > value && isspace((unsigned char)end[-1]); end--)
		;
	*end = '\0';
	if (env_give(name, value, false) < 0)
		return err_set(e, ERR_USAGE, "prelabel.conf:%zu: %.60s is no name of a setting", number, name);
	return 0;
}

static int conf_read(const char *dir, struct err *e)
{
	char   path[PATH_MAX], *line = NULL;
	size_t cap = 0, number = 0;
	FILE  *f;
	int    rc = 0;

	if (path_join(path, dir, "prelabel.conf", e) < 0)
		return -1;
	f = fopen(path, "re");
	if (f == NULL)
		return errno == ENOENT ? 0 : err_set(e, ERR_USAGE, "%.100s: %s", path, strerror(errno));
	while (rc == 0 && getline(&line, &cap, f) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		rc = conf_line(line, ++number, e);
	}
	if (rc == 0 && !feof(f))                /* without memory, too */
		rc = errno == ENOMEM ? err_memory(e) : err_set(e, ERR_USAGE, "%.100s: %s", path, strerror(errno));
	free(line);
	fclose(f);
	return rc;
}

/* Its output goes to standard error: standard output is for what commands print. */
static int make(const char *dir, struct err *e)
{
	int   status = -1;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return err_set(e, ERR_USAGE, "make can't be run: %s", strerror(errno));
	if (pid == 0) {
		/* Of a make around this one: its options and jobs are none of ours. */
		unsetenv("MAKEFLAGS");
		unsetenv("MFLAGS");
		unsetenv("MAKELEVEL");
		(void)dup2(STDERR_FILENO, STDOUT_FILENO);
		execlp("make", "make", "-s", "-C", dir, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 127
	       ? err_set(e, ERR_USAGE, "make is not installed, and %.100s has a Makefile", dir)
	       : err_set(e, ERR_USAGE, "%.100s: make failed", dir);
}

static int command_from(const char *dir, struct err *e)
{
	const char *command = getenv("MODEL_COMMAND");
	char       *whole;
	int         rc;

	if (command == NULL || strncmp(command, "./", 2) != 0)
		return 0;
	if (asprintf(&whole, "%s/%s", dir, command + 2) < 0)
		return err_memory(e);
	rc = setenv("MODEL_COMMAND", whole, 1);
	free(whole);
	return rc < 0 ? err_memory(e) : 0;
}

int init_prepare(const char *dir, const char *pkgconfig, struct init_folder *f, struct err *e)
{
	char path[PATH_MAX];

	*f = (struct init_folder){ .prelabel = "" };
	if (realpath(dir, f->dir) == NULL)
		return err_set(e, ERR_USAGE, "%.100s: %s", dir, strerror(errno));
	if (conf_read(f->dir, e) < 0 || path_join(path, f->dir, "data", e) < 0 || setenv("MODEL_DIR", path, 0) < 0)
		return e->code == ERR_OK ? err_memory(e) : -1;
	if (pkgconfig[0] != '\0' && setenv("PRELABEL_DIR", pkgconfig, 0) < 0)
		return err_memory(e);
	if (path_join(path, f->dir, "Makefile", e) < 0 || (exists(path) && make(f->dir, e) < 0))
		return -1;
	if (command_from(f->dir, e) < 0 ||
	    path_join(f->prelabel, f->dir, "build/prelabel", e) < 0 || path_join(f->conf, f->dir, "lighttpd.conf", e) < 0)
		return -1;
	if (access(f->prelabel, X_OK) < 0)
		f->prelabel[0] = '\0';
	if (!exists(f->conf))
		f->conf[0] = '\0';
	return 0;
}
