/* model.c - the table of model kinds, parts of a saved model, the text of a task. */
#include "models/model.h"

#include "base/json.h"

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

const struct model_kind *model_kind_named(const char *name)
{
	for (const struct model_kind *const *k = model_kinds; *k != NULL; k++)
		if (strcmp((*k)->name, name) == 0)
			return *k;
	return NULL;
}

const struct model_kind *model_kind_for(const struct label_config *config)
{
	for (const struct model_kind *const *k = model_kinds; *k != NULL; k++)
		if ((*k)->accepts(config))
			return *k;
	return NULL;
}

int task_text(const struct task *task, const struct object_tag *tag, struct arena *scratch,
              struct span *text, struct err *e)
{
	struct span value;

	*text = SPAN("");
	if (tag->value == NULL || json_member(task->data, tag->value, &value) != 0)
		return 0;
	if (json_text(value, scratch, text, e) < 0)
		return -1;
	return 0;
}
