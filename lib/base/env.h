/*
 * env.h - the settings: environment variables, one row each in env.c.
 *
 * The table is the single source: `prelabel env`, the README table, the check
 * at start and the defaults that lighttpd.conf reads all come from it.  An empty
 * variable counts as unset, since compose files pass unset ones as empty.
 */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum token_pattern {
	TOKEN_WORD,      /* runs of two or more word characters */
	TOKEN_WORD1,     /* runs of one or more */
	TOKEN__MAX
};

#define ENV_URL_MAX 512

/* Strings are borrowed from the environment and stay for good; NULL: not set. */
struct env {
	const char *host;
	int64_t     port;
	const char *model_dir;
	char        ls_url[ENV_URL_MAX];   /* scheme://host[:port][/prefix], no slash at the end */
	const char *ls_key;
	int64_t     train_every;           /* annotation events per training */
	double      logreg_c;              /* inverse strength of the L2 penalty, > 0 */
	const char *auth_user, *auth_pass; /* both or none */
	const char *webhook_secret;
	int64_t     log_level;             /* enum log_level */
	int64_t     workers, threads, train_threads;
	int64_t     token_pattern;         /* enum token_pattern */
	const char *model;                 /* kinds, "a+b"; NULL: chosen by the label config */
	const char *model_command;         /* for the kind "exec" */
	int64_t     max_body_mb;
	int64_t     keep_versions;
	int64_t     keep_history;
	int64_t     sandbox;               /* enum sandbox */
};

/* Reads and checks all of them.  -1: one is wrong; *e names the variable, the
 * value (never a secret's) and what is allowed. */
int env_read(struct env *env, struct err *e);

/* For `prelabel env` and the README: one row a variable, in the table's order. */
struct env_row {
	const char *name, *older;          /* older: a second name, or NULL */
	const char *help;
	char        value[ENV_URL_MAX];    /* in force; "(set)" for a secret; "" for none */
	char        deflt[64];             /* "" for none */
	char        allowed[64];           /* "1 to 65535", "word, word1", "" for any text */
	bool        is_set;                /* given, not the default */
};
size_t env_rows(const struct env_row **rows, struct err *e);   /* 0 on failure; static storage */

/* Puts the values in force of all that is not secret and unset into the
 * environment, for programs that read it (lighttpd.conf).  Before any thread. */
int env_export(struct err *e);

/* A value for a variable from elsewhere: an option, a file.  Any name: what is no
 * setting is for the model, and reaches it wherever it runs, by PRELABEL_WITH, which
 * env_read() unpacks in the programs behind a web server that hands on what its list
 * names.  over: in place of one that is there.  0, or -1 when name is no name of a
 * variable or value holds a line break.  Before any thread. */
int env_give(const char *name, const char *value, bool over);

/* The largest request body in bytes. */
size_t env_body_max(const struct env *env);

const char *env_token_pattern_name(int64_t token_pattern);

#endif
