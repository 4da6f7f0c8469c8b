/* project.c - a project's label config, as the store keeps it. */
#include "project.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "serving.h"
#include "studio/config_elements.h"
#include "studio/label_config.h"

#include <sodium.h>

#define LABELS_BYTES_MAX ((size_t)64 << 20)

static void hash_of(struct span xml, char hex[65])
{
	unsigned char sum[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(sum, (const unsigned char *)xml.p, xml.len);
	sodium_bin2hex(hex, 65, sum, sizeof sum);
}

static bool is_kept(const struct project *p, struct span xml)
{
	char hex[65];

	hash_of(xml, hex);
	return p->config_hash.p != NULL && span_is(p->config_hash, hex);
}

bool project_has_config(const struct project *p, struct span xml)
{
	return p->config_elements.p != NULL && is_kept(p, xml);
}

bool project_settings_changed(const struct project *p, const struct env *env)
{
	return p->version.row != 0 &&
	       (!span_is(p->version.token_pattern, env_token_pattern_name(env->token_pattern)) ||
	        p->version.logreg_c != env->logreg_c);
}

/* Are the labels of the old JSON array those of the control, in any order? */
static bool same_labels(struct span json, const struct control_tag *control, struct arena *a)
{
	struct json_iter it;
	struct span      value, text;
	size_t           n = 0;

	if (json.p == NULL || control == NULL)
		return json.p == NULL && control == NULL;
	if (json_check(json, &json, NULL) < 0)
		return false;
	for (it = json_each(json); json_next(&it, NULL, &value); n++)
		if (json_text(value, a, &text, NULL) != 0 || control_label(control, text) < 0)
			return false;
	return n == control->n_labels;
}

/* Did the config before teach as many labels a text, and read texts in the same way? */
static bool same_reading(const struct project *p, const struct label_config *config)
{
	struct label_config *before;
	bool                 same = true;

	if (config->choices == NULL || label_config_replay(&before, p->label_config, p->config_elements, NULL) < 0)
		return true;
	if (before->choices != NULL)
		same = control_multiple(before->choices) == control_multiple(config->choices) &&
		       strcmp(before->text->type, config->text->type) == 0 &&
		       strcmp(before->text->text_key, config->text->text_key) == 0;
	label_config_free(before);
	return same;
}

static void put_labels(struct buf *b, const struct control_tag *control)
{
	buf_addc(b, '[');
	for (size_t i = 0; i < control->n_labels; i++) {
		if (i > 0)
			buf_addc(b, ',');
		json_put_text(b, span_of(control->labels[i].name));
	}
	buf_addc(b, ']');
}

int project_configure(struct store *st, const struct env *env, const struct project *p, struct span xml,
                      bool *changed, struct err *e)
{
	const struct model_kind  *kind[MODEL_KINDS_MAX];
	const struct control_tag *choices;
	struct model_settings     settings;
	struct label_config      *config;
	struct arena              a;
	struct buf                labels, elements;
	const char               *reason;
	char                      hex[65];
	const bool                had = is_kept(p, xml);      /* by an older release, without its elements */
	bool                      served;
	int                       rc = -1;

	if (changed != NULL)
		*changed = false;
	if (had && p->config_elements.p != NULL)
		return 0;
	buf_init(&elements, CONFIG_ELEMENTS_MAX);
	if (label_config_record(&config, xml, &elements, had ? NULL : e) < 0) {
		buf_clear(&elements);
		return had ? 0 : -1;
	}
	arena_init(&a, LABELS_BYTES_MAX);
	buf_init(&labels, LABELS_BYTES_MAX);
	choices = config->choices;
	if (choices != NULL)
		put_labels(&labels, choices);
	serving_settings(env, p, &settings);
	served = model_kinds_for(config, serving_kinds(env, p, &a), &settings, kind) > 0;
	reason = served ? NULL : config->reason != NULL ? config->reason : "no kind of model serves this config";
	if (!served)
		log_line(LOG_WARNING, "project %lld: %s", (long long)p->id, reason);
	hash_of(xml, hex);
	if (buf_check(&labels, "the label set", e) == 0 &&
	    store_project_config(st, p->row, xml, hex, choices == NULL ? NULL : choices->name,
	                         choices == NULL ? NULL : config->text->value, buf_span(&labels),
	                         reason, choices != NULL && control_multiple(choices), buf_span(&elements), e) == 0) {
		rc = 0;
		if (!had && p->label_config.p != NULL && p->updates > 0 && served &&
		    (!same_labels(p->labels, choices, &a) || !same_reading(p, config)))
			rc = store_job_queue(st, p->row, "labels", clock_s(), NULL, e);
	}
	if (changed != NULL)
		*changed = rc == 0 && !had;
	buf_clear(&elements);
	buf_clear(&labels);
	arena_clear(&a);
	label_config_free(config);
	return rc;
}
