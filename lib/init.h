/*
 * init.h - a folder of somebody's own: `prelabel init DIR` writes it, `prelabel
 * start DIR` makes it ready.
 *
 * Such a folder holds a model in C (model.c) or a script that the kind `exec` runs,
 * a Makefile that finds prelabel by pkg-config, prelabel.conf and what is around
 * them (deploy/init/ has the templates).  Built, it has in build/ what our own
 * build/ has: prelabel, cgi/, lighttpd.conf, so that it is started in the same way.
 */
#ifndef INIT_H
#define INIT_H

#include "base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct init {
	const char *dir;          /* made where it does not exist; its parent does */
	const char *script;       /* NULL: the model in C of the templates */
	const char *templates;    /* folder of the templates, NULL: program.h's init/ */
	const char *conf;         /* lighttpd.conf, to be copied; NULL: program.h's */
	const char *pkgconfig;    /* folder of our prelabel.pc, for the Makefile; "": pkg-config finds it */
	bool        force;        /* write over what is there; without, only an empty folder is taken */
};

/*
 * script: a file that ends in .c has to define a `const struct model_kind
 * model_NAME` and becomes model.c; any other becomes the program of the kind exec
 * under its own name, executable; a name that ends in .py where there is no such
 * file gets the template of one.
 *
 * *n: files written.  -1: ERR_USAGE, with one sentence; what was written stays.
 */
int init_write(const struct init *in, size_t *n, struct err *e);

/* What `start` needs to know of a folder. */
struct init_folder {
	char dir[PATH_MAX];         /* absolute */
	char prelabel[PATH_MAX];    /* its own program; "": it has none */
	char conf[PATH_MAX];        /* its lighttpd.conf; "": it has none */
};

/*
 * Reads prelabel.conf into the environment, where what is there comes first; puts
 * MODEL_DIR=DIR/data there; runs make where there is a Makefile.  A MODEL_COMMAND that
 * begins with "./" is meant from DIR.  Before any thread.  pkgconfig: as above.
 * ERR_USAGE.
 */
int init_prepare(const char *dir, const char *pkgconfig, struct init_folder *f, struct err *e);

#endif
