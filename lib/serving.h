/*
 * serving.h - what answers for a project now: its label config, parsed, and the
 * models of the version in force, loaded.
 *
 * A process keeps the last few under (version, label config, settings); threads
 * share them by reference count.  Only those wait that need one which is not kept,
 * since one is made at a time.  Nothing in a struct serving changes once it is made.
 */
#ifndef SERVING_H
#define SERVING_H

#include "base/env.h"
#include "base/err.h"
#include "models/model.h"
#include "store/store.h"
#include "studio/label_config.h"

#define VERSION_TEXT_MAX 128

struct serving {
	const struct label_config *config;
	struct model_settings      settings;
	struct {
		const struct model_kind *kind;
		struct model            *model;
	}                          part[MODEL_KINDS_MAX];
	size_t                     n;       /* 0: no kind serves this config */
	bool                       in_part; /* of serving_get_once() */
	char                       version[VERSION_TEXT_MAX];     /* model_version */
};

/* p: the project, NULL where it is unknown (then cold models answer).  A version
 * whose parts are damaged is marked so and the one before it taken.
 * Release with serving_release(). */
int  serving_get(struct store *st, const struct env *env, const struct project *p, struct span label_config,
                 struct serving **s, struct err *e);
void serving_release(struct serving *s);        /* NULL allowed */

/* The same for who wants to know which version serves, and does not ask it: its models
 * are loaded once, so that damage is found, and not kept (n = 0). */
int  serving_get_checked(struct store *st, const struct env *env, const struct project *p, struct span label_config,
                         struct serving **s, struct err *e);

/*
 * The same for one small request of a process that answers no other: of the models
 * only that is read, and checked, which the request needs, while it is answered.  One
 * thread's, to be released before the store is closed.  Where a prediction fails in
 * one that is in_part, ask serving_get(), which decides what is damaged: nothing is
 * decided here.
 */
int  serving_get_once(struct store *st, const struct env *env, const struct project *p, struct span label_config,
                      struct serving **s, struct err *e);

/*
 * What a project's models say of a task, checked against the config.  Several
 * kinds answer in one prediction, each for its control; its score is the lowest of
 * theirs.  In interactive mode (context holds regions) the first kind that serves
 * what is selected answers alone.  Without any kind: no region, score 0.
 */
int  serving_predict(const struct serving *s, const struct task *task, struct span context,
                     struct arena *scratch, struct prediction *p, struct err *e);

/* The same for n tasks of one request, p[n]; and how many at once are worth while: 1
 * where no kind asks for more (predict_batch). */
#define SERVING_BATCH_MAX 256
int    serving_predict_batch(const struct serving *s, const struct task tasks[], size_t n, struct span context,
                             struct arena *scratch, struct prediction p[], struct err *e);
size_t serving_batch(const struct serving *s);

/* The kinds of model for a project, as "a+b" from its extra_params or MODEL; NULL:
 * chosen by the label config.  From the arena, or borrowed from env. */
const char *serving_kinds(const struct env *env, const struct project *p, struct arena *a);

/* What models of a project are made with. */
void serving_settings(const struct env *env, const struct project *p, struct model_settings *s);

/*
 * The string that Label Studio compares: kinds-number-hash (interface.md "HTTP").
 * The hash is the first six digits of SHA-256 over what decides a prediction: the
 * examples of the version, the label set (in any order), token pattern, C, formats.
 * v: NULL for a cold start.  names: serving_kinds().
 */
struct version_of {
	struct span examples_hash, formats;
	int64_t     number;
};
int serving_version(const struct env *env, const struct label_config *config, const char *names,
                    const struct version_of *v, char out[VERSION_TEXT_MAX], struct err *e);

/* Frees all that is kept; for tests and the end of a program. */
void serving_clear(void);

#endif
