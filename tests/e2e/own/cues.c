/* cues.c - the label in whose texts most words of a text have been seen. */
#include "models/model.h"
#include <stdlib.h>

struct model { const struct control_tag *control; const struct object_tag *text; struct buf *seen; };   /* [labels] */

static const struct control_tag *serves(const struct label_config *c, struct span x, const struct model_settings *s)
{ (void)x, (void)s; return c->choices; }
static void drop(struct model *m)
{ for (size_t i = 0; m != NULL && i < m->control->n_labels; i++) buf_clear(&m->seen[i]); if (m != NULL) free(m->seen); free(m); }
static size_t bytes(const struct model *m) { return sizeof *m + m->control->n_labels * 4096; }
static int cold(struct model **m, const struct label_config *c, const struct model_settings *s, struct err *e)
{
	struct buf *seen = calloc(c->choices->n_labels + 1, sizeof *seen);
	(void)s;
	if (seen == NULL || (*m = malloc(sizeof **m)) == NULL) { free(seen); return err_memory(e); }
	for (size_t i = 0; i < c->choices->n_labels; i++) buf_init(&seen[i], 1 << 26);
	**m = (struct model){ c->choices, c->text, seen };
	return 0;
}
static int fit(struct model **m, const struct label_config *c, struct examples x, const struct model_settings *s, struct err *e)
{
	if (cold(m, c, s, e) < 0) return -1;
	for (size_t i = 0; i < x.n; i++) buf_add(&(*m)->seen[control_label(c->choices, x.v[i].label)], x.v[i].text.p, x.v[i].text.len);
	return 0;
}
static int predict(const struct model *m, const struct task *t, struct span x, struct arena *a, struct prediction *p, struct err *e)
{
	struct span text; size_t best = 0, most = 0, words = 1; const char **name = arena_array(a, 1, sizeof *name); struct region *r = arena_array(a, 1, sizeof *r);
	(void)x;
	if (name == NULL || r == NULL) return err_memory(e);
	if (task_text(t, m->text, a, &text, e) < 0) return -1;
	for (size_t i = 0, n = 0; i < m->control->n_labels; i++, n = 0) {
		words = 1;
		for (size_t at = 0, end; at < text.len; at = end + 1, words++) {
			for (end = at; end < text.len && text.p[end] != ' '; end++) ;
			n += m->seen[i].len > 0 && memmem(m->seen[i].p, m->seen[i].len, text.p + at, end - at) != NULL;
		}
		if (n > most) { most = n; best = i; }
	}
	*name = m->control->labels[best].name;
	*r = (struct region){ .type = REGION_CHOICES, .control = m->control, .to_name = m->text->name, .names = name, .n_names = 1, .score = (double)most / (double)words };
	*p = (struct prediction){ .score = r->score, .regions = r, .n_regions = 1 };
	return 0;
}
static int save(const struct model *m, struct model_parts *parts, struct err *e)
{
	struct buf *b = model_parts_add(parts, "seen");
	for (size_t i = 0; i < m->control->n_labels; i++) {
		buf_add(b, m->control->labels[i].name, strlen(m->control->labels[i].name) + 1);
		buf_add(b, m->seen[i].len > 0 ? m->seen[i].p : "", m->seen[i].len + 1);
	}
	return buf_check(b, "seen", e);
}
static int load(struct model **m, const struct label_config *c, const struct model_settings *s, unsigned f, const struct part_source *parts, struct err *e)
{
	struct span all; const char *name, *text;
	(void)f;
	if (parts->read(parts->arg, "seen", &all, e) != 0) return err_set(e, ERR_DAMAGED, "no part");
	if (cold(m, c, s, e) < 0) return -1;
	for (const char *at = all.p, *end = all.p + all.len; at < end; at = text + strlen(text) + 1) {
		name = at, text = at + strlen(at) + 1;
		if (control_label(c->choices, span_of(name)) >= 0) buf_adds(&(*m)->seen[control_label(c->choices, span_of(name))], text);
	}
	return 0;
}
const struct model_kind model_cues = { .abi = MODEL_ABI, .name = "cues", .format = 1, .serves = serves, .cold = cold, .fit = fit,
	.predict = predict, .save = save, .load = load, .free = drop, .bytes = bytes };
