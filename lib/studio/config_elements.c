/* config_elements.c - the elements of a labeling config as libxml2 read them, kept with it. */
#include "studio/config_elements.h"

#include "base/arena.h"
#include "base/json.h"

#include <sodium.h>

#define SUM_LEN   ((size_t)64)
#define SUM_AT    ((size_t)2)                           /* behind [" */
#define SUMMED_AT (SUM_AT + SUM_LEN)                    /* and from here it counts */
#define END_TAG   "0"
#define ELEMENT_BYTES_MAX CONFIG_ELEMENTS_MAX           /* its strings, twice, of a config of 1 MB */

static void sum_of(struct span summed, const unsigned char hash[32], char hex[SUM_LEN + 1])
{
	crypto_hash_sha256_state h;
	unsigned char            sum[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, hash, 32);
	crypto_hash_sha256_update(&h, (const unsigned char *)summed.p, summed.len);
	crypto_hash_sha256_final(&h, sum);
	sodium_bin2hex(hex, SUM_LEN + 1, sum, sizeof sum);
}

/* ---- recording ------------------------------------------------------------------ */

struct recorder {
	const struct xml_events *ev;
	struct buf              *to;
};

static int record_start(void *arg, const char *name, const char *const *attrs)
{
	struct recorder *r = arg;

	buf_adds(r->to, ",[");
	json_put_text(r->to, span_of(name));
	for (size_t i = 0; attrs[i] != NULL; i += 2) {
		buf_addc(r->to, ',');
		json_put_text(r->to, span_of(attrs[i]));
		buf_addc(r->to, ',');
		json_put_text(r->to, span_of(attrs[i + 1]));
	}
	buf_addc(r->to, ']');
	return r->ev->start(r->ev->arg, name, attrs);
}

static void record_end(void *arg)
{
	struct recorder *r = arg;

	buf_adds(r->to, "," END_TAG);
	r->ev->end(r->ev->arg);
}

int config_elements_record(struct span xml, const unsigned char hash[32], const struct xml_events *ev, struct buf *to,
                           struct err *e)
{
	struct recorder         r = { ev, to };
	const struct xml_events both = { record_start, record_end, &r };
	const size_t            at = to->len;
	char                    sum[SUM_LEN + 1];

	buf_addf(to, "[\"%*s\"", (int)SUM_LEN, "");
	if (xml_read(xml, &both, e) < 0)
		return -1;
	buf_addc(to, ']');
	if (buf_check(to, "the elements of the labeling config", e) < 0)
		return -1;
	sum_of((struct span){ to->p + at + SUMMED_AT, to->len - at - SUMMED_AT }, hash, sum);
	memcpy(to->p + at + SUM_AT, sum, SUM_LEN);
	return 0;
}

/* ---- replaying ------------------------------------------------------------------ */

/* One start tag: its strings, each with a NUL behind it and none in it. */
static int replay_start(struct span tag, const struct xml_events *ev, struct arena *a)
{
	struct json_iter it = json_each(tag);
	const size_t     n = json_count(tag);
	const char     **s;
	struct span      value, text;

	if (json_type(tag) != JSON_ARRAY || n % 2 == 0 || (s = arena_array(a, n + 1, sizeof *s)) == NULL)
		return 1;
	for (size_t i = 0; i < n && json_next(&it, NULL, &value); i++)
		if (json_text(value, a, &text, NULL) != 0 || (text.len > 0 && memchr(text.p, '\0', text.len) != NULL) ||
		    (s[i] = arena_copy(a, text)) == NULL)
			return 1;
	return ev->start(ev->arg, s[0], s + 1);
}

int config_elements_replay(struct span elements, const unsigned char hash[32], const struct xml_events *ev)
{
	struct json_iter it;
	struct arena     a;
	struct span      all, value;
	size_t           depth = 0;
	char             sum[SUM_LEN + 1];
	int              rc = 0;

	if (elements.len < SUMMED_AT || elements.len > CONFIG_ELEMENTS_MAX)
		return 1;
	sum_of((struct span){ elements.p + SUMMED_AT, elements.len - SUMMED_AT }, hash, sum);
	if (memcmp(elements.p + SUM_AT, sum, SUM_LEN) != 0 || json_check(elements, &all, NULL) < 0)
		return 1;
	it = json_each(all);
	if (json_type(all) != JSON_ARRAY || !json_next(&it, NULL, &value) || !json_is(value, span_of(sum)))
		return 1;
	arena_init(&a, ELEMENT_BYTES_MAX);
	do {
		if (!json_next(&it, NULL, &value)) {
			rc = 1;
		} else if (!span_is(value, END_TAG)) {
			depth++;
			rc = replay_start(value, ev, &a);
			arena_reset(&a);
		} else if (depth-- > 0) {
			ev->end(ev->arg);
		} else {
			rc = 1;
		}
	} while (rc == 0 && depth > 0);
	arena_clear(&a);
	return rc == 0 && json_next(&it, NULL, &value) ? 1 : rc;
}
