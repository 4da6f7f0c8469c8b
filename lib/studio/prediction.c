/* prediction.c - what is predicted for one task, as JSON. */
#include "studio/prediction.h"
#include "base/json.h"

#include <math.h>

/* Label Studio takes an infinite score and then fails wherever it is listed. */
static double share(double x)
{
	return x > 0 ? (x < 1 ? x : 1) : 0;             /* NaN > 0 is false */
}

static const struct {
	const char *control, *type, *key;       /* <Choices>, "type": "choices", "value": {"choices": …} */
} types[REGION__MAX] = {
	[REGION_CHOICES]  = { "Choices",  "choices",  "choices" },
	[REGION_LABELS]   = { "Labels",   "labels",   "labels" },
	[REGION_TEXTAREA] = { "TextArea", "textarea", "text" },
	[REGION_RATING]   = { "Rating",   "rating",   "rating" },
	[REGION_NUMBER]   = { "Number",   "number",   "number" },
};

int prediction_choice(const struct prediction *p, const struct control_tag *control)
{
	for (size_t i = 0; i < p->n_regions; i++)
		if (p->regions[i].control == control && p->regions[i].n_names > 0)
			return control_label(control, span_of(p->regions[i].names[0]));
	return -1;
}

void prediction_choices(const struct prediction *p, const struct control_tag *control, bool *chosen)
{
	memset(chosen, 0, control->n_labels * sizeof *chosen);
	for (size_t i = 0; i < p->n_regions; i++)
		for (size_t k = 0; p->regions[i].control == control && k < p->regions[i].n_names; k++) {
			const int at = control_label(control, span_of(p->regions[i].names[k]));

			if (at >= 0)
				chosen[at] = true;
		}
}

/* ---- what leaves is looked at ------------------------------------------------- */

static bool has_to_name(const struct control_tag *control, const char *name)
{
	for (size_t i = 0; i < control->n_to_name; i++)
		if (strcmp(control->to_name[i], name) == 0)
			return true;
	return false;
}

static int check_region(const struct region *r, const struct label_config *config, struct err *e)
{
	const struct control_tag *c = r->control;

	if (c < config->controls || c >= config->controls + config->n_controls)
		return err_set(e, ERR_DAMAGED, "the model names a control that the config lacks");
	if (r->to_name == NULL || !has_to_name(c, r->to_name))
		return err_set(e, ERR_DAMAGED, "the model names an object that %s is not over", c->name);
	if (r->type >= REGION__MAX || strcmp(types[r->type].control, c->type) != 0)
		return err_set(e, ERR_DAMAGED, "the model gives %s, a %s, what it can't hold", c->name, c->type);
	if (r->type == REGION_CHOICES || r->type == REGION_LABELS)
		for (size_t i = 0; i < r->n_names; i++)
			if (control_label(c, span_of(r->names[i])) < 0)
				return err_set(e, ERR_DAMAGED, "the model names a label that %s lacks", c->name);
	if (r->type == REGION_LABELS && (r->start < 0 || r->end < r->start))
		return err_set(e, ERR_DAMAGED, "the model's span of %s ends before it begins", c->name);
	if ((r->type == REGION_RATING || r->type == REGION_NUMBER) && !isfinite(r->number))
		return err_set(e, ERR_DAMAGED, "the model's number for %s is not finite", c->name);
	return isfinite(r->score) ? 0 : err_set(e, ERR_DAMAGED, "the model's score is not finite");
}

int prediction_check(const struct prediction *p, const struct label_config *config, struct err *e)
{
	if (!isfinite(p->score))
		return err_set(e, ERR_DAMAGED, "the model's score is not finite");
	for (size_t i = 0; i < p->n_regions; i++)
		if (check_region(&p->regions[i], config, e) < 0)
			return -1;
	return 0;
}

/* ---- JSON ------------------------------------------------------------------------ */

static void put_names(const struct region *r, struct buf *b)
{
	buf_addc(b, '[');
	for (size_t i = 0; i < r->n_names; i++) {
		if (i > 0)
			buf_addc(b, ',');
		json_put_text(b, span_of(r->names[i]));
	}
	buf_addc(b, ']');
}

static void put_region(const struct region *r, struct buf *b)
{
	buf_adds(b, "{\"from_name\":");
	json_put_text(b, span_of(r->control->name));
	buf_adds(b, ",\"to_name\":");
	json_put_text(b, span_of(r->to_name));
	buf_adds(b, ",\"type\":\"");
	buf_adds(b, types[r->type].type);
	buf_adds(b, "\",\"score\":");
	json_put_real(b, share(r->score));
	buf_adds(b, ",\"value\":{");
	if (r->type == REGION_LABELS) {
		buf_adds(b, "\"start\":");
		json_put_int(b, r->start);
		buf_adds(b, ",\"end\":");
		json_put_int(b, r->end);
		buf_adds(b, ",\"text\":");
		json_put_text(b, r->text);
		buf_addc(b, ',');
	}
	buf_addc(b, '"');
	buf_adds(b, types[r->type].key);
	buf_adds(b, "\":");
	if (r->type == REGION_RATING || r->type == REGION_NUMBER)
		json_put_real(b, r->number);
	else
		put_names(r, b);
	buf_adds(b, "}}");
}

void prediction_put_json(const struct prediction *p, const char *model_version, struct buf *b)
{
	buf_adds(b, "{\"model_version\":");
	json_put_text(b, span_of(model_version));
	buf_adds(b, ",\"score\":");
	json_put_real(b, share(p->score));
	buf_adds(b, ",\"result\":[");
	for (size_t i = 0; i < p->n_regions; i++) {
		if (i > 0)
			buf_addc(b, ',');
		put_region(&p->regions[i], b);
	}
	buf_adds(b, "]}");
}
