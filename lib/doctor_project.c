/* doctor_project.c - one project: in Label Studio, and in the store. */
#include "doctor_project.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/meter.h"
#include "brief.h"
#include "examples.h"
#include "serving.h"
#include "studio/address.h"
#include "studio/ls_rest.h"
#include "web/auth.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <strings.h>

#define ARENA_BYTES  ((size_t)256 << 20)
#define BACKENDS_MAX 16
#define HOOKS_MAX    64
#define LABELS_MIN   2
#define QUEUED_S     120               /* a job that waits longer than that is seen by nobody */
#define RESERVED     "reserved network address"

struct backend {
	int64_t     id;
	struct span url, title, state, error, version, auth_user;
};
struct hook {
	struct span url, headers, actions;
	int64_t     changed_s;             /* 0: not known */
	bool        active, payload, all;
};

/* What is gathered of the project. */
struct sight {
	struct patient *p;
	struct findings *f;
	struct arena    a;
	int64_t         id;
	struct span     remote;            /* Label Studio's project; p NULL: not read */
	int64_t         row;               /* 0: the store does not know it */
	struct project  kept;
	char            version[VERSION_TEXT_MAX];      /* in force; "": not known */
	char            state[STATUS_STATE_MAX];
	struct backend  backend[BACKENDS_MAX];          /* by id: the first one predicts */
	size_t          n_backends;
	struct hook     hook[HOOKS_MAX];
	size_t          n_hooks;
	bool            connected;         /* as far as that goes: what follows from it is looked at */
	char            what[32];          /* "project 3" */
};

/* ---- the addresses that Label Studio refuses ------------------------------------------ */

/* Would Label Studio refuse it as that of a backend ("/api/ml/") or a webhook
 * ("/api/webhooks/")?  Project 0 is refused next, so that nothing is made. */
static bool refuses(struct patient *p, const char *path, struct span url, const char *behind)
{
	struct buf body, answer;
	struct err e = { 0 };
	bool       is = false;

	buf_init(&body, 8192);
	buf_init(&answer, (size_t)1 << 20);
	buf_adds(&body, "{\"project\":0,\"url\":\"");
	for (size_t i = 0; i < url.len; i++)
		if (url.p[i] > ' ' && url.p[i] != '"' && url.p[i] != '\\')
			buf_addc(&body, url.p[i]);
	buf_addf(&body, "%s\"}", behind);
	if (buf_check(&body, "the question", NULL) == 0 &&
	    ls_api_request(p->api, "POST", path, buf_span(&body), &answer, &e) < 0)
		is = ls_api_status(p->api) == 403 && strstr(e.msg, RESERVED) != NULL;
	buf_clear(&body);
	buf_clear(&answer);
	return is;
}

/* id: of the project; 0: none is known. */
static void not_connected(struct patient *p, const char *what, int64_t id)
{
	const char *here = p->server.url;
	char        url[sizeof p->server.url + 1];

	snprintf(url, sizeof url, "%.*s", (int)(strstr(here, "/livez") == NULL ? strlen(here) : (size_t)(strstr(here, "/livez") - here)), here);
	if (refuses(p, "/api/ml/", span_of(url), ""))
		found_fault(p->f, FAULT_BLOCKS_BACKEND, what, "Label Studio refuses backends at private addresses, as that of prelabel "
		            "(%s)\nStart Label Studio with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false in its environment.", url);
	else if (id != 0)
		found_fault(p->f, FAULT_NOT_CONNECTED, what, "the project has no backend in Label Studio\nConnect it: prelabel connect "
		            "--project %lld, or in Label Studio Settings > Model > Connect Model; if it is done with: prelabel forget --project "
		            "%lld.", (long long)id, (long long)id);
	else
		found_fault(p->f, FAULT_NOT_CONNECTED, what, "no project of Label Studio is connected here\nConnect one: prelabel connect "
		            "--project N, or in Label Studio Settings > Model > Connect Model.");
}

void doctor_nobody(struct patient *p)
{
	if (p->api != NULL)
		not_connected(p, "backend", 0);
}

/* ---- the backend's record ----------------------------------------------------------- */

static int take_backend(void *arg, struct span one, struct err *e)
{
	struct sight        *s = arg;
	const struct backend b = {
		.id = ls_rest_int(one, "id"), .url = ls_rest_text(one, "url", &s->a), .title = ls_rest_text(one, "title", &s->a),
		.state = ls_rest_text(one, "state", &s->a), .error = ls_rest_text(one, "error_message", &s->a),
		.version = ls_rest_text(one, "model_version", &s->a), .auth_user = ls_rest_text(one, "basic_auth_user", &s->a),
	};
	size_t               at = s->n_backends;

	(void)e;
	if (at == BACKENDS_MAX)
		return 0;
	/* Label Studio lists them in any order. */
	for (; at > 0 && s->backend[at - 1].id > b.id; at--)
		s->backend[at] = s->backend[at - 1];
	s->backend[at] = b;
	s->n_backends++;
	return 0;
}

static void disconnected(struct sight *s, const struct backend *b)
{
	const struct env *env = s->p->env;
	char              shown[FOREIGN_BYTES];

	foreign(b->url, shown);
	if (!s->p->server_up)
		found_fault(s->f, FAULT_DOWN, s->what, "Label Studio can't reach %s, and here nothing answers at %s\nStart prelabel "
		            "(prelabel start), or look into its log for why it ended.", shown, s->p->server.url);
	else if (env->auth_user != NULL && address_of(b->url).userinfo.len == 0 && !span_is(b->auth_user, env->auth_user))
		found_fault(s->f, FAULT_BACKEND_AUTH, s->what, "BASIC_AUTH_USER is set here, and the backend at %s was connected %s\n"
		            "Enter BASIC_AUTH_USER and BASIC_AUTH_PASS in Label Studio, Settings > Model: prelabel connect --project %lld does.",
		            shown, b->auth_user.len == 0 ? "without user and password" : "with another user", (long long)s->id);
	else if (address_is_loopback(b->url))
		found_fault(s->f, FAULT_LOCALHOST, s->what, "prelabel answers, but Label Studio can't reach it at %s: in a container that "
		            "is the container itself\nConnect it under an address that Label Studio reaches (http://prelabel:9090, "
		            "http://host.docker.internal:9090), and start prelabel with HOST=0.0.0.0.", shown);
	else
		found_fault(s->f, FAULT_DISCONNECTED, s->what, "Label Studio can't reach %s, while prelabel answers at %s here\nSee that "
		            "name and port are right as Label Studio's machine sees them, that HOST is not 127.0.0.1%s, and that no "
		            "firewall is between.", shown, s->p->server.url,
		            env->auth_user != NULL ? ", that the password entered there is BASIC_AUTH_PASS" : "");
}

static bool check_state(struct sight *s, const struct backend *b)
{
	char shown[FOREIGN_BYTES], why[FOREIGN_BYTES];

	foreign(b->url, shown);
	if (span_is(b->state, "DI")) {
		disconnected(s, b);
		return false;
	}
	if (span_is(b->state, "ER")) {
		found_fault(s->f, FAULT_BACKEND_ERROR, s->what, "Label Studio has the backend at %s in the state Error: %s\nLook into "
		            "prelabel's log for what it answered; prelabel status says what is wrong with the project.", shown,
		            foreign(b->error, why));
		return false;
	}
	found(s->f, s->what, "connected as \"%s\" at %s", foreign(b->title, why), shown);
	return true;
}

/* One address, or two that lead here: both have our version. */
static bool is_twice(const struct sight *s, size_t i)
{
	const char *version = s->version;

	for (size_t k = 0; k < i; k++)
		if (address_is(s->backend[i].url, s->backend[k].url, "") ||
		    (version[0] != '\0' && span_is(s->backend[i].version, version) && span_is(s->backend[k].version, version)))
			return true;
	return false;
}

static void check_backends(struct sight *s)
{
	char shown[FOREIGN_BYTES];

	s->connected = true;
	for (size_t i = 0; i < s->n_backends; i++) {
		if (is_twice(s, i)) {
			found_fault(s->f, FAULT_TWICE, s->what, "prelabel is connected twice, the second time at %s\nDelete one of the two in "
			            "Label Studio, Settings > Model: only the first one predicts, and every event comes twice.",
			            foreign(s->backend[i].url, shown));
			continue;
		}
		s->connected &= check_state(s, &s->backend[i]);
	}
}

/* ---- webhooks ------------------------------------------------------------------------ */

static int take_hook(void *arg, struct span one, struct err *e)
{
	struct sight *s = arg;
	struct hook  *h = &s->hook[s->n_hooks];
	struct span   headers = LS_NO_BODY, actions = LS_NO_BODY;
	int64_t       us;

	if (s->n_hooks == HOOKS_MAX)
		return 0;
	(void)json_member(one, "headers", &headers);
	(void)json_member(one, "actions", &actions);
	*h = (struct hook){ .url = ls_rest_text(one, "url", &s->a), .active = ls_rest_true(one, "is_active"),
	                    .payload = ls_rest_true(one, "send_payload"), .all = ls_rest_true(one, "send_for_all_actions") };
	if ((headers.p != NULL && (headers.p = arena_copy(&s->a, headers)) == NULL) ||
	    (actions.p != NULL && (actions.p = arena_copy(&s->a, actions)) == NULL))
		return err_memory(e);
	h->headers = headers;
	h->actions = actions;
	if (clock_parse_iso(ls_rest_text(one, "updated_at", &s->a), &us) == 0)
		h->changed_s = us / 1000000;
	s->n_hooks++;
	return 0;
}

/* "user:p%40ss" as the header that python-requests makes of it; "" when it is too long. */
static void basic_of(struct span userinfo, char out[1024])
{
	char   text[512];
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < userinfo.len && n < sizeof text; i++) {
		char hex[3] = { 0 };

		if (userinfo.p[i] == '%' && i + 2 < userinfo.len) {
			memcpy(hex, userinfo.p + i + 1, 2);
			text[n++] = (char)strtol(hex, NULL, 16);
			i += 2;
		} else {
			text[n++] = userinfo.p[i];
		}
	}
	if (userinfo.len == 0 || n == sizeof text)
		return;
	memcpy(out, "Basic ", 6);
	sodium_bin2base64(out + 6, 1024 - 6, (const unsigned char *)text, n, sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(text, sizeof text);
}

enum secret { SECRET_RIGHT, SECRET_NONE, SECRET_WRONG };

/* Does the webhook carry what this backend asks of it? */
static enum secret secret_of(struct sight *s, const struct hook *h)
{
	const struct env *env = s->p->env;
	struct json_iter  it = json_each(h->headers);
	struct span       key, value, name, text;
	struct auth       auth;
	char              basic[1024];
	enum secret       is = SECRET_NONE;

	if (env->webhook_secret == NULL && env->auth_user == NULL)
		return SECRET_RIGHT;
	auth_init(&auth, env);
	basic_of(address_of(h->url).userinfo, basic);
	if (basic[0] != '\0')
		is = auth_basic(&auth, basic) ? SECRET_RIGHT : SECRET_WRONG;
	while (is != SECRET_RIGHT && json_next(&it, &key, &value)) {
		if (json_text(key, &s->a, &name, NULL) != 0 || json_text(value, &s->a, &text, NULL) != 0 ||
		    (text.p = arena_copy(&s->a, text)) == NULL)
			continue;
		if (env->webhook_secret != NULL && name.len == 16 && strncasecmp(name.p, "X-Webhook-Secret", 16) == 0)
			is = auth_secret(&auth, text.p) ? SECRET_RIGHT : SECRET_WRONG;
		else if (env->auth_user != NULL && name.len == 13 && strncasecmp(name.p, "Authorization", 13) == 0)
			is = auth_basic(&auth, text.p) ? SECRET_RIGHT : SECRET_WRONG;
	}
	sodium_memzero(basic, sizeof basic);
	return is;
}

static bool has_actions(const struct hook *h)
{
	static const char *const needed[] = { "ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED", "ANNOTATIONS_DELETED",
	                                      "TASKS_DELETED", "PROJECT_UPDATED" };
	struct json_iter         it;
	struct span              one;

	for (size_t i = 0; !h->all && i < countof(needed); i++) {
		bool there = false;

		for (it = json_each(h->actions); json_next(&it, NULL, &one); )
			there |= json_is(one, span_of(needed[i]));
		if (!there)
			return false;
	}
	return true;
}

/* Is it that of this backend: BACKEND/webhook?  With a slash behind that nobody answers. */
static bool is_of(const struct hook *h, struct span backend)
{
	return address_is(h->url, backend, "/webhook") && address_trimmed(h->url).len == h->url.len;
}

/* One of them that was meant for us, by its end or its host. */
static const struct hook *meant_for_us(const struct sight *s, struct span backend)
{
	const struct span host = address_of(backend).host;

	for (size_t i = 0; i < s->n_hooks; i++) {
		const struct span    url = address_trimmed(s->hook[i].url);
		const struct address a = address_of(url);

		if ((url.len >= 8 && memcmp(url.p + url.len - 8, "/webhook", 8) == 0) || (host.len > 0 && span_eq(a.host, host)))
			return &s->hook[i];
	}
	return NULL;
}

#define CONNECT "prelabel connect --project %lld makes it right."

static void check_hook(struct sight *s, const struct hook *h)
{
	const enum secret secret = secret_of(s, h);
	const char       *header = s->p->env->webhook_secret != NULL ? "X-Webhook-Secret" : "Authorization";
	const size_t      before = s->f->faults;
	char              shown[FOREIGN_BYTES];

	if (!h->active)
		found_fault(s->f, FAULT_HOOK_INACTIVE, s->what, "the webhook is inactive: no annotation is told\nSwitch it on in Label "
		            "Studio, Settings > Webhooks; " CONNECT, (long long)s->id);
	if (!h->payload)
		found_fault(s->f, FAULT_HOOK_PAYLOAD, s->what, "the webhook is sent without its payload: prelabel is told that something "
		            "happened, but not what\nTick \"Send payload\" in Label Studio, Settings > Webhooks; " CONNECT, (long long)s->id);
	if (!has_actions(h))
		found_fault(s->f, FAULT_HOOK_ACTIONS, s->what, "the webhook is sent for some actions only, and annotations or their "
		            "deletions are not all among them\nTick \"Send for all actions\" in Label Studio, Settings > Webhooks; " CONNECT,
		            (long long)s->id);
	if (secret == SECRET_NONE)
		found_fault(s->f, FAULT_HOOK_NO_SECRET, s->what, "the webhook has no header %s, and prelabel refuses it without\nGive it "
		            "the header in Label Studio, Settings > Webhooks; " CONNECT, header, (long long)s->id);
	if (secret == SECRET_WRONG)
		found_fault(s->f, FAULT_HOOK_SECRET, s->what, "the webhook's credentials are not those of this backend's settings (%s), and "
		            "prelabel refuses it\nPut the right value into the header in Label Studio, Settings > Webhooks; " CONNECT,
		            s->p->env->webhook_secret != NULL ? "WEBHOOK_SECRET" : "BASIC_AUTH_USER, BASIC_AUTH_PASS", (long long)s->id);
	if (s->f->faults == before)
		found(s->f, s->what, "the webhook is active: %s", foreign(h->url, shown));
}

/* Refused since the last one that was taken; where the webhook itself is right, and was
 * so by then: which project's was refused is not known. */
static void check_refused(struct sight *s, int64_t changed_s)
{
	struct meter m;
	int64_t      last;
	char         iso[CLOCK_ISO_BYTES];

	if (s->row == 0 || !meter_peek(s->p->env->model_dir, &m) || (last = (int64_t)m.counter[METER_REFUSED_S]) == 0)
		return;
	if (changed_s <= last && (s->kept.webhook_s == STORE_NULL || s->kept.webhook_s <= last))
		found_fault(s->f, FAULT_HOOK_REFUSED, s->what, "webhooks were refused (%" PRIu64 "), the last at %s, and none was taken since\n"
		            "Annotate one task: if this stays, %s.", meter_refused(&m), clock_iso(last, iso), AUTH_WEBHOOK_CURE);
}

static void check_hooks(struct sight *s)
{
	const struct backend *b = &s->backend[0];
	const struct hook    *meant;
	const size_t          before = s->f->faults;
	char                  shown[FOREIGN_BYTES];
	size_t                n = 0;
	int64_t               changed_s = 0;

	if (refuses(s->p, "/api/webhooks/", address_trimmed(b->url), "/webhook")) {
		found_fault(s->f, FAULT_BLOCKS_WEBHOOK, s->what, "Label Studio sends no webhooks to private addresses, as %s: predictions "
		            "work, training never happens\nStart Label Studio with SSRF_PROTECTION_ENABLED=false in its environment, then "
		            "connect again (prelabel connect --project %lld).", foreign(b->url, shown), (long long)s->id);
		return;
	}
	for (size_t i = 0; i < s->n_hooks; i++)
		if (is_of(&s->hook[i], b->url) && n++ == 0) {
			check_hook(s, &s->hook[i]);
			changed_s = s->hook[i].changed_s;
		}
	if (n == 0 && (meant = meant_for_us(s, b->url)) != NULL)
		found_fault(s->f, FAULT_HOOK_URL, s->what, "there is a webhook, but it goes to %s, which is not the backend's address\nSet its "
		            "URL to that of the backend with /webhook behind it; " CONNECT, foreign(meant->url, shown), (long long)s->id);
	else if (n == 0)
		found_fault(s->f, FAULT_HOOK_MISSING, s->what, "there is no webhook: predictions work, training never happens\nMake one in "
		            "Label Studio, Settings > Webhooks, to the backend's URL with /webhook behind it; " CONNECT, (long long)s->id);
	if (s->f->faults == before)
		check_refused(s, changed_s);
}

/* ---- predictions --------------------------------------------------------------------- */

/* Of stored predictions: how many are of `version`; of an older one of ours. */
struct counts {
	bool    known;
	int64_t now, older, named;
};

/* Is it a version of the same kinds?  KINDS-NUMBER-HASH. */
static bool is_ours(struct span version, const char *now)
{
	const char *hash = strrchr(now, '-'), *number = hash == NULL ? NULL : memrchr(now, '-', (size_t)(hash - now));
	size_t      len = number == NULL ? 0 : (size_t)(number + 1 - now);

	return len > 0 && version.len > len && memcmp(version.p, now, len) == 0;
}

static void count_predictions(struct sight *s, struct span project_version, struct counts *c)
{
	const char      *now = s->version;
	struct json_iter it;
	struct span      answer, key, value, name;
	int64_t          n;

	*c = (struct counts){ .known = false };
	if (ls_rest(s->p->api, "GET", LS_NO_BODY, &s->a, &answer, NULL, "/api/projects/%lld/model-versions/", (long long)s->id) < 0 ||
	    answer.p == NULL || json_type(answer) != JSON_OBJECT)
		return;                        /* older ones do not count them */
	c->known = true;
	for (it = json_each(answer); json_next(&it, &key, &value); ) {
		if (json_text(key, &s->a, &name, NULL) != 0 || json_int(value, 0, INT64_MAX, &n) < 0)
			continue;
		if (span_eq(name, project_version))
			c->named += n;
		if (span_is(name, now))
			c->now += n;
		else if (is_ours(name, now))
			c->older += n;
	}
}

/* Has a task that is open a prediction, of whichever version?  True where it can't be
 * told.  The filter: is_labeled equal "false", total_predictions greater 0. */
static bool open_has_prediction(struct sight *s)
{
	static const char path[] = "/api/tasks?project=%lld&page=1&page_size=1&resolve_uri=false&query="
		"%%7B%%22filters%%22%%3A%%7B%%22conjunction%%22%%3A%%22and%%22%%2C%%22items%%22%%3A%%5B"
		"%%7B%%22filter%%22%%3A%%22filter%%3Atasks%%3Ais_labeled%%22%%2C%%22operator%%22%%3A%%22equal%%22%%2C"
		"%%22type%%22%%3A%%22Boolean%%22%%2C%%22value%%22%%3A%%22false%%22%%7D%%2C"
		"%%7B%%22filter%%22%%3A%%22filter%%3Atasks%%3Atotal_predictions%%22%%2C%%22operator%%22%%3A%%22greater%%22%%2C"
		"%%22type%%22%%3A%%22Number%%22%%2C%%22value%%22%%3A0%%7D%%5D%%7D%%7D";
	struct span answer;

	return ls_rest(s->p->api, "GET", LS_NO_BODY, &s->a, &answer, NULL, path, (long long)s->id) < 0 || answer.p == NULL ||
	       ls_rest_int(answer, "total") != 0;
}

static bool is_title(const struct sight *s, struct span name)
{
	for (size_t i = 0; i < s->n_backends; i++)
		if (span_eq(s->backend[i].title, name))
			return true;
	return false;
}

static void check_predictions(struct sight *s)
{
	const struct span version = ls_rest_text(s->remote, "model_version", &s->a), sampling = ls_rest_text(s->remote, "sampling", &s->a);
	const bool        random = span_is(sampling, "Uncertainty sampling");
	const int64_t     tasks = ls_rest_int(s->remote, "task_number"), done = ls_rest_int(s->remote, "num_tasks_with_annotations");
	struct span       shown;
	struct counts     c;
	char              text[FOREIGN_BYTES];

	if (json_member(s->remote, "show_collab_predictions", &shown) == 0 && !json_true(shown)) {
		found_fault(s->f, FAULT_PREDICTIONS_OFF, s->what, "predictions are switched off in the project\nTick \"Use predictions to "
		            "prelabel tasks\" in Label Studio, Settings > Annotation; " CONNECT, (long long)s->id);
		return;
	}
	count_predictions(s, version, &c);
	if (c.known && random && c.named == 0 && tasks > done)
		found_fault(s->f, FAULT_RANDOM, s->what, "uncertainty sampling serves tasks in random order: the project's version is \"%s\", "
		            "and no prediction is of it\nprelabel connect --project %lld --uncertainty makes project, predictions and "
		            "backend agree.", foreign(version, text), (long long)s->id);
	else if (c.known && version.len == 0 && !is_title(s, version))
		found_fault(s->f, FAULT_OTHER_MODEL, s->what, "the project takes its predictions from no model\nChoose the backend in Label "
		            "Studio, Settings > Annotation > Use predictions to prelabel tasks; " CONNECT, (long long)s->id);
	else if (c.known && c.named == 0 && !is_title(s, version))
		found_fault(s->f, FAULT_OTHER_MODEL, s->what, "the project takes its predictions from \"%s\", which is neither this backend "
		            "nor the version of a prediction\nChoose the backend in Label Studio, Settings > Annotation > Use predictions to "
		            "prelabel tasks.", foreign(version, text));
	if (c.known && c.older > 0 && c.now == 0 && tasks > done && open_has_prediction(s))
		found_fault(s->f, FAULT_BEHIND, s->what, "no prediction is of %s, which serves now; of older versions: %lld\n"
		            "prelabel push --project %lld writes new ones; so does Retrieve Predictions in Label Studio's Data Manager.",
		            s->version, (long long)c.older, (long long)s->id);
	else
		found(s->f, s->what, "%lld predictions of the version in force, %lld older", (long long)c.now, (long long)c.older);
}

/* ---- what the store says ----------------------------------------------------------------- */

static bool is_served(const struct sight *s, const struct label_config *config)
{
	const struct model_kind *kind[MODEL_KINDS_MAX];
	struct model_settings    settings;
	struct arena             a;
	bool                     is;

	arena_init(&a, ARENA_BYTES);
	serving_settings(s->p->env, &s->kept, &settings);
	is = model_kinds_for(config, serving_kinds(s->p->env, &s->kept, &a), &settings, kind) > 0;
	arena_clear(&a);
	return is;
}

/* False: nothing can be learned from it. */
static bool check_config(struct sight *s, struct span xml)
{
	struct label_config *config = NULL;
	struct err           e = { 0 };
	bool                 good = false;

	if (xml.p == NULL)
		return s->row != 0;
	if (label_config_parse(&config, xml, &e) < 0 || !is_served(s, config))
		found_fault(s->f, FAULT_CONFIG, s->what, "nothing can be predicted with the labeling config: %s\nUse a config with Choices over "
		            "a Text (Label Studio, Settings > Labeling Interface), or a model of your own for it.",
		            config == NULL ? e.msg : config->reason == NULL ? "no kind of model is for it" : config->reason);
	else if (config->choices != NULL && config->choices->n_labels < LABELS_MIN)
		found_fault(s->f, FAULT_LABELS, s->what, "the labeling config has %zu label%s, and a model needs %d\nAdd labels in Label Studio, "
		            "Settings > Labeling Interface.", config->choices->n_labels, config->choices->n_labels == 1 ? "" : "s", LABELS_MIN);
	else
		good = true;
	label_config_free(config);
	return good;
}

/* Enough events for a training, and yet one label only. */
static bool few_labels(struct sight *s)
{
	struct project_counts counts;
	struct label_config  *config = NULL;
	struct err            e = { 0 };
	size_t                n = LABELS_MIN;

	if (s->kept.version.row == 0 && s->kept.label_config.p != NULL && label_config_parse(&config, s->kept.label_config, &e) == 0 &&
	    config->choices != NULL && (examples_labels(s->p->st, s->row, config, LABELS_MIN, &n, &e) < 0 ||
	                                store_project_counts(s->p->st, s->row, &counts, &e) < 0 ||
	                                counts.annotations < s->p->env->train_every))
		n = LABELS_MIN;
	label_config_free(config);
	if (n < LABELS_MIN)
		found_fault(s->f, FAULT_LABELS, s->what, "%lld annotations have %zu different label%s, and a model needs %d\nLabel tasks of other "
		            "kinds, too.", (long long)counts.annotations, n, n == 1 ? "" : "s", LABELS_MIN);
	return n < LABELS_MIN;
}

static void check_trainer(struct sight *s)
{
	struct job job;
	struct err e = { 0 };
	char       note[FOREIGN_BYTES];

	if (few_labels(s))
		return;
	if (store_job_last(s->p->st, s->row, &s->a, &job, &e) != 0 || job.state == JOB_DONE || job.state == JOB_RUNNING) {
		found(s->f, s->what, "%s", s->state);
		return;
	}
	foreign(job.note, note);
	if (job.state == JOB_SKIPPED && s->kept.version.row == 0) {
		found_fault(s->f, FAULT_LABELS, s->what, "a training found too little to learn from: %s\nLabel more tasks, with at least %d "
		            "different labels.", note, LABELS_MIN);
		return;
	}
	/* What Label Studio answers is known by now, and better. */
	if (job.state == JOB_FAILED || (job.state == JOB_QUEUED && job.note.p != NULL && job.attempt > 0)) {
		if (s->p->api != NULL)
			found_fault(s->f, FAULT_TRAINER, s->what, "the last training failed%s: %s\nSee MODEL_DIR/train.log, then prelabel train "
			            "--project %lld.", job.state == JOB_QUEUED ? " and is tried again" : "", note, (long long)s->id);
	} else if (job.state == JOB_QUEUED && clock_s() - job.queued_s > QUEUED_S) {
		found_fault(s->f, FAULT_TRAINER_ABSENT, s->what, "a training has been queued for %lld s, and no trainer takes it\nStart prelabel "
		            "(prelabel start), or the timer that runs prelabel train --due.", (long long)(clock_s() - job.queued_s));
	} else {
		found(s->f, s->what, "%s", s->state);
	}
}

/* ---- the project ------------------------------------------------------------------------------ */

/* After Label Studio was asked, since reading the backend's record makes the project known. */
static void read_kept(struct sight *s)
{
	struct err e = { 0 };

	if (s->p->st == NULL || store_project_find(s->p->st, s->id, STORE_NULL, &s->row, &e) != 0 ||
	    store_project_get(s->p->st, s->row, &s->a, &s->kept, &e) < 0 ||
	    status_brief(s->p->st, s->p->env, s->row, s->version, s->state, &e) < 0)
		s->row = 0;
	if (e.code != ERR_OK)
		found_fault(s->f, FAULT_STORE, s->what, "%s\n" DOCTOR_STORE_CURE, e.msg);
}

static void note_answer(struct sight *s)
{
	struct err e = { 0 };

	if (store_begin(s->p->st, &e) == 0 && store_project_answered(s->p->st, s->row, clock_s(), &e) == 0 &&
	    store_commit(s->p->st, &e) == 0)
		return;
	store_rollback(s->p->st);
}

/* False: it is not there, or can't be read. */
static bool read_remote(struct sight *s)
{
	struct ls_api *api = s->p->api;
	struct err     e = { 0 };

	if (ls_rest(api, "GET", LS_NO_BODY, &s->a, &s->remote, &e, "/api/projects/%lld/", (long long)s->id) == 0 &&
	    ls_rest_each(api, take_backend, s, &e, "/api/ml/?project=%lld", (long long)s->id) == 0 &&
	    ls_rest_each(api, take_hook, s, &e, "/api/webhooks/?project=%lld", (long long)s->id) == 0)
		return true;
	if (e.code == ERR_NOT_FOUND)
		found_fault(s->f, FAULT_PROJECT, s->what, "Label Studio has no such project, or the key's owner may not see it\nIf it was "
		            "deleted: prelabel forget --project %lld; else use a key of a member.", (long long)s->id);
	else
		found_fault(s->f, FAULT_LS_ERROR, s->what, "%s\nLook at Label Studio's log.", e.msg);
	return false;
}

static bool is_another(struct sight *s)
{
	struct span created = ls_rest_text(s->remote, "created_at", &s->a);
	int64_t     us;

	if (s->row == 0 || s->kept.created_s == STORE_NULL || clock_parse_iso(created, &us) < 0 || us / 1000000 == s->kept.created_s)
		return false;
	found_fault(s->f, FAULT_PROJECT, s->what, "what is kept under this number is of another project: Label Studio's database was made "
	            "anew\nprelabel forget --project %lld deletes it; then connect the new one: prelabel connect --project %lld.",
	            (long long)s->id, (long long)s->id);
	return true;
}

static void look(struct sight *s)
{
	const bool remote = s->p->api != NULL && read_remote(s);

	if (s->p->api != NULL && !remote)
		return;
	read_kept(s);
	if (remote && is_another(s))
		return;
	if (remote && s->row != 0)
		note_answer(s);
	if (remote && s->n_backends == 0) {
		not_connected(s->p, s->what, s->id);
		return;
	}
	if (remote)
		check_backends(s);
	if (!check_config(s, remote ? ls_rest_text(s->remote, "label_config", &s->a) : s->kept.label_config))
		return;
	if (remote && s->connected) {
		check_hooks(s);
		check_predictions(s);
	}
	if (s->row != 0)
		check_trainer(s);
}

void doctor_project(struct patient *p, int64_t id)
{
	struct sight s = { .p = p, .f = p->f, .id = id };

	snprintf(s.what, sizeof s.what, "project %lld", (long long)id);
	arena_init(&s.a, ARENA_BYTES);
	p->f->project = id;
	look(&s);
	p->f->project = 0;
	arena_clear(&s.a);
}
