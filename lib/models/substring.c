/*
 * substring.c - what was annotated once, found wherever it stands: Labels over Text.
 *
 * While a person annotates (the context holds regions of the control), every other
 * occurrence of each selected text in the task, with the selection's labels.  Without
 * a context, every occurrence of the texts annotated so far in the project, each
 * with the label it was given most often.
 *
 * AN OCCURRENCE is equal without regard to case (text/fold.h), begins and ends
 * between code points of the text, and stands at the edge of a word on each side where
 * what was selected did: "Ann" is not found in "Annual", but "ann" selected within
 * "Hannah" is found in "Joanna".  A side of a learned text counts as an edge if it was
 * one in at least half of its annotations.
 *
 * WHERE OCCURRENCES OVERLAP the longest stays (in code points of the text), of
 * equally long ones the first, of selections of one text the first.  What is
 * annotated already takes part and is not proposed again: a span that the
 * context has, with whatever labels; a span of another annotation or draft of the
 * task with the same label.  Without a context nothing is left out: what the model
 * says of a text does not depend on who annotated it, and Label Studio compares
 * predictions with annotations.
 *
 * THE SELECTED TEXT is what stands from start to end (code points) in the task's
 * text.  Where that is not value.text, white space and line breaks aside, value.text
 * counts, as though it stood alone: offsets of another unit, or a text that changed.
 *
 * SCORES.  A selection just made: 1.  A learned text: the share of its label among
 * the labels it was given; on a tie the label that comes first in the config.  A
 * task: the lowest of its regions, since that one needs a look first; 0 without any.
 *
 * LIMITS, beyond which nothing fails and less is proposed: texts of TEXT_BYTES_MAX;
 * SELECTIONS_MAX selections of SELECTED_BYTES_MAX together; FOUND_MAX matches looked at
 * and REGIONS_MAX proposed, the first of the text; learned texts of SPAN_BYTES_MAX,
 * SPANS_MAX of them, the most frequent.  Time grows with the length of the text and of
 * the selections, never with their product (text/search.h).
 *
 * Stored form, format 1: two parts, integers little-endian, arrays without gaps.
 * Every part begins with
 *
 *   offset width  meaning
 *        0     4  "SUBS"
 *        4     4  version of the part's layout: 1
 *        8     8  name of the part, filled up with NUL
 *       16     8  bytes that follow
 *
 * "labels": names of the labels that occur, ascending by code point
 *       24     4  labels
 *              4 * (labels + 1)   where each begins in the bytes below, and the end
 *              …  UTF-8
 * "spans": learned texts, folded, ascending
 *       24     8  annotations they come from
 *       32     4  texts
 *       36     4  counts
 *              4 * (texts + 1)    where each begins in the bytes below, and the end
 *              4 * (texts + 1)    first count of each, and the end
 *              4 * counts         label; ascending for one text
 *              4 * counts         how often it was given, from 1
 *              1 * texts          1: an edge of a word on the left, 2: on the right
 *              …  UTF-8
 */
#include "base/json.h"
#include "models/part.h"
#include "text/fold.h"
#include "text/search.h"

#include <stdlib.h>

#define TEXT_BYTES_MAX     ((size_t)32 << 20)
#define SELECTIONS_MAX     1000
#define SELECTED_BYTES_MAX ((size_t)4 << 20)
#define FOUND_MAX          ((size_t)1 << 22)
#define REGIONS_MAX        10000
#define SPAN_BYTES_MAX     256
#define SPANS_MAX          50000


enum side { LEFT = 1, RIGHT = 2 };

/* What is trained and stored.  Labels by name, so that it outlives a label config. */
struct spans {
	uint64_t  n_examples;
	uint32_t  n_labels, n, n_counts;
	uint32_t *name_at;            /* [n_labels + 1] */
	char     *names;
	uint32_t *at;                 /* [n + 1] */
	uint32_t *first;              /* [n + 1] */
	uint32_t *label, *count;      /* [n_counts] */
	uint8_t  *sides;              /* [n] */
	char     *bytes;
};

/* One text to look for, with a label of the config. */
struct learned {
	uint32_t label;               /* position among the control's */
	uint8_t  sides;
	double   share;
};

struct model {
	const struct label_config *config;
	const struct control_tag  *control;
	const struct object_tag   *object;
	struct spans    spans;
	struct span    *text;         /* [n_learned] ascending, in spans.bytes */
	struct learned *learned;      /* [n_learned] */
	size_t          n_learned;
	struct search   search;       /* of text */
};

/* -- the control ---------------------------------------------------------------------- */

/* The text itself, not the address of one. */
static const struct object_tag *text_of(const struct control_tag *c)
{
	for (size_t i = 0; i < c->n_inputs; i++) {
		const struct object_tag *o = c->inputs[i];

		if (strcmp(o->type, "Text") == 0 && o->value != NULL &&
		    (o->value_type == NULL || strcmp(o->value_type, "url") != 0))
			return o;
	}
	return NULL;
}

static const struct control_tag *labels_of(const struct label_config *config)
{
	for (size_t i = 0; i < config->n_controls; i++)
		if (strcmp(config->controls[i].type, "Labels") == 0 && text_of(&config->controls[i]) != NULL)
			return &config->controls[i];
	return NULL;
}

static bool member_is(struct span object, const char *key, struct span s)
{
	struct span value;

	return json_member(object, key, &value) == 0 && json_is(value, s);
}

/* A region of this control, of an object that it is over or none. */
static bool is_region(struct span region, const struct control_tag *c)
{
	const struct object_tag *o = text_of(c);
	struct span              to_name;

	if (json_type(region) != JSON_OBJECT || !member_is(region, "type", SPAN("labels")) ||
	    !member_is(region, "from_name", span_of(c->name)))
		return false;
	if (json_member(region, "to_name", &to_name) != 0 || json_type(to_name) == JSON_NULL)
		return true;
	return o != NULL && json_is(to_name, span_of(o->name));
}

static struct json_iter regions_of(struct span object)
{
	struct span result = SPAN("null");

	if (json_type(object) == JSON_OBJECT)
		(void)json_member(object, "result", &result);
	return json_each(json_type(result) == JSON_ARRAY ? result : SPAN("null"));
}

static bool has_selection(struct span context, const struct control_tag *c)
{
	struct json_iter it;
	struct span      region;

	if (context.len == 0)
		return false;
	for (it = regions_of(context); json_next(&it, NULL, &region); )
		if (is_region(region, c))
			return true;
	return false;
}

static const struct control_tag *serves(const struct label_config *config, struct span context,
                                        const struct model_settings *settings)
{
	const struct control_tag *c = labels_of(config);
	struct span               result;

	(void)settings;
	if (c == NULL)
		return NULL;
	/* Something of another control was selected: no answer of ours. */
	if (context.len > 0 && json_member(context, "result", &result) == 0 && json_count(result) > 0 &&
	    !has_selection(context, c))
		return NULL;
	return c;
}

/* -- regions as they come ---------------------------------------------------------------- */

/* The text of one region, folded, and where it stands. */
struct selected {
	struct span folded;
	uint8_t     sides;            /* edges of words that an occurrence must have */
};

static uint8_t sides_of(const struct folded *f, size_t start, size_t end)
{
	return (uint8_t)((fold_is_word(f, start) && fold_is_edge(f, start) ? LEFT : 0) |
	                 (fold_is_word(f, end - 1) && fold_is_edge(f, end) ? RIGHT : 0));
}

/* The next byte that is neither white space, a break written "\n" nor part of U+00A0. */
static int next_byte(struct span s, size_t *i)
{
	while (*i < s.len) {
		unsigned char c = (unsigned char)s.p[*i];

		if (c == '\\' && *i + 1 < s.len && s.p[*i + 1] == 'n')
			*i += 2;
		else if (c == 0xC2 && *i + 1 < s.len && (unsigned char)s.p[*i + 1] == 0xA0)
			*i += 2;
		else if (c == ' ' || (c >= '\t' && c <= '\r'))
			*i += 1;
		else
			return s.p[(*i)++] & 0xFF;
	}
	return -1;
}

static bool agrees(struct span a, struct span b)
{
	size_t i = 0, k = 0;
	int    c;

	if (span_eq(a, b))
		return true;
	do {
		c = next_byte(a, &i);
		if (c != next_byte(b, &k))
			return false;
	} while (c >= 0);
	return true;
}

/* start and end of a region, within a text of n code points; false: none. */
static bool offsets_of(struct span value, size_t n, size_t *start, size_t *end)
{
	struct span from, to;
	int64_t     a, b;

	if (json_member(value, "start", &from) != 0 || json_member(value, "end", &to) != 0 ||
	    json_int(from, 0, (int64_t)n, &a) < 0 || json_int(to, 0, (int64_t)n, &b) < 0 || a >= b)
		return false;
	*start = (size_t)a;
	*end = (size_t)b;
	return true;
}

/* 0; 1 nothing is selected, or more than bytes_max; -1. */
static int read_selected(const struct folded *t, struct span region, size_t bytes_max, struct arena *a,
                         struct selected *s, struct err *e)
{
	struct span   value, member, text = { NULL, 0 };
	struct folded alone;
	size_t        start, end;
	bool          placed;

	if (json_member(region, "value", &value) != 0)
		return 1;
	placed = offsets_of(value, t->n, &start, &end);
	if (json_member(value, "text", &member) == 0 && json_text(member, a, &text, e) < 0)
		return -1;
	if (placed && (text.p == NULL || agrees(fold_original(t, start, end), text))) {
		*s = (struct selected){ fold_slice(t, start, end), sides_of(t, start, end) };
		return s->folded.len > bytes_max;
	}
	/* Folded it may be a third as long: the Kelvin sign is a k. */
	if (text.len == 0 || text.len / 3 > bytes_max)
		return 1;
	if (fold_text(&alone, text, a, e) < 0)
		return -1;
	*s = (struct selected){ alone.bytes, sides_of(&alone, 0, alone.n) };
	return s->folded.len > bytes_max;
}

/* The next label of a region that the control has, or -1 at the end. */
static int next_label(struct json_iter *it, const struct control_tag *c, struct arena *a, int *label, struct err *e)
{
	struct span json, name;
	int         rc;

	while (json_next(it, NULL, &json)) {
		if ((rc = json_text(json, a, &name, e)) < 0)
			return -1;
		if (rc == 0 && (*label = control_label(c, name)) >= 0)
			return 0;
	}
	return 1;
}

static struct json_iter labels_in(struct span region)
{
	struct span value, labels = SPAN("null");

	if (json_member(region, "value", &value) == 0)
		(void)json_member(value, "labels", &labels);
	return json_each(json_type(labels) == JSON_ARRAY ? labels : SPAN("null"));
}

/* -- what is annotated already -------------------------------------------------------------- */

#define ANY_LABEL (-1)

struct mark {
	size_t start, end;
	int    label;                 /* position among the control's, or ANY_LABEL */
};

struct marks {
	struct mark *v;
	size_t       n, cap;
};

static int by_place(const void *a, const void *b)
{
	const struct mark *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return (x->label > y->label) - (x->label < y->label);
}

static int add_mark(struct marks *m, struct mark one, struct err *e)
{
	if (m->n == m->cap) {
		size_t       cap = m->cap == 0 ? 64 : 2 * m->cap;
		struct mark *grown = realloc(m->v, cap * sizeof *grown);

		if (grown == NULL)
			return err_memory(e);
		m->v = grown;
		m->cap = cap;
	}
	m->v[m->n++] = one;
	return 0;
}

static int mark_regions(struct marks *m, const struct control_tag *c, const struct folded *t, struct span object,
                        bool any_label, struct arena *a, struct err *e)
{
	struct json_iter it = regions_of(object), labels;
	struct span      region, value;
	struct mark      one;
	int              rc;

	while (json_next(&it, NULL, &region)) {
		if (!is_region(region, c) || json_member(region, "value", &value) != 0 ||
		    !offsets_of(value, t->n, &one.start, &one.end))
			continue;
		one.label = ANY_LABEL;
		if (any_label) {
			if (add_mark(m, one, e) < 0)
				return -1;
			continue;
		}
		labels = labels_in(region);
		while ((rc = next_label(&labels, c, a, &one.label, e)) == 0)
			if (add_mark(m, one, e) < 0)
				return -1;
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int mark_all(struct marks *m, const struct control_tag *c, const struct folded *t, const struct task *task,
                    struct span context, struct arena *a, struct err *e)
{
	static const char *const lists[] = { "annotations", "drafts" };
	struct json_iter         it;
	struct span              list, one, skipped;

	if (mark_regions(m, c, t, context, true, a, e) < 0)
		return -1;
	for (size_t i = 0; i < countof(lists); i++) {
		if (json_member(task->json, lists[i], &list) != 0 || json_type(list) != JSON_ARRAY)
			continue;
		for (it = json_each(list); json_next(&it, NULL, &one); ) {
			if (json_type(one) != JSON_OBJECT ||
			    (json_member(one, "was_cancelled", &skipped) == 0 && json_true(skipped)))
				continue;
			if (mark_regions(m, c, t, one, false, a, e) < 0)
				return -1;
		}
	}
	if (m->n > 0)
		qsort(m->v, m->n, sizeof *m->v, by_place);
	return 0;
}

static bool is_marked(const struct marks *m, size_t start, size_t end, int label)
{
	struct mark any = { start, end, ANY_LABEL }, same = { start, end, label };

	return m->n > 0 && (bsearch(&any, m->v, m->n, sizeof *m->v, by_place) != NULL ||
	                    bsearch(&same, m->v, m->n, sizeof *m->v, by_place) != NULL);
}

/* -- looking --------------------------------------------------------------------------------- */

struct candidate {
	uint32_t start, end;          /* code points */
	uint32_t what;                /* a variant */
};

/* A string that is looked for has one variant or more: the same text selected at
 * other edges, in the order in which they are tried. */
struct looking {
	const struct folded *t;
	const struct search *search;
	const struct span   *text;           /* [strings] */
	const uint32_t      *first;          /* [strings + 1] variants; NULL: one each */
	const uint8_t       *sides;          /* [variants], `stride` bytes apart */
	size_t               stride;
	struct candidate    *v;              /* to be freed */
	size_t               n, cap, seen;
	size_t               end_byte, end;  /* of the last match; end n + 1: in the midst of a code point */
	bool                 memory;         /* there was none left */
};

static bool add_candidate(struct looking *l, struct candidate c)
{
	if (l->n == l->cap) {
		size_t            cap = l->cap == 0 ? 256 : 2 * l->cap;
		struct candidate *grown = realloc(l->v, cap * sizeof *grown);

		if (grown == NULL) {
			l->memory = true;
			return false;
		}
		l->v = grown;
		l->cap = cap;
	}
	l->v[l->n++] = c;
	return true;
}

static bool found(void *arg, uint32_t string, size_t end)
{
	struct looking      *l = arg;
	const struct folded *t = l->t;
	int64_t              from, to;
	uint32_t             k = l->first == NULL ? string : l->first[string];
	const uint32_t       last = l->first == NULL ? string + 1 : l->first[string + 1];

	if (++l->seen > FOUND_MAX)
		return false;
	if (end != l->end_byte) {
		to = fold_index(t, end);
		l->end_byte = end;
		l->end = to < 0 ? t->n + 1 : (size_t)to;
	}
	if (l->end > t->n || (from = fold_index(t, end - l->text[string].len)) < 0)
		return true;
	for (; k < last; k++) {
		const uint8_t sides = l->sides[k * l->stride];

		if (((sides & LEFT) && !fold_is_edge(t, (size_t)from)) || ((sides & RIGHT) && !fold_is_edge(t, l->end)))
			continue;
		return add_candidate(l, (struct candidate){ (uint32_t)from, (uint32_t)l->end, k });
	}
	return true;
}

static int by_length(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	const uint32_t          m = x->end - x->start, n = y->end - y->start;

	if (m != n)
		return m > n ? -1 : 1;
	return (x->start > y->start) - (x->start < y->start);
}

static int by_start(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* Leaves those that overlap no longer or earlier one, in the order of the text. */
static int keep_longest(struct looking *l, struct arena *a, struct err *e)
{
	unsigned char *taken = arena_array(a, l->t->n / 8 + 1, 1);
	size_t         n = 0;

	if (taken == NULL)
		return err_memory(e);
	if (l->n == 0)
		return 0;
	qsort(l->v, l->n, sizeof *l->v, by_length);
	for (size_t i = 0; i < l->n; i++) {
		const struct candidate c = l->v[i];
		const uint32_t         last = c.end - 1;

		/* None that was kept is shorter: one that overlaps holds an end of this. */
		if ((taken[c.start / 8] >> c.start % 8 & 1) || (taken[last / 8] >> last % 8 & 1))
			continue;
		for (uint32_t k = c.start; k < c.end; k++)
			taken[k / 8] |= (unsigned char)(1u << k % 8);
		l->v[n++] = c;
	}
	l->n = n;
	qsort(l->v, n, sizeof *l->v, by_start);
	return 0;
}

/* Matches in l->v, not overlapping, in the order of the text; l->v is the caller's to free. */
static int look(struct looking *l, struct arena *a, struct err *e)
{
	l->end_byte = SIZE_MAX;
	search_text(l->search, l->t->bytes, found, l);
	return l->memory ? err_memory(e) : keep_longest(l, a, e);
}

/* -- what is proposed -------------------------------------------------------------------------- */

/* Labels of a match: those of a selection, or a learned one. */
struct labels {
	const uint32_t *v;
	size_t          n;
};

struct proposing {
	const struct model  *m;
	const struct folded *t;
	const struct marks  *marks;
	struct arena        *scratch;
};

/* The names of those labels that the span does not have yet. */
static int names_for(const struct proposing *p, const struct candidate *c, struct labels labels,
                     const char ***names, size_t *n, struct err *e)
{
	*n = 0;
	*names = arena_array(p->scratch, labels.n + 1, sizeof **names);
	if (*names == NULL)
		return err_memory(e);
	for (size_t i = 0; i < labels.n; i++)
		if (!is_marked(p->marks, c->start, c->end, (int)labels.v[i]))
			(*names)[(*n)++] = p->m->control->labels[labels.v[i]].name;
	return 0;
}

static int propose(const struct proposing *p, const struct looking *l, const struct labels *labels,
                   const struct learned *learned, struct prediction *out, struct err *e)
{
	const size_t   max = l->n < REGIONS_MAX ? l->n : REGIONS_MAX;
	struct region *regions = arena_array(p->scratch, max + 1, sizeof *regions);
	double         lowest = 1;
	size_t         n = 0;

	if (regions == NULL)
		return err_memory(e);
	if (labels == NULL && learned == NULL)
		return 0;                        /* nothing was learned yet: nothing was found */
	for (size_t i = 0; i < l->n && n < max; i++) {
		const struct candidate *c = &l->v[i];
		const struct labels     these = learned == NULL ? labels[c->what]
		                                : (struct labels){ &learned[c->what].label, 1 };
		const char            **names;
		size_t                  n_names;

		if (names_for(p, c, these, &names, &n_names, e) < 0)
			return -1;
		if (n_names == 0)
			continue;
		regions[n] = (struct region){
			.type = REGION_LABELS, .control = p->m->control, .to_name = p->m->object->name,
			.names = names, .n_names = n_names, .start = c->start, .end = c->end,
			.text = fold_original(p->t, c->start, c->end),
			.score = learned == NULL ? 1 : learned[c->what].share,
		};
		lowest = regions[n].score < lowest ? regions[n].score : lowest;
		n++;
	}
	out->regions = regions;
	out->n_regions = n;
	out->score = n > 0 ? lowest : 0;
	return 0;
}

/* -- selections ---------------------------------------------------------------------------------- */

struct selection {
	struct selected what;
	struct labels   labels;
	size_t          order;        /* in the context */
};

static int by_text(const void *a, const void *b)
{
	const struct selection *x = a, *y = b;
	int                     c = span_cmp(x->what.folded, y->what.folded);

	return c != 0 ? c : (x->order > y->order) - (x->order < y->order);
}

/* 0 taken; 1 it has no label of the config or no text; -1. */
static int read_selection(const struct model *m, const struct folded *t, struct span region, size_t bytes_max,
                          struct arena *a, struct selection *s, struct err *e)
{
	struct json_iter it = labels_in(region);
	uint32_t        *labels = arena_array(a, m->control->n_labels + 1, sizeof *labels);
	int              label, rc;

	if (labels == NULL)
		return err_memory(e);
	s->labels = (struct labels){ labels, 0 };
	while ((rc = next_label(&it, m->control, a, &label, e)) == 0) {
		size_t i = 0;

		while (i < s->labels.n && labels[i] != (uint32_t)label)
			i++;
		if (i == s->labels.n)
			labels[s->labels.n++] = (uint32_t)label;
	}
	if (rc < 0)
		return -1;
	return s->labels.n == 0 ? 1 : read_selected(t, region, bytes_max, a, &s->what, e);
}

/* All of a context, sorted by text: n of them in v. */
static int read_selections(const struct model *m, const struct folded *t, struct span context, struct arena *a,
                           struct selection **v, size_t *n, struct err *e)
{
	struct json_iter it = regions_of(context);
	struct span      region;
	size_t           left = SELECTED_BYTES_MAX;
	int              rc;

	*n = 0;
	*v = arena_array(a, SELECTIONS_MAX, sizeof **v);
	if (*v == NULL)
		return err_memory(e);
	while (*n < SELECTIONS_MAX && json_next(&it, NULL, &region)) {
		struct selection *s = &(*v)[*n];

		if (!is_region(region, m->control))
			continue;
		/* One that is longer than the text stands nowhere in it. */
		rc = read_selection(m, t, region, left < t->bytes.len ? left : t->bytes.len, a, s, e);
		if (rc < 0)
			return -1;
		if (rc > 0)
			continue;
		s->order = (*n)++;
		left -= s->what.folded.len;
	}
	if (*n > 0)
		qsort(*v, *n, sizeof **v, by_text);
	return 0;
}

/* One text of several selections is looked for once; of those at the same edges the
 * first counts. */
struct wanted {
	struct span   *text;          /* [n] */
	uint32_t      *first;         /* [n + 1] */
	uint8_t       *sides;         /* [variants] */
	struct labels *labels;        /* [variants] */
	size_t         n, variants;
};

static int want(struct wanted *w, const struct selection *s, size_t n, struct arena *a, struct err *e)
{
	unsigned seen = 0;

	*w = (struct wanted){ .text = arena_array(a, n + 1, sizeof *w->text),
		.first = arena_array(a, n + 1, sizeof *w->first), .sides = arena_array(a, n + 1, sizeof *w->sides),
		.labels = arena_array(a, n + 1, sizeof *w->labels) };
	if (w->text == NULL || w->first == NULL || w->sides == NULL || w->labels == NULL)
		return err_memory(e);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || !span_eq(s[i].what.folded, s[i - 1].what.folded)) {
			w->text[w->n] = s[i].what.folded;
			w->first[w->n++] = (uint32_t)w->variants;
			seen = 0;
		}
		if (seen >> s[i].what.sides & 1)
			continue;
		seen |= 1u << s[i].what.sides;
		w->sides[w->variants] = s[i].what.sides;
		w->labels[w->variants++] = s[i].labels;
	}
	w->first[w->n] = (uint32_t)w->variants;
	return 0;
}

static int predict_selected(const struct model *m, const struct task *task, const struct folded *t,
                            struct span context, struct arena *scratch, struct prediction *out, struct err *e)
{
	struct selection *selections;
	struct search     search = { .n = 0 };
	struct marks      marks = { .n = 0 };
	struct looking    l = { .t = t, .search = &search };
	struct wanted     w;
	size_t            n;
	int               rc = -1;

	if (read_selections(m, t, context, scratch, &selections, &n, e) < 0 || want(&w, selections, n, scratch, e) < 0)
		return -1;
	l.text = w.text;
	l.first = w.first;
	l.sides = w.sides;
	l.stride = 1;
	if (search_build(&search, w.text, w.n, e) == 0 && look(&l, scratch, e) == 0 &&
	    mark_all(&marks, m->control, t, task, context, scratch, e) == 0)
		rc = propose(&(struct proposing){ m, t, &marks, scratch }, &l, w.labels, NULL, out, e);
	search_clear(&search);
	free(marks.v);
	free(l.v);
	return rc;
}

static int predict(const struct model *m, const struct task *task, struct span context, struct arena *scratch,
                   struct prediction *out, struct err *e)
{
	const struct marks none = { .n = 0 };
	struct looking     l = { .search = &m->search, .text = m->text };
	struct folded      t;
	struct span        text;
	const bool         selected = has_selection(context, m->control);
	int                rc = -1;

	*out = (struct prediction){ .score = 0 };
	if (!selected && m->n_learned == 0)
		return 0;
	if (task_text(task, m->object, scratch, &text, e) < 0)
		return -1;
	if (text.len == 0 || text.len > TEXT_BYTES_MAX)
		return 0;
	if (fold_text(&t, text, scratch, e) < 0)
		return -1;
	if (selected)
		return predict_selected(m, task, &t, context, scratch, out, e);
	l.t = &t;
	l.sides = &m->learned[0].sides;
	l.stride = sizeof m->learned[0];
	if (look(&l, scratch, e) == 0)
		rc = propose(&(struct proposing){ m, &t, &none, scratch }, &l, NULL, m->learned, out, e);
	free(l.v);
	return rc;
}

/* -- a model ------------------------------------------------------------------------------------- */

static void spans_clear(struct spans *s)
{
	free(s->name_at);
	free(s->names);
	free(s->at);
	free(s->first);
	free(s->label);
	free(s->count);
	free(s->sides);
	free(s->bytes);
}

static void model_free(struct model *m)
{
	if (m == NULL)
		return;
	spans_clear(&m->spans);
	free(m->text);
	free(m->learned);
	search_clear(&m->search);
	free(m);
}

static size_t model_bytes(const struct model *m)
{
	const struct spans *s = &m->spans;
	size_t              names = s->name_at == NULL ? 0 : s->name_at[s->n_labels];
	size_t              bytes = s->at == NULL ? 0 : s->at[s->n];

	return sizeof *m + names + bytes + 9 * (size_t)s->n + 8 * (size_t)s->n_counts +
	       m->n_learned * (sizeof *m->text + sizeof *m->learned) + search_bytes(&m->search);
}

static struct model *model_new(const struct label_config *config, struct err *e)
{
	const struct control_tag *control = labels_of(config);
	struct model             *m;

	if (control == NULL) {
		err_set(e, ERR_SHAPE, "the label config has no Labels over a Text");
		return NULL;
	}
	m = calloc(1, sizeof *m);
	if (m == NULL) {
		err_memory(e);
		return NULL;
	}
	m->config = config;
	m->control = control;
	m->object = text_of(control);
	return m;
}

static int cold(struct model **out, const struct label_config *config, const struct model_settings *settings,
                struct err *e)
{
	(void)settings;
	*out = model_new(config, e);
	return *out == NULL ? -1 : 0;
}

/* The label of text i that was given most often, of those the config has: on a tie
 * the first of the config.  known: position of each label, or -1.  false: none. */
static bool choose(const struct spans *s, size_t i, const int *known, struct learned *l)
{
	uint64_t sum = 0, most = 0;

	for (size_t k = s->first[i]; k < s->first[i + 1]; k++) {
		const int label = known[s->label[k]];

		if (label < 0)
			continue;
		sum += s->count[k];
		if (s->count[k] > most || (s->count[k] == most && (uint32_t)label < l->label)) {
			most = s->count[k];
			l->label = (uint32_t)label;
		}
	}
	l->sides = s->sides[i];
	l->share = sum == 0 ? 0 : (double)most / (double)sum;
	return sum > 0;
}

/* Binds what was learned to the config: 0; 1 it has none of the labels; -1. */
static int bind(struct model *m, struct err *e)
{
	const struct spans *s = &m->spans;
	int                *known = calloc((size_t)s->n_labels + 1, sizeof *known);
	size_t              n_known = 0;
	int                 rc = -1;

	m->text = calloc((size_t)s->n + 1, sizeof *m->text);
	m->learned = calloc((size_t)s->n + 1, sizeof *m->learned);
	if (known == NULL || m->text == NULL || m->learned == NULL) {
		err_memory(e);
		goto out;
	}
	for (size_t i = 0; i < s->n_labels; i++) {
		known[i] = control_label(m->control, (struct span){ s->names + s->name_at[i],
		                                                    s->name_at[i + 1] - s->name_at[i] });
		n_known += known[i] >= 0;
	}
	if (n_known == 0) {
		rc = 1;
		goto out;
	}
	for (size_t i = 0; i < s->n; i++)
		if (choose(s, i, known, &m->learned[m->n_learned]))
			m->text[m->n_learned++] = (struct span){ s->bytes + s->at[i], s->at[i + 1] - s->at[i] };
	rc = search_build(&m->search, m->text, m->n_learned, e);
out:
	free(known);
	return rc;
}

/* -- learning ------------------------------------------------------------------------------------- */

/* One label given to one text. */
struct occurrence {
	struct span text;
	uint32_t    label;            /* position among the control's, then among the names */
	uint8_t     sides;
};

struct occurrences {
	struct occurrence *v;
	size_t             n, cap;
	struct arena       texts;
};

static int by_text_and_label(const void *a, const void *b)
{
	const struct occurrence *x = a, *y = b;
	int                      c = span_cmp(x->text, y->text);

	return c != 0 ? c : (x->label > y->label) - (x->label < y->label);
}

static int add_occurrence(struct occurrences *o, struct occurrence one, struct err *e)
{
	if (o->n == o->cap) {
		size_t             cap = o->cap == 0 ? 1024 : 2 * o->cap;
		struct occurrence *grown = realloc(o->v, cap * sizeof *grown);

		if (grown == NULL)
			return err_memory(e);
		o->v = grown;
		o->cap = cap;
	}
	o->v[o->n++] = one;
	return 0;
}

static int learn_region(struct occurrences *o, const struct control_tag *c, const struct folded *t,
                        struct span region, struct arena *scratch, struct err *e)
{
	struct json_iter  it = labels_in(region);
	struct occurrence one = { .label = 0 };
	struct selected   s;
	int               label, rc;

	rc = read_selected(t, region, SPAN_BYTES_MAX, scratch, &s, e);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	one.sides = s.sides;
	while ((rc = next_label(&it, c, scratch, &label, e)) == 0) {
		if (one.text.p == NULL) {
			one.text = (struct span){ arena_copy(&o->texts, s.folded), s.folded.len };
			if (one.text.p == NULL)
				return err_memory(e);
		}
		one.label = (uint32_t)label;
		if (add_occurrence(o, one, e) < 0)
			return -1;
	}
	return rc < 0 ? -1 : 0;
}

static int learn_example(struct occurrences *o, const struct model *m, const struct example *ex,
                         struct arena *scratch, struct err *e)
{
	const struct task task = { ex->data, ex->data };
	struct json_iter  it;
	struct folded     t = { .n = 0 };
	struct span       region, text;
	bool              read = false;

	if (ex->result.p == NULL || ex->data.p == NULL || json_type(ex->result) != JSON_ARRAY)
		return 0;
	for (it = json_each(ex->result); json_next(&it, NULL, &region); ) {
		if (!is_region(region, m->control))
			continue;
		if (!read) {
			if (task_text(&task, m->object, scratch, &text, e) < 0 ||
			    (text.len <= TEXT_BYTES_MAX && fold_text(&t, text, scratch, e) < 0))
				return -1;
			read = true;
		}
		if (learn_region(o, m->control, &t, region, scratch, e) < 0)
			return -1;
	}
	return 0;
}

struct named {
	struct span name;
	uint32_t    at;
};

static int by_name(const void *a, const void *b)
{
	return span_cmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* The names of the labels that occur, ascending; occurrences count in these. */
static int set_names(struct model *m, struct occurrences *o, struct err *e)
{
	const struct control_tag *c = m->control;
	struct spans             *s = &m->spans;
	struct named             *names = calloc(c->n_labels + 1, sizeof *names);
	uint32_t                 *rank = calloc(c->n_labels + 1, sizeof *rank);
	size_t                    bytes = 0;
	int                       rc = -1;

	if (names == NULL || rank == NULL) {
		err_memory(e);
		goto out;
	}
	for (size_t i = 0; i < o->n; i++)
		rank[o->v[i].label] = 1;
	for (size_t i = 0; i < c->n_labels; i++) {
		if (rank[i] == 0)
			continue;
		names[s->n_labels++] = (struct named){ span_of(c->labels[i].name), (uint32_t)i };
		bytes += strlen(c->labels[i].name);
	}
	qsort(names, s->n_labels, sizeof *names, by_name);
	s->name_at = calloc((size_t)s->n_labels + 1, sizeof *s->name_at);
	s->names = malloc(bytes + 1);
	if (s->name_at == NULL || s->names == NULL) {
		err_memory(e);
		goto out;
	}
	for (size_t i = 0; i < s->n_labels; i++) {
		rank[names[i].at] = (uint32_t)i;
		memcpy(s->names + s->name_at[i], names[i].name.p, names[i].name.len);
		s->name_at[i + 1] = s->name_at[i] + (uint32_t)names[i].name.len;
	}
	for (size_t i = 0; i < o->n; i++)
		o->v[i].label = rank[o->v[i].label];
	rc = 0;
out:
	free(names);
	free(rank);
	return rc;
}

/* Occurrences of one text: o->v[lo .. hi). */
struct group {
	size_t lo, hi;
};

static int by_frequency(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	const size_t        m = x->hi - x->lo, n = y->hi - y->lo;

	if (m != n)
		return m > n ? -1 : 1;
	return (x->lo > y->lo) - (x->lo < y->lo);
}

static int by_first(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

/* At an edge where at least half of its annotations were. */
static uint8_t sides_of_group(const struct occurrence *v, struct group g)
{
	size_t left = 0, right = 0, n = g.hi - g.lo;

	for (size_t i = g.lo; i < g.hi; i++) {
		left += (v[i].sides & LEFT) != 0;
		right += (v[i].sides & RIGHT) != 0;
	}
	return (uint8_t)((2 * left >= n ? LEFT : 0) | (2 * right >= n ? RIGHT : 0));
}

static int set_spans(struct spans *s, struct occurrence *v, const struct group *groups, size_t n, struct err *e)
{
	size_t bytes = 0, counts = 0;

	for (size_t i = 0; i < n; i++) {
		bytes += v[groups[i].lo].text.len;
		counts += groups[i].hi - groups[i].lo;      /* at most */
	}
	s->at = calloc(n + 1, sizeof *s->at);
	s->first = calloc(n + 1, sizeof *s->first);
	s->sides = calloc(n + 1, sizeof *s->sides);
	s->label = calloc(counts + 1, sizeof *s->label);
	s->count = calloc(counts + 1, sizeof *s->count);
	s->bytes = malloc(bytes + 1);
	if (s->at == NULL || s->first == NULL || s->sides == NULL || s->label == NULL || s->count == NULL ||
	    s->bytes == NULL)
		return err_memory(e);
	for (size_t i = 0; i < n; i++) {
		const struct span text = v[groups[i].lo].text;

		memcpy(s->bytes + s->at[i], text.p, text.len);
		s->at[i + 1] = s->at[i] + (uint32_t)text.len;
		s->sides[i] = sides_of_group(v, groups[i]);
		for (size_t k = groups[i].lo; k < groups[i].hi; k++) {
			if (k == groups[i].lo || v[k].label != v[k - 1].label)
				s->label[s->n_counts++] = v[k].label;
			s->count[s->n_counts - 1]++;
		}
		s->first[i + 1] = s->n_counts;
	}
	s->n = (uint32_t)n;
	return 0;
}

static int count_spans(struct spans *s, struct occurrences *o, struct err *e)
{
	struct group *groups;
	size_t        n = 0;
	int           rc;

	qsort(o->v, o->n, sizeof *o->v, by_text_and_label);
	groups = calloc(o->n + 1, sizeof *groups);
	if (groups == NULL)
		return err_memory(e);
	for (size_t i = 0; i < o->n; i++) {
		if (i == 0 || !span_eq(o->v[i].text, o->v[i - 1].text))
			groups[n++].lo = i;
		groups[n - 1].hi = i + 1;
	}
	if (n > SPANS_MAX) {
		qsort(groups, n, sizeof *groups, by_frequency);
		n = SPANS_MAX;
		qsort(groups, n, sizeof *groups, by_first);
	}
	rc = set_spans(s, o->v, groups, n, e);
	free(groups);
	return rc;
}

static int fit(struct model **out, const struct label_config *config, struct examples examples,
               const struct model_settings *settings, struct err *e)
{
	struct model      *m = model_new(config, e);
	struct occurrences o = { .n = 0 };
	struct arena       scratch;
	int                rc = -1;

	if (m == NULL)
		return -1;
	arena_init(&o.texts, (size_t)1 << 30);
	arena_init(&scratch, (size_t)1 << 30);
	for (size_t i = 0; i < examples.n; i++) {
		const size_t before = o.n;

		if (i % 64 == 0 && settings->progress != NULL &&
		    !settings->progress(settings->arg, (double)i / (double)examples.n)) {
			err_set(e, ERR_STOPPED, "stopped");
			goto out;
		}
		arena_reset(&scratch);
		if (learn_example(&o, m, &examples.v[i], &scratch, e) < 0)
			goto out;
		m->spans.n_examples += o.n > before;
	}
	if (o.n == 0) {
		err_set(e, ERR_TOO_FEW, "needs 1 annotated span, has 0");
		goto out;
	}
	if (set_names(m, &o, e) < 0 || count_spans(&m->spans, &o, e) < 0 || bind(m, e) != 0)
		goto out;
	*out = m;
	m = NULL;
	rc = 0;
out:
	model_free(m);
	free(o.v);
	arena_clear(&o.texts);
	arena_clear(&scratch);
	return rc;
}

/* -- saving ----------------------------------------------------------------------------------------- */

/* n + 1 offsets; of nothing, one zero. */
static void put_offsets(struct buf *b, const uint32_t *at, size_t n)
{
	if (at == NULL)
		buf_add_u32(b, 0);
	else
		part_put_u32s(b, at, n + 1);
}

static uint32_t last_of(const uint32_t *at, size_t n)
{
	return at == NULL ? 0 : at[n];
}

static int save(const struct model *m, struct model_parts *parts, struct err *e)
{
	const struct spans *s = &m->spans;
	const uint32_t      names_len = last_of(s->name_at, s->n_labels), len = last_of(s->at, s->n);
	struct buf         *b;

	b = part_begin(parts, "SUBS", "labels", 4 * ((size_t)s->n_labels + 2) + names_len, e);
	if (b == NULL)
		return -1;
	buf_add_u32(b, s->n_labels);
	put_offsets(b, s->name_at, s->n_labels);
	buf_add(b, s->names, names_len);
	if (buf_check(b, "labels", e) < 0)
		return -1;

	b = part_begin(parts, "SUBS", "spans", 16 + 8 * ((size_t)s->n + 1 + s->n_counts) + s->n + len, e);
	if (b == NULL)
		return -1;
	buf_add_u64(b, s->n_examples);
	buf_add_u32(b, s->n);
	buf_add_u32(b, s->n_counts);
	put_offsets(b, s->at, s->n);
	put_offsets(b, s->first, s->n);
	part_put_u32s(b, s->label, s->n_counts);
	part_put_u32s(b, s->count, s->n_counts);
	buf_add(b, s->sides, s->n);
	buf_add(b, s->bytes, len);
	return buf_check(b, "spans", e);
}

/* -- loading ------------------------------------------------------------------------------------------ */

/* What is left of a part; every take checks it. */
static int take_number(struct part *r, size_t width, uint64_t *n, struct err *e)
{
	if (r->left.len < width)
		return part_damaged(r, "too short", e);
	*n = 0;
	for (size_t i = 0; i < width; i++)
		*n |= (uint64_t)(unsigned char)r->left.p[i] << 8 * i;
	r->left.p += width;
	r->left.len -= width;
	return 0;
}

static int take_count(struct part *r, uint32_t *n, struct err *e)
{
	uint64_t wide = 0;

	if (take_number(r, 4, &wide, e) < 0)
		return -1;
	*n = (uint32_t)wide;
	return 0;
}

/* None of the strings is empty. */
static int take_strings(struct part *r, const uint32_t *at, size_t n, char **bytes, struct err *e)
{
	/* Ascending, so that only the first can be. */
	if (part_take_strings(r, at, n, bytes, e) < 0)
		return -1;
	return n > 0 && at[1] == 0 ? part_damaged(r, "an empty string", e) : 0;
}

static int load_labels(struct spans *s, const struct part_source *parts, struct err *e)
{
	struct part r;

	if (part_open(&r, parts, "SUBS", "labels", e) < 0 || take_count(&r, &s->n_labels, e) < 0 ||
	    (s->name_at = part_take_u32s(&r, (size_t)s->n_labels + 1, e)) == NULL)
		return -1;
	return take_strings(&r, s->name_at, s->n_labels, &s->names, e);
}

static int load_spans(struct spans *s, const struct part_source *parts, struct err *e)
{
	struct part r;
	bool          good = true;

	if (part_open(&r, parts, "SUBS", "spans", e) < 0 || take_number(&r, 8, &s->n_examples, e) < 0 ||
	    take_count(&r, &s->n, e) < 0 || take_count(&r, &s->n_counts, e) < 0 ||
	    (s->at = part_take_u32s(&r, (size_t)s->n + 1, e)) == NULL ||
	    (s->first = part_take_u32s(&r, (size_t)s->n + 1, e)) == NULL ||
	    (s->label = part_take_u32s(&r, s->n_counts, e)) == NULL ||
	    (s->count = part_take_u32s(&r, s->n_counts, e)) == NULL ||
	    (s->sides = part_take(&r, s->n, 1, e)) == NULL || take_strings(&r, s->at, s->n, &s->bytes, e) < 0 ||
	    part_check_offsets(&r, s->first, s->n, s->n_counts, e) < 0)
		return -1;
	for (size_t i = 0; i < s->n_counts; i++)
		good &= s->label[i] < s->n_labels && s->count[i] > 0;
	for (size_t i = 0; i < s->n; i++) {
		good &= s->sides[i] <= (LEFT | RIGHT);
		for (size_t k = (size_t)s->first[i] + 1; k < s->first[i + 1]; k++)
			good &= s->label[k - 1] < s->label[k];
	}
	return good ? 0 : part_damaged(&r, "number out of range", e);
}

static int load(struct model **out, const struct label_config *config, const struct model_settings *settings,
                unsigned format, const struct part_source *parts, struct err *e)
{
	struct model *m = model_new(config, e);
	int           rc = -1;

	(void)settings;
	(void)format;                            /* there is one so far */
	if (m == NULL)
		return -1;
	if (load_labels(&m->spans, parts, e) == 0 && load_spans(&m->spans, parts, e) == 0)
		rc = bind(m, e);
	if (rc == 0)
		*out = m;
	else
		model_free(m);
	return rc;
}

const struct model_kind model_substring = {
	.abi = MODEL_ABI, .name = "substring", .format = 1, .any_example = true,
	.serves = serves, .cold = cold, .fit = fit, .predict = predict,
	.save = save, .load = load, .free = model_free, .bytes = model_bytes,
};
