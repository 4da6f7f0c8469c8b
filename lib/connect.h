/*
 * connect.h - `prelabel connect` and `disconnect`: a project of Label Studio and this
 * backend brought together, and taken apart again (protocol.md 3, 6.1, 7, 9).
 *
 * Both say what they find and what they do, step by step; each step looks first and
 * changes what is not as it has to be, so that a second run changes nothing, and one
 * that was broken off is finished by the next.
 */
#ifndef CONNECT_H
#define CONNECT_H

#include "base/env.h"
#include "base/err.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct connect_options {
	int64_t            project;     /* Label Studio's number; 0: by its title */
	const char        *title;
	const char *const *labels;      /* of a project to be made; or: */
	size_t             n_labels;
	const char        *config;      /* a file with its labeling config */
	const char        *data;        /* a file of tasks (task_file.h), or NULL */
	const char        *url;         /* of this backend, as Label Studio reaches it; NULL: localhost and PORT */
	bool               uncertainty; /* the least certain task comes first */
	bool               dry_run;     /* look and tell, change nothing */
};

enum connect_did { CONNECT_RIGHT, CONNECT_MADE, CONNECT_CHANGED, CONNECT_REMOVED, CONNECT_WARNING, CONNECT_NEXT, CONNECT__MAX };
extern const char *const connect_did_names[CONNECT__MAX];       /* "ok", "made", … */

struct connect_report {
	/* what: "project", "data", "backend", "webhook", "predictions", "queue", "annotations";
	 * text: one line, without a secret.  In a dry run `did` is what would be done. */
	void  (*step)(void *arg, const char *what, enum connect_did did, const char *text);
	void   *arg;
	int64_t project;                /* once it is known */
	int64_t changes;                /* steps that made, changed or removed */
	char    cure[240];              /* after -1: what to do about it; "" where *e says all */
};

/* st: NULL in a dry run where there is no store yet.  ERR_USAGE, ERR_AUTH,
 * ERR_NOT_FOUND, ERR_REMOTE, ERR_STORE …: what was done up to there stays. */
int connect_project(struct store *st, const struct env *env, const struct connect_options *o, struct connect_report *r,
                    struct err *e);

/* Of the options: project, url, dry_run.  Annotations and versions that are kept stay. */
int disconnect_project(struct store *st, const struct env *env, const struct connect_options *o,
                       struct connect_report *r, struct err *e);

#endif
