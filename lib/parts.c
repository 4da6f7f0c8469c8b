/* parts.c - the parts of one kind in one version. */
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>

static int read_part(void *arg, const char *name, struct span *bytes, struct err *e)
{
	struct parts *p = arg;
	char          full[80];
	int           rc;

	if (p->n == MODEL_PARTS_MAX)
		return err_set(e, ERR_DAMAGED, "too many parts");
	snprintf(full, sizeof full, "%s/%s", p->kind, name);
	rc = store_part(p->store, p->version, full, bytes, e);
	if (rc == 0)
		p->held[p->n++] = (void *)(uintptr_t)bytes->p;
	return rc;
}

static int open_part(void *arg, const char *name, struct partial **part, struct err *e)
{
	struct parts *p = arg;
	char          full[80];
	int           rc;

	if (p->n_open == MODEL_PARTS_MAX)
		return err_set(e, ERR_DAMAGED, "too many parts");
	snprintf(full, sizeof full, "%s/%s", p->kind, name);
	rc = store_part_open(p->store, p->version, full, part, e);
	if (rc == 0)
		p->open[p->n_open++] = *part;
	return rc;
}

/* The first name of "a+b"; what is behind it stays in *list. */
static struct span first_of(struct span *list)
{
	const char *plus = list->len == 0 ? NULL : memchr(list->p, '+', list->len);
	struct span first = { list->p, plus == NULL ? list->len : (size_t)(plus - list->p) };

	list->p += first.len + (plus != NULL);
	list->len -= first.len + (plus != NULL);
	return first;
}

/* kinds "a+b", formats "1+2" */
static unsigned format_of(struct span kinds, struct span formats, const char *kind)
{
	while (kinds.len > 0 && formats.len > 0) {
		struct span k = first_of(&kinds), f = first_of(&formats);

		if (span_is(k, kind) && f.len > 0 && f.p[0] >= '1' && f.p[0] <= '9')
			return (unsigned)strtoul(f.p, NULL, 10);     /* a NUL or a plus follows */
	}
	return 0;
}

unsigned parts_open(struct parts *parts, struct store *st, const struct project *p, const char *kind)
{
	*parts = (struct parts){ .source = { read_part, parts }, .partial = { open_part, parts }, .store = st, .kind = kind };
	if (p == NULL || p->version.row == 0)
		return 0;
	parts->version = p->version.row;
	return format_of(p->version.kind, p->version.formats, kind);
}

void parts_close(struct parts *parts)
{
	while (parts->n > 0)
		free(parts->held[--parts->n]);
	while (parts->n_open > 0)
		store_part_close(parts->open[--parts->n_open]);
}
