/* model.c - the table of model kinds, parts of a saved model, the text of a task. */
#include "models/model.h"

#include "base/json.h"
#include "studio/annotation.h"
#include "studio/object_text.h"

struct buf *model_parts_add(struct model_parts *p, const char *name)
{
	struct buf *b;

	if (p->n == MODEL_PARTS_MAX || strlen(name) >= sizeof p->v[0].name)
		return NULL;
	memcpy(p->v[p->n].name, name, strlen(name) + 1);
	b = &p->v[p->n++].bytes;
	buf_init(b, MODEL_PART_BYTES_MAX);
	return b;
}

void model_parts_clear(struct model_parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		buf_clear(&p->v[i].bytes);
	p->n = 0;
}

const struct model_kind *model_kind_named(struct span name)
{
	for (const struct model_kind *const *k = model_kinds; *k != NULL; k++)
		if (span_is(name, (*k)->name))
			return *k;
	return NULL;
}

/* The next name of a list "a+b"; false at its end. */
static bool next_name(const char **list, struct span *name)
{
	if (*list == NULL || **list == '\0')
		return false;
	*name = (struct span){ *list, strcspn(*list, "+") };
	*list += name->len;
	if (**list == '+')
		(*list)++;
	return true;
}

size_t model_kinds_for(const struct label_config *config, const char *names, const struct model_settings *settings,
                       const struct model_kind *kinds[MODEL_KINDS_MAX])
{
	const struct control_tag *taken[MODEL_KINDS_MAX], *control;
	struct span               name, none = { NULL, 0 };
	size_t                    n = 0, i;

	if (names != NULL && names[0] != '\0') {
		while (n < MODEL_KINDS_MAX && next_name(&names, &name)) {
			kinds[n] = model_kind_named(name);
			if (kinds[n] != NULL && kinds[n]->serves(config, none, settings) != NULL)
				n++;
		}
		return n;
	}
	for (const struct model_kind *const *k = model_kinds; *k != NULL && n < MODEL_KINDS_MAX; k++) {
		control = (*k)->serves(config, none, settings);
		if (control == NULL)
			continue;
		for (i = 0; i < n && taken[i] != control; i++)
			;
		if (i < n)
			continue;
		taken[n] = control;
		kinds[n++] = *k;
	}
	return n;
}

int model_kinds_check(const char *names, struct err *e)
{
	struct span name;

	for (const struct model_kind *const *k = model_kinds; *k != NULL; k++)
		if ((*k)->abi != MODEL_ABI)
			return err_set(e, ERR_USAGE, "the kind of model %s was compiled for interface %u, this is %d",
			               (*k)->name, (*k)->abi, MODEL_ABI);
	while (next_name(&names, &name))
		if (model_kind_named(name) == NULL)
			return err_set(e, ERR_USAGE, "MODEL=%.*s: there is no such kind of model",
			               (int)(name.len < 60 ? name.len : 60), name.p);
	return 0;
}

int task_text(const struct task *task, const struct object_tag *tag, struct arena *scratch,
              struct span *text, struct err *e)
{
	struct span value;

	*text = SPAN("");
	if (tag->value == NULL || json_member(task->data, tag->value, &value) != 0)
		return 0;
	return object_text(tag, value, scratch, text, e);
}

int example_labels(const struct example *ex, const struct label_config *config, struct arena *scratch,
                   const uint32_t **labels, size_t *n, struct err *e)
{
	enum annotation_outcome outcome;
	uint32_t               *one;
	int                     at;

	if (ex->result.p != NULL && control_multiple(config->choices))
		return annotation_labels(ex->result, config, scratch, &outcome, labels, n, e);
	at = ex->label.p == NULL ? -1 : control_label(config->choices, ex->label);
	one = arena_array(scratch, 1, sizeof *one);
	if (one == NULL)
		return err_memory(e);
	*one = at < 0 ? 0 : (uint32_t)at;
	*labels = one;
	*n = at >= 0;
	return 0;
}
