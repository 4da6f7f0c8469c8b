/* prediction.c - what is predicted for one task, as JSON. */
#include "studio/prediction.h"
#include "base/json.h"

/* Label Studio takes an infinite score and then fails wherever it is listed. */
static double share(double x)
{
	return x > 0 ? (x < 1 ? x : 1) : 0;             /* NaN > 0 is false */
}

static void put_region(const struct region *r, struct buf *b)
{
	buf_adds(b, "{\"from_name\":");
	json_put_text(b, span_of(r->control->name));
	buf_adds(b, ",\"to_name\":");
	json_put_text(b, span_of(r->to_name));
	buf_adds(b, ",\"type\":\"choices\",\"score\":");
	json_put_real(b, share(r->score));
	buf_adds(b, ",\"value\":{\"choices\":[");
	for (size_t i = 0; i < r->n_choices; i++) {
		if (i > 0)
			buf_addc(b, ',');
		json_put_text(b, span_of(r->choices[i]));
	}
	buf_adds(b, "]}}");
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
