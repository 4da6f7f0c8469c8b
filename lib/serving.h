/*
 * serving.h - what answers for a project now: its label config, parsed, and the
 * model of the version in force, loaded.
 *
 * A process keeps the last few under (version, label config, settings); threads
 * share them by reference count and wait for each other only while the same one
 * is being loaded.  Nothing in a struct serving changes once it is made.
 */
#ifndef SERVING_H
#define SERVING_H

#include "base/env.h"
#include "base/err.h"
#include "models/model.h"
#include "store/store.h"
#include "studio/label_config.h"

#define VERSION_TEXT_MAX 80

struct serving {
	const struct label_config *config;
	const struct model_kind   *kind;    /* NULL: no kind serves this config; model too */
	struct model              *model;
	char                       version[VERSION_TEXT_MAX];     /* model_version */
};

/* p: the project, NULL where it is unknown (then a cold model answers).  A version
 * whose parts are damaged is marked so and the one before it taken.
 * Release with serving_release(). */
int  serving_get(struct store *st, const struct env *env, const struct project *p, struct span label_config,
                 struct serving **s, struct err *e);
void serving_release(struct serving *s);        /* NULL allowed */

/*
 * The string that Label Studio compares: kind-number-hash (interface.md "HTTP").
 * The hash is the first six digits of SHA-256 over what decides a prediction: the
 * examples of the version, the label set (in any order), token pattern, C, format.
 * version_row: project.version, or NULL for a cold start.
 */
struct version_of {
	struct span kind, examples_hash;
	int64_t     number, format;
};
int serving_version(const struct env *env, const struct label_config *config, const struct version_of *v,
                    char out[VERSION_TEXT_MAX], struct err *e);

/* Frees all that is kept; for tests and the end of a program. */
void serving_clear(void);

#endif
