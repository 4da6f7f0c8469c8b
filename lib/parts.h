/* parts.h - the parts of one kind in one version, as model.h asks for them. */
#ifndef PARTS_H
#define PARTS_H

#include "models/model.h"
#include "store/store.h"

struct parts {
	struct part_source source;
	struct store      *store;
	int64_t            version;
	const char        *kind;
	void              *held[MODEL_PARTS_MAX];     /* what was read, until parts_close() */
	size_t             n;
	struct partial_source partial;                  /* the same parts, read in part, until parts_close() */
	struct partial     *open[MODEL_PARTS_MAX];
	size_t             n_open;
};

/* p: a project whose version.row is in force.  Returns the format that version
 * keeps for the kind; 0: it has no such part, and there is nothing to read. */
unsigned parts_open(struct parts *parts, struct store *st, const struct project *p, const char *kind);
void     parts_close(struct parts *parts);

#endif
