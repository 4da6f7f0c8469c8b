/* connect.c - a project of Label Studio and this backend brought together, and apart. */
#include "connect.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "push.h"
#include "reconcile.h"
#include "studio/address.h"
#include "studio/label_config.h"
#include "studio/ls_rest.h"
#include "task_file.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ARENA_BYTES   ((size_t)256 << 20)
#define CONFIG_BYTES  ((size_t)1 << 20)
#define BODY_BYTES    ((size_t)96 << 20)
#define IMPORT_TASKS  500                   /* in one request: Label Studio has a minute for them */
#define IMPORT_BYTES  ((size_t)4 << 20)
#define URL_BYTES     512
#define FOUND_MAX     32                    /* backends or webhooks with our address */
#define PUSH_WAIT     60                    /* s, for one that was told to end */
#define OUR_TITLE     "prelabel"
#define SEQUENTIAL    "Sequential sampling"
#define UNCERTAINTY   "Uncertainty sampling"

const char *const connect_did_names[CONNECT__MAX] = {
	[CONNECT_RIGHT] = "ok", [CONNECT_MADE] = "made", [CONNECT_CHANGED] = "changed", [CONNECT_REMOVED] = "removed",
	[CONNECT_WARNING] = "warning", [CONNECT_NEXT] = "next",
};

/* A backend or a webhook of the project. */
struct found {
	int64_t     id;
	struct span json;            /* in the arena */
};

struct connection {
	struct store                 *st;
	const struct env             *env;
	const struct connect_options *o;
	struct connect_report        *r;
	struct ls_api                *api;
	struct arena                  arena;
	char                          url[URL_BYTES], hook[URL_BYTES + 16];   /* ours */
	char                          header[32];      /* of the webhook; "": needs none */
	char                         *value;           /* of that header: a secret, on the heap */
	int64_t                       id;              /* 0: a project that a dry run does not make */
	struct span                   project;         /* as Label Studio has it */
	struct span                   config;          /* its labeling config */
	const char                   *text_key;        /* where a text stands in a task's data */
	struct span                   title;           /* of our backend in Label Studio */
	struct found                  found[FOUND_MAX];
	size_t                        n_found;
	struct span                   first_backend;   /* of any address: the one that predicts */
	bool                          lacked;          /* memory, for something that Label Studio said */
};

/* What has no memory reads as none, and is noted: nothing is changed after that. */
static struct span text_of(struct connection *c, struct span object, const char *key)
{
	struct span value, text;
	struct err  why = { 0 };

	if (json_member(object, key, &value) != 0)
		return LS_NO_BODY;
	if (json_text(value, &c->arena, &text, &why) == 0 && (text.p = arena_copy(&c->arena, text)) != NULL)
		return text;
	c->lacked |= why.code == ERR_MEMORY || (why.code == ERR_OK && json_type(value) == JSON_STRING);
	return LS_NO_BODY;
}

/* ---- telling ------------------------------------------------------------------------ */

static void __attribute__((format(printf, 4, 5)))
tell(struct connection *c, const char *what, enum connect_did did, const char *fmt, ...)
{
	char    text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_plain(text);
	c->r->changes += did == CONNECT_MADE || did == CONNECT_CHANGED || did == CONNECT_REMOVED;
	c->r->step(c->r->arg, what, did, text);
}

static void __attribute__((format(printf, 2, 3))) cure(struct connection *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->r->cure, sizeof c->r->cure, fmt, ap);
	va_end(ap);
}

/* How much of a text goes into a message: no half character. */
static int shown(struct span s)
{
	size_t n = s.len > 80 ? 80 : s.len;

	while (n > 0 && n < s.len && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return (int)n;
}

/* ---- bodies --------------------------------------------------------------------------- */

static void member(struct buf *b, const char *key)
{
	buf_addc(b, b->len == 0 ? '{' : ',');
	json_put_text(b, span_of(key));
	buf_addc(b, ':');
}

static void member_text(struct buf *b, const char *key, struct span text)
{
	member(b, key);
	json_put_text(b, text);
}

static void member_true(struct buf *b, const char *key)
{
	member(b, key);
	buf_adds(b, "true");
}

static void member_int(struct buf *b, const char *key, int64_t n)
{
	member(b, key);
	json_put_int(b, n);
}

/* It may hold a password. */
static void wipe(struct buf *b)
{
	if (b->p != NULL)
		sodium_memzero(b->p, b->len);
	buf_clear(b);
}

/* Every call that changes something in Label Studio: the one place where a dry run
 * stops.  *answer may be NULL. */
static int call(struct connection *c, const char *method, struct span body, struct span *answer, struct err *e,
                const char *path)
{
	if (answer != NULL)
		*answer = LS_NO_BODY;
	/* Or what Label Studio has would be made again. */
	if (c->lacked)
		return err_memory(e);
	return c->o->dry_run ? 0 : ls_rest(c->api, method, body, &c->arena, answer, e, "%s", path);
}

/* On a collection (id 0), or one of it.  body: without its closing brace, or NULL. */
static int change(struct connection *c, const char *method, struct buf *body, struct span *answer, struct err *e,
                  const char *collection, int64_t id)
{
	char path[80];

	if (id == 0)
		snprintf(path, sizeof path, "/api/%s/", collection);
	else    /* a backend's path is the one without a slash at its end */
		snprintf(path, sizeof path, "/api/%s/%" PRId64 "%s", collection, id, strcmp(collection, "ml") == 0 ? "" : "/");
	if (body != NULL)
		buf_addc(body, '}');
	if (body != NULL && buf_check(body, "a request", e) < 0)
		return -1;
	return call(c, method, body == NULL ? LS_NO_BODY : buf_span(body), answer, e, path);
}

/* ---- addresses ------------------------------------------------------------------------- */

static int take_url(struct connection *c, struct err *e)
{
	char        local[64];
	const char *url = c->o->url, *rest;

	if (url == NULL) {
		snprintf(local, sizeof local, "http://localhost:%" PRId64, c->env->port);
		url = local;
	}
	rest = strstr(url, "://");
	if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) || strlen(url) >= URL_BYTES ||
	    strpbrk(url, " \t\r\n?#\"<>\\") != NULL || rest == NULL || rest[3] == '\0')
		return err_set(e, ERR_USAGE, "--url takes the address of this backend, http://host:port, as Label Studio reaches it");
	/* Label Studio would show them, and repeat them in its messages. */
	if (strchr(url, '@') != NULL)
		return err_set(e, ERR_USAGE, "--url is to hold no user and password: BASIC_AUTH_USER and BASIC_AUTH_PASS are "
		               "handed to Label Studio as they have to be");
	snprintf(c->url, sizeof c->url, "%.*s", (int)address_trimmed(span_of(url)).len, url);
	snprintf(c->hook, sizeof c->hook, "%s/webhook", c->url);
	return 0;
}

/* ---- the header of the webhook ---------------------------------------------------------- */

/* A header's value: printable ASCII, nothing that is stripped on the way. */
static bool fits_header(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] > 0x7e)
			return false;
	return n > 0 && s[0] != ' ' && s[n - 1] != ' ';
}

static int take_header(struct connection *c, struct err *e)
{
	const struct env *env = c->env;
	char             *pair = NULL;
	size_t            n;

	if (env->auth_user != NULL && (!fits_header(env->auth_user) || !fits_header(env->auth_pass)))
		return err_set(e, ERR_USAGE, "BASIC_AUTH_USER and BASIC_AUTH_PASS have to be printable ASCII: Label Studio sends "
		               "no others");
	if (env->webhook_secret != NULL) {
		if (!fits_header(env->webhook_secret))
			return err_set(e, ERR_USAGE, "WEBHOOK_SECRET has to be printable ASCII without spaces around it: it goes into "
			               "a header");
		snprintf(c->header, sizeof c->header, "X-Webhook-Secret");
		c->value = strdup(env->webhook_secret);
		return c->value == NULL ? err_memory(e) : 0;
	}
	if (env->auth_user == NULL)
		return 0;
	snprintf(c->header, sizeof c->header, "Authorization");
	if (asprintf(&pair, "%s:%s", env->auth_user, env->auth_pass) < 0)
		return err_memory(e);
	n = sodium_base64_encoded_len(strlen(pair), sodium_base64_VARIANT_ORIGINAL);
	c->value = malloc(n + 6);
	if (c->value != NULL) {
		memcpy(c->value, "Basic ", 6);
		sodium_bin2base64(c->value + 6, n, (unsigned char *)pair, strlen(pair), sodium_base64_VARIANT_ORIGINAL);
	}
	sodium_memzero(pair, strlen(pair));
	free(pair);
	return c->value == NULL ? err_memory(e) : 0;
}

/* ---- who asks --------------------------------------------------------------------------- */

static int ask_user(struct connection *c, struct err *e)
{
	struct span user;
	struct err  why = { 0 };

	if (ls_rest(c->api, "GET", LS_NO_BODY, &c->arena, &user, &why, "/api/current-user/whoami") == 0) {
		if (json_type(user) == JSON_OBJECT && ls_rest_int(user, "id") > 0)
			return 0;
		why.code = ERR_NOT_FOUND;
	}
	/* Of a personal token already its exchange finds nothing there. */
	if (ls_api_status(c->api) == 404)
		why.code = ERR_NOT_FOUND;
	if (why.code == ERR_AUTH)
		cure(c, "Make a personal access token in Label Studio, Account & Settings > Personal Access Token, and set "
		     "LABEL_STUDIO_API_KEY to it");
	else if (why.code == ERR_NOT_FOUND || why.code == ERR_REMOTE)
		cure(c, "Set LABEL_STUDIO_HOST to the address of Label Studio as this machine reaches it, prefix of its path included");
	if (why.code == ERR_NOT_FOUND)
		return err_set(e, ERR_REMOTE, "what answers at LABEL_STUDIO_HOST=%.120s is not Label Studio", c->env->ls_url);
	return err_set(e, why.code, "%s", why.msg);
}

/* ---- the project ------------------------------------------------------------------------ */

static int read_project(struct connection *c, int64_t id, struct err *e)
{
	struct err why = { 0 };

	if (ls_rest(c->api, "GET", LS_NO_BODY, &c->arena, &c->project, &why, "/api/projects/%" PRId64 "/", id) < 0) {
		if (why.code != ERR_NOT_FOUND)
			return err_set(e, why.code, "%s", why.msg);
		cure(c, "Its number is in the address of its page: %.150s/projects/N", c->env->ls_url);
		return err_set(e, ERR_NOT_FOUND, "Label Studio has no project %" PRId64 " for the owner of this key", id);
	}
	c->id = c->r->project = id;
	c->config = text_of(c, c->project, "label_config");
	return 0;
}

struct search {
	struct connection *c;
	struct span        title;
	int64_t            id;
	size_t             n;
};

static int is_titled(void *arg, struct span project, struct err *e)
{
	struct search *s = arg;
	struct span    title = text_of(s->c, project, "title");

	(void)e;
	if (span_eq(title, s->title)) {
		s->id = ls_rest_int(project, "id");
		s->n++;
	}
	return 0;
}

/* 1: none. */
static int find_by_title(struct connection *c, int64_t *id, struct err *e)
{
	struct search s = { .c = c, .title = span_of(c->o->title) };
	struct buf    b;
	int           rc;

	buf_init(&b, 4096);
	ls_rest_put_encoded(&b, span_of(c->o->title));
	if ((rc = buf_check(&b, "--title", e)) == 0)
		rc = ls_rest_each(c->api, is_titled, &s, e, "/api/projects/?title=%s", b.p);
	buf_clear(&b);
	if (rc < 0)
		return -1;
	if (s.n > 1) {
		cure(c, "Name one of them with --project N");
		return err_set(e, ERR_USAGE, "%zu projects have the title \"%.*s\"", s.n, shown(s.title), s.title.p);
	}
	*id = s.id;
	return s.n == 0;
}

static int read_config_file(struct connection *c, struct err *e)
{
	FILE *f = fopen(c->o->config, "re");
	char *p = arena_alloc(&c->arena, CONFIG_BYTES);

	if (f == NULL)
		return err_set(e, ERR_NOT_FOUND, "%.100s: %s", c->o->config, strerror(errno));
	if (p == NULL) {
		fclose(f);
		return err_memory(e);
	}
	c->config = (struct span){ p, fread(p, 1, CONFIG_BYTES, f) };
	fclose(f);
	while (c->config.len > 0 && isspace((unsigned char)p[c->config.len - 1]))
		c->config.len--;
	return 0;
}

/* One text in, one of these labels out. */
static int make_config(struct connection *c, struct err *e)
{
	struct buf b;
	int        rc;

	buf_init(&b, CONFIG_BYTES);
	buf_adds(&b, "<View>\n  <Text name=\"text\" value=\"$text\"/>\n"
	         "  <Choices name=\"label\" toName=\"text\" choice=\"single\" showInLine=\"true\">\n");
	for (size_t i = 0; i < c->o->n_labels; i++) {
		buf_adds(&b, "    ");
		label_config_put_choice(&b, span_of(c->o->labels[i]));
		buf_addc(&b, '\n');
	}
	buf_adds(&b, "  </Choices>\n</View>");
	rc = buf_check(&b, "the labeling config", e);
	if (rc == 0) {
		c->config = buf_span(&b);
		if ((c->config.p = arena_copy(&c->arena, c->config)) == NULL)
			rc = err_memory(e);
	}
	buf_clear(&b);
	return rc;
}

/* The config that was asked for, by a file or by labels. */
static int wanted_config(struct connection *c, struct err *e)
{
	struct label_config *parsed;
	struct err           why = { 0 };

	if ((c->o->config != NULL ? read_config_file(c, e) : make_config(c, e)) < 0)
		return -1;
	if (label_config_parse(&parsed, c->config, &why) < 0)
		return err_set(e, ERR_USAGE, "%.80s: %.140s", c->o->config == NULL ? "--label" : c->o->config, why.msg);
	label_config_free(parsed);
	return 0;
}

static int make_project(struct connection *c, struct err *e)
{
	const struct span title = span_of(c->o->title);
	struct buf        body;
	int64_t           id;
	int               rc;

	buf_init(&body, BODY_BYTES);
	member_text(&body, "title", title);
	member_text(&body, "label_config", c->config);
	rc = change(c, "POST", &body, &c->project, e, "projects", 0);
	buf_clear(&body);
	if (rc < 0)
		return -1;
	if (c->o->dry_run) {
		tell(c, "project", CONNECT_MADE, "\"%.*s\"", shown(title), title.p);
		return 0;
	}
	if ((id = ls_rest_int(c->project, "id")) < 1)
		return err_set(e, ERR_REMOTE, "Label Studio's answer to POST /api/projects/ has no id");
	c->id = c->r->project = id;
	tell(c, "project", CONNECT_MADE, "%" PRId64 " \"%.*s\"", id, shown(title), title.p);
	return 0;
}

/* Where a text goes in the data of a task: "text" where the config does not say. */
static void note_text_key(struct connection *c)
{
	struct label_config *parsed;

	c->text_key = "text";
	if (c->config.p == NULL || label_config_parse(&parsed, c->config, NULL) < 0)
		return;
	for (size_t i = 0; i < parsed->n_controls; i++)
		for (size_t j = 0; j < parsed->controls[i].n_inputs; j++)
			if (parsed->controls[i].inputs[j]->value != NULL) {
				const char *key = arena_copy(&c->arena, span_of(parsed->controls[i].inputs[j]->value));

				c->text_key = key == NULL ? "text" : key;
				i = parsed->n_controls - 1;
				break;
			}
	label_config_free(parsed);
}

static int find_project(struct connection *c, struct err *e)
{
	const bool  wants = c->o->config != NULL || c->o->n_labels > 0;
	struct span title, wanted = { NULL, 0 };
	int64_t     id = c->o->project;
	int         rc = 0;

	if (wants && wanted_config(c, e) < 0)
		return -1;
	wanted = c->config;
	if (c->o->title != NULL && (rc = find_by_title(c, &id, e)) < 0)
		return -1;
	if (rc == 1 && !wants) {
		cure(c, "To make it, say with which labels: --label A --label B, or --config FILE");
		return err_set(e, ERR_NOT_FOUND, "Label Studio has no project with the title \"%.*s\"", shown(span_of(c->o->title)),
		               c->o->title);
	}
	if (rc == 1)
		return make_project(c, e);
	if (read_project(c, id, e) < 0)
		return -1;
	title = text_of(c, c->project, "title");
	tell(c, "project", CONNECT_RIGHT, "%" PRId64 " \"%.*s\"", c->id, shown(title), title.p == NULL ? "" : title.p);
	if (wants && !span_eq(wanted, c->config))
		tell(c, "project", CONNECT_WARNING, "its labeling config is another one than asked for: it is left as it is");
	return 0;
}

/* ---- backends and webhooks that are ours --------------------------------------------------- */

struct listing {
	struct connection *c;
	const char        *url;
	bool               backends;
};

static int note_ours(void *arg, struct span one, struct err *e)
{
	struct listing    *l = arg;
	struct connection *c = l->c;
	struct span        url = text_of(c, one, "url"), copy = one;
	struct found       f = { .id = ls_rest_int(one, "id") };
	size_t             at = c->n_found;

	if ((copy.p = arena_copy(&c->arena, one)) == NULL)
		return err_memory(e);
	f.json = copy;
	if (l->backends && (c->first_backend.p == NULL || f.id < ls_rest_int(c->first_backend, "id")))
		c->first_backend = copy;
	/* A list for all projects, as a Label Studio gives that knows no filter. */
	if (!address_is(url, span_of(l->url), "") || f.id < 1 || ls_rest_int(one, "project") != c->id || at == FOUND_MAX)
		return 0;
	for (; at > 0 && c->found[at - 1].id > f.id; at--)
		c->found[at] = c->found[at - 1];
	c->found[at] = f;
	c->n_found++;
	return 0;
}

/* Into c->found, the oldest first. */
static int list_ours(struct connection *c, bool backends, struct err *e)
{
	struct listing l = { .c = c, .url = backends ? c->url : c->hook, .backends = backends };

	c->n_found = 0;
	if (c->id == 0)
		return 0;
	return backends ? ls_rest_each(c->api, note_ours, &l, e, "/api/ml/?project=%" PRId64, c->id)
	                : ls_rest_each(c->api, note_ours, &l, e, "/api/webhooks/?project=%" PRId64, c->id);
}

/* found[from...] deleted. */
static int remove_found(struct connection *c, size_t from, bool backends, const char *why, struct err *e)
{
	for (size_t i = from; i < c->n_found; i++) {
		if (change(c, "DELETE", NULL, NULL, e, backends ? "ml" : "webhooks", c->found[i].id) < 0)
			return -1;
		tell(c, backends ? "backend" : "webhook", CONNECT_REMOVED, "%" PRId64 " %s%s", c->found[i].id,
		     backends ? c->url : c->hook, why);
	}
	c->n_found = c->n_found < from ? c->n_found : from;
	return 0;
}

/* ---- the backend ------------------------------------------------------------------------- */

/* What Label Studio says when it can't connect (serializers of its ML module), in our words. */
static int explain_backend(struct connection *c, long status, const struct err *why, bool was_made, struct err *e)
{
	static const char settings[] = "In Label Studio's environment set ML_BLOCK_LOCAL_IP=false and "
	                               "SSRF_PROTECTION_ENABLED=false, restart it, and run this again";

	if (status == 403 && was_made) {
		cure(c, settings);
		return err_set(e, ERR_REMOTE, "Label Studio has connected the backend, but makes no webhook to %.100s "
		               "(SSRF_PROTECTION_ENABLED): it would predict and never learn", c->hook);
	}
	if (status == 403 && strstr(why->msg, "permission") == NULL) {
		cure(c, settings);
		return err_set(e, ERR_REMOTE, "Label Studio refuses backends at private addresses, and %.100s is one "
		               "(ML_BLOCK_LOCAL_IP)", c->url);
	}
	if (status == 400 && strstr(why->msg, "authentication parameters") != NULL) {
		cure(c, "Run this with the BASIC_AUTH_USER and BASIC_AUTH_PASS that the server was started with");
		return err_set(e, ERR_REMOTE, "%.100s refuses the user and password that Label Studio was given", c->url);
	}
	if (status == 400 && strstr(why->msg, "Can't connect") != NULL) {
		if (c->o->url == NULL)
			cure(c, "Name the address by which Label Studio reaches this machine: --url http://host:%" PRId64 " (from a "
			     "container http://host.docker.internal:%" PRId64 "), and let prelabel listen there: HOST=0.0.0.0",
			     c->env->port, c->env->port);
		else
			cure(c, "Is that this machine as Label Studio reaches it, and does prelabel listen there (HOST=%.60s)? In a "
			     "container it needs HOST=0.0.0.0", c->env->host);
		return err_set(e, ERR_REMOTE, "Label Studio can't reach %.160s", c->url);
	}
	if (status == 400 && strstr(why->msg, "Can't resolve") != NULL) {
		cure(c, "Name another address with --url");
		return err_set(e, ERR_REMOTE, "Label Studio does not know the host of %.160s", c->url);
	}
	if (c->env->auth_pass != NULL && strstr(why->msg, c->env->auth_pass) != NULL)
		return err_set(e, why->code, "Label Studio answered %ld, with a reason that repeats BASIC_AUTH_PASS", status);
	return err_set(e, why->code, "%s", why->msg);
}

static void put_backend_body(struct connection *c, struct buf *body)
{
	buf_init(body, BODY_BYTES);
	member_text(body, "url", span_of(c->url));
	member_int(body, "project", c->id);
	member_text(body, "title", c->title);
	member_text(body, "auth_method", span_of(c->env->auth_user == NULL ? "NONE" : "BASIC_AUTH"));
	if (c->env->auth_user != NULL) {
		member_text(body, "basic_auth_user", span_of(c->env->auth_user));
		member_text(body, "basic_auth_pass", span_of(c->env->auth_pass));
	}
}

/* id: 0 for one to be made. */
static int send_backend(struct connection *c, int64_t id, struct span *answer, struct err *e)
{
	struct buf body;
	struct err why = { 0 };
	long       status;
	int        rc;

	put_backend_body(c, &body);
	rc = change(c, id == 0 ? "POST" : "PATCH", &body, answer, &why, "ml", id);
	wipe(&body);
	if (rc == 0)
		return 0;
	/* A 403 may come although the backend was made: then it is the webhook that was refused. */
	status = ls_api_status(c->api);
	return explain_backend(c, status, &why, status == 403 && id == 0 && list_ours(c, true, NULL) == 0 && c->n_found > 0, e);
}

/* What of a backend is not as it has to be; "": all is. */
static void backend_wrong(struct connection *c, struct span b, char *out, size_t size)
{
	struct span url = text_of(c, b, "url"), user = text_of(c, b, "basic_auth_user");
	struct span state = text_of(c, b, "state"), readable = text_of(c, b, "readable_state");
	bool        set = ls_rest_true(b, "basic_auth_pass_is_set");

	out[0] = '\0';
	if (!span_is(url, c->url))
		snprintf(out, size, "its address was written otherwise");
	else if (c->env->auth_user != NULL && (!set || !span_is(user, c->env->auth_user)))
		snprintf(out, size, "it had not the user and password of BASIC_AUTH_USER");
	else if (!span_is(state, "CO") && !span_is(state, "TR") && !span_is(state, "PR"))
		snprintf(out, size, "it was %.*s", shown(readable), readable.p == NULL ? "not connected" : readable.p);
}

static int put_backend(struct connection *c, struct err *e)
{
	struct span answer, title;
	char        wrong[160];

	if (list_ours(c, true, e) < 0)
		return -1;
	c->title = SPAN(OUR_TITLE);
	if (c->n_found == 0) {
		if (send_backend(c, 0, &answer, e) < 0)
			return -1;
		tell(c, "backend", CONNECT_MADE, "%s%s", c->url, c->env->auth_user == NULL ? "" : ", with user and password");
	} else {
		title = text_of(c, c->found[0].json, "title");
		if (title.len > 0)
			c->title = title;
		backend_wrong(c, c->found[0].json, wrong, sizeof wrong);
		if (wrong[0] != '\0' && send_backend(c, c->found[0].id, &answer, e) < 0)
			return -1;
		tell(c, "backend", wrong[0] == '\0' ? CONNECT_RIGHT : CONNECT_CHANGED, "%" PRId64 " %s%s%s", c->found[0].id, c->url,
		     wrong[0] == '\0' ? "" : ": ", wrong);
		if (remove_found(c, 1, true, ": it was connected twice", e) < 0)
			return -1;
	}
	if (c->first_backend.p != NULL && !address_is(text_of(c, c->first_backend, "url"), span_of(c->url), ""))
		tell(c, "backend", CONNECT_WARNING, "another backend, %" PRId64 ", was connected first: Label Studio asks only that "
		     "one for predictions", ls_rest_int(c->first_backend, "id"));
	return 0;
}

/* ---- the webhook ---------------------------------------------------------------------------- */

static bool is_header(struct span key, const char *name, struct arena *a)
{
	struct span text;

	return json_text(key, a, &text, NULL) == 0 && text.len == strlen(name) && strncasecmp(text.p, name, text.len) == 0;
}

static bool header_is_right(struct connection *c, struct span webhook)
{
	struct span      headers, key, value;
	struct json_iter it;
	size_t           n = 0, right = 0;

	if (c->header[0] == '\0')
		return true;
	if (json_member(webhook, "headers", &headers) != 0)
		return false;
	for (it = json_each(headers); json_next(&it, &key, &value); )
		if (is_header(key, c->header, &c->arena)) {
			n++;
			right += json_is(value, span_of(c->value));
		}
	return n == 1 && right == 1;
}

/* The headers it has, and ours. */
static void put_headers(struct connection *c, struct span webhook, struct buf *body)
{
	struct span      headers, key, value;
	struct json_iter it;

	member(body, "headers");
	buf_addc(body, '{');
	if (webhook.p != NULL && json_member(webhook, "headers", &headers) == 0)
		for (it = json_each(headers); json_next(&it, &key, &value); )
			if (!is_header(key, c->header, &c->arena)) {
				buf_add(body, key.p, key.len);
				buf_addc(body, ':');
				buf_add(body, value.p, value.len);
				buf_addc(body, ',');
			}
	json_put_text(body, span_of(c->header));
	buf_addc(body, ':');
	json_put_text(body, span_of(c->value));
	buf_addc(body, '}');
}

/* Its body, with what is not right alone, and that in words; "": all is. */
static void webhook_wrong(struct connection *c, struct span w, struct buf *body, struct buf *words)
{
	static const struct { const char *key, *words; } flags[] = {
		{ "is_active", "it was inactive" },
		{ "send_payload", "it was sent without payload" },
		{ "send_for_all_actions", "it was for some actions only" },
	};

	if (!span_is(text_of(c, w, "url"), c->hook)) {
		member_text(body, "url", span_of(c->hook));
		buf_adds(words, "its address was written otherwise");
	}
	for (size_t i = 0; i < countof(flags); i++)
		if (!ls_rest_true(w, flags[i].key)) {
			member_true(body, flags[i].key);
			buf_addf(words, "%s%s", words->len > 0 ? ", " : "", flags[i].words);
		}
	if (!header_is_right(c, w)) {
		put_headers(c, w, body);
		buf_addf(words, "%sit lacked the header %s, or had another", words->len > 0 ? ", " : "", c->header);
	}
}

static int send_webhook(struct connection *c, int64_t id, struct buf *body, struct err *e)
{
	struct err why = { 0 };
	long       status;

	if (change(c, id == 0 ? "POST" : "PATCH", body, NULL, &why, "webhooks", id) == 0)
		return 0;
	status = ls_api_status(c->api);
	/* Its reason may repeat the headers, and so a secret. */
	if (status == 400 || status >= 500) {
		if (status == 400)
			cure(c, "Look at its headers in the project's Settings > Webhooks: Label Studio takes ten");
		return err_set(e, ERR_REMOTE, "Label Studio refuses what was to be made of the webhook to %.120s, with %ld", c->hook, status);
	}
	return explain_backend(c, status, &why, true, e);
}

static int make_webhook(struct connection *c, struct err *e)
{
	struct buf body;
	int        rc;

	buf_init(&body, BODY_BYTES);
	member_int(&body, "project", c->id);
	member_text(&body, "url", span_of(c->hook));
	member_true(&body, "is_active");
	member_true(&body, "send_payload");
	member_true(&body, "send_for_all_actions");
	if (c->header[0] != '\0')
		put_headers(c, LS_NO_BODY, &body);
	rc = send_webhook(c, 0, &body, e);
	wipe(&body);
	if (rc == 0)
		tell(c, "webhook", CONNECT_MADE, "%s%s%s", c->hook, c->header[0] == '\0' ? "" : ", with the header ", c->header);
	return rc;
}

/* Label Studio has made one when it connected the backend: without the header. */
static int put_webhook(struct connection *c, struct err *e)
{
	struct buf body, words;
	int        rc = 0;

	if (list_ours(c, false, e) < 0)
		return -1;
	if (c->n_found == 0)
		return make_webhook(c, e);
	buf_init(&body, BODY_BYTES);
	buf_init(&words, 1024);
	webhook_wrong(c, c->found[0].json, &body, &words);
	if (body.len > 0)
		rc = send_webhook(c, c->found[0].id, &body, e);
	if (rc == 0)
		tell(c, "webhook", body.len == 0 ? CONNECT_RIGHT : CONNECT_CHANGED, "%" PRId64 " %s%s%s", c->found[0].id, c->hook,
		     body.len == 0 ? "" : ": ", words.len == 0 ? "" : words.p);
	wipe(&body);
	buf_clear(&words);
	return rc < 0 ? -1 : remove_found(c, 1, false, ": it was there twice", e);
}

/* ---- the project's settings ------------------------------------------------------------------ */

/* The row of this project in the store; 1: none, or no store. */
static int stored_project(struct connection *c, struct project *p, struct err *e)
{
	int64_t row;
	int     rc = c->st == NULL || c->id == 0 ? 1 : store_project_find(c->st, c->id, STORE_NULL, &row, e);

	return rc != 0 ? rc : store_project_get(c->st, row, &c->arena, p, e);
}

/* Predictions are shown, and asked of us (protocol.md 3). */
static int put_settings(struct connection *c, struct err *e)
{
	struct project p = { .uncertainty = false };
	struct span    version, sampling;
	struct buf     body;
	bool           show, queue;
	int            rc = 0;

	if (c->id == 0) {
		tell(c, "predictions", CONNECT_MADE, "shown");
		if (c->o->uncertainty)
			tell(c, "queue", CONNECT_CHANGED, UNCERTAINTY);
		return 0;
	}
	if (read_project(c, c->id, e) < 0 || stored_project(c, &p, e) < 0)
		return -1;
	version = text_of(c, c->project, "model_version");
	sampling = text_of(c, c->project, "sampling");
	show = ls_rest_true(c->project, "show_collab_predictions") && version.len > 0;
	queue = !c->o->uncertainty || span_is(sampling, UNCERTAINTY);
	buf_init(&body, BODY_BYTES);
	if (!ls_rest_true(c->project, "show_collab_predictions"))
		member_true(&body, "show_collab_predictions");
	if (version.len == 0)
		member_text(&body, "model_version", c->title);
	if (!queue)
		member_text(&body, "sampling", SPAN(UNCERTAINTY));
	if (body.len > 0)
		rc = change(c, "PATCH", &body, NULL, e, "projects", c->id);
	buf_clear(&body);
	if (rc < 0)
		return -1;
	tell(c, "predictions", show ? CONNECT_RIGHT : CONNECT_CHANGED, "shown");
	if (c->o->uncertainty)
		tell(c, "queue", queue ? CONNECT_RIGHT : CONNECT_CHANGED, UNCERTAINTY ": the least certain task comes first");
	if (version.len > 0 && !span_eq(version, c->title) && !p.uncertainty && !c->o->uncertainty)
		tell(c, "predictions", CONNECT_WARNING, "the project shows those of \"%.*s\", not the live ones of \"%.*s\": choose "
		     "it in the project's Settings > Annotation", shown(version), version.p, shown(c->title), c->title.p);
	return 0;
}

/* ---- data ------------------------------------------------------------------------------------ */

struct import {
	struct connection *c;
	struct task_set    there;        /* what the project has already */
	struct buf         body;
	size_t             n;            /* tasks in body */
	int64_t            read, sent;
};

static int count_task(void *arg, struct span task, struct err *e)
{
	struct import *im = arg;

	(void)task;
	(void)e;
	im->read++;
	return 0;
}

static int note_task(void *arg, struct span task, struct err *e)
{
	struct import *im = arg;
	struct span    data;

	return json_member(task, "data", &data) == 0 ? task_set_add(&im->there, data, e) : 0;
}

static int send_tasks(struct import *im, struct err *e)
{
	struct connection *c = im->c;
	struct err         why = { 0 };
	char               path[80];

	if (im->n == 0)
		return 0;
	snprintf(path, sizeof path, "/api/projects/%" PRId64 "/import", c->id);
	buf_addc(&im->body, ']');
	if (buf_check(&im->body, "a part of the data", e) < 0)
		return -1;
	if (call(c, "POST", buf_span(&im->body), NULL, &why, path) < 0) {
		if (ls_api_status(c->api) == 400)
			cure(c, "Each task needs what the labeling config names: here \"%.60s\"", c->text_key);
		return err_set(e, why.code, "%s", why.msg);
	}
	im->sent += (int64_t)im->n;
	im->n = 0;
	buf_reset(&im->body);
	return 0;
}

static int import_task(void *arg, struct span task, struct err *e)
{
	struct import *im = arg;
	struct span    data;

	if (json_member(task, "data", &data) == 0 && task_set_take(&im->there, data))
		return 0;
	buf_addc(&im->body, im->n++ == 0 ? '[' : ',');
	buf_add(&im->body, task.p, task.len);
	return im->n == IMPORT_TASKS || im->body.len >= IMPORT_BYTES ? send_tasks(im, e) : 0;
}

/* Whether the file can be read at all, before anything is changed. */
static int check_data(struct connection *c, struct err *e)
{
	struct import im = { .c = c };

	if (c->o->data == NULL || task_file_read(c->o->data, "text", count_task, &im, e) < 0)
		return c->o->data == NULL ? 0 : -1;
	return im.read > 0 ? 0 : err_set(e, ERR_SHAPE, "%.100s holds no task", c->o->data);
}

/* A task whose data the project has is not imported again: so a run that was broken
 * off goes on where it was, wherever it runs.  Its data is compared as it was imported,
 * not with Label Studio's own links in place of a storage's (resolve_uri). */
static int import_data(struct connection *c, struct err *e)
{
	struct import im = { .c = c };
	int           rc = 0;

	if (c->o->data == NULL)
		return 0;
	note_text_key(c);
	buf_init(&im.body, BODY_BYTES);
	if (c->id != 0 && ls_rest_int(c->project, "task_number") > 0)
		rc = ls_rest_each(c->api, note_task, &im, e, "/api/tasks?project=%" PRId64 "&resolve_uri=false", c->id);
	if (rc == 0)
		rc = task_file_read(c->o->data, c->text_key, import_task, &im, e);
	if (rc == 0)
		rc = send_tasks(&im, e);
	if (rc == 0 && im.sent == 0)
		tell(c, "data", CONNECT_RIGHT, "%.100s: all its tasks are there", c->o->data);
	else if (im.sent > 0)
		tell(c, "data", CONNECT_MADE, "%" PRId64 " tasks of %.100s", im.sent, c->o->data);
	task_set_clear(&im.there);
	buf_clear(&im.body);
	return rc;
}

/* ---- what is annotated ------------------------------------------------------------------------ */

static bool go_on(void *arg)
{
	(void)arg;
	return true;
}

static int in_store(struct connection *c, int rc, struct err *e)
{
	if (rc == 0 && store_commit(c->st, e) == 0)
		return 0;
	store_rollback(c->st);
	return -1;
}

/* The project's row, with what was asked for it. */
static int keep_project(struct connection *c, int64_t *row, struct err *e)
{
	struct ls_project remote;
	int               rc;

	if (ls_api_project(c->api, c->id, &c->arena, &remote, e) < 0 || store_begin(c->st, e) < 0)
		return -1;
	rc = store_project_ensure(c->st, c->id, remote.created_s, row, e);
	if (rc == 0 && c->o->uncertainty)
		rc = store_project_uncertainty(c->st, *row, true, e);
	return in_store(c, rc, e);
}

/* --uncertainty: the queue by the version in force.  Each training brings its own. */
static int order_queue(struct connection *c, int64_t row, struct err *e)
{
	const struct push_options opt = { .keep_going = go_on };
	struct push_result        pushed;
	struct err                why = { 0 };

	if (push_uncertainty(c->st, c->env, row, &opt, &pushed, &why) == 0) {
		tell(c, "queue", pushed.written > 0 ? CONNECT_MADE : CONNECT_RIGHT, "by %s, %" PRId64 " predictions written",
		     pushed.version, pushed.written);
		return 0;
	}
	if (why.code != ERR_BUSY && why.code != ERR_SHAPE)
		return err_set(e, why.code, "%s", why.msg);
	tell(c, "queue", CONNECT_WARNING, "%s", why.msg);
	return 0;
}

/* Annotations that are older than the connection; a training where they are news. */
static int learn(struct connection *c, struct err *e)
{
	struct reconcile_result got;
	struct project          p;
	struct err              why = { 0 };
	int64_t                 row;
	int                     rc;

	if (c->o->dry_run) {
		tell(c, "annotations", CONNECT_RIGHT, "%" PRId64 " annotated tasks are in Label Studio",
		     c->id == 0 ? 0 : ls_rest_int(c->project, "num_tasks_with_annotations"));
		return 0;
	}
	if (keep_project(c, &row, e) < 0)
		return -1;
	if (reconcile(c->st, c->env, row, go_on, NULL, &got, &why) < 0) {
		if (why.code != ERR_SHAPE)
			return err_set(e, why.code, "%s", why.msg);
		tell(c, "annotations", CONNECT_WARNING, "%s", why.msg);
		return 0;
	}
	if (got.changed > 0 && (store_begin(c->st, e) < 0 ||
	                        in_store(c, store_job_queue(c->st, row, "command", clock_s(), NULL, e), e) < 0))
		return -1;
	tell(c, "annotations", got.changed == 0 ? CONNECT_RIGHT : CONNECT_CHANGED,
	     "%" PRId64 " annotated tasks read, %" PRId64 " annotations new or changed%s", got.tasks, got.changed,
	     got.changed == 0 ? "" : ": a training is queued");
	if (got.unreadable > 0)
		tell(c, "annotations", CONNECT_WARNING, "%" PRId64 " could not be read", got.unreadable);
	if ((rc = stored_project(c, &p, e)) < 0)
		return -1;
	if (rc == 0 && p.reason.len > 0)
		tell(c, "project", CONNECT_WARNING, "%.*s", shown(p.reason), p.reason.p);
	return c->o->uncertainty && got.changed == 0 ? order_queue(c, row, e) : 0;
}

static void tell_next(struct connection *c)
{
	if (c->o->dry_run) {
		tell(c, "", CONNECT_NEXT, "nothing was changed: run it without --dry-run");
		return;
	}
	tell(c, "", CONNECT_NEXT, "open %.200s/projects/%" PRId64 "/data: every task shows a prediction when it is opened",
	     c->env->ls_url, c->id);
	tell(c, "", CONNECT_NEXT, "label: after every %" PRId64 " annotations a version is trained; `prelabel status --project %"
	     PRId64 "` says how far it is", c->env->train_every, c->id);
}

/* ---- both ------------------------------------------------------------------------------------- */

static int open_connection(struct connection *c, struct err *e)
{
	arena_init(&c->arena, ARENA_BYTES);
	c->r->project = c->r->changes = 0;
	c->r->cure[0] = '\0';
	if (take_url(c, e) < 0 || take_header(c, e) < 0)
		return -1;
	if (c->env->ls_key == NULL) {
		cure(c, "Make a personal access token in Label Studio, Account & Settings > Personal Access Token, and set it to that");
		return err_set(e, ERR_USAGE, "LABEL_STUDIO_API_KEY is not set: nothing can be asked of %.120s", c->env->ls_url);
	}
	return ls_api_open(&c->api, c->env->ls_url, c->env->ls_key, e) < 0 || ask_user(c, e) < 0 ? -1 : 0;
}

static void close_connection(struct connection *c)
{
	if (c->value != NULL)
		sodium_memzero(c->value, strlen(c->value));
	free(c->value);
	ls_api_close(c->api);
	arena_clear(&c->arena);
}

int connect_project(struct store *st, const struct env *env, const struct connect_options *o, struct connect_report *r,
                    struct err *e)
{
	struct connection c = { .st = st, .env = env, .o = o, .r = r };
	int               rc = -1;

	if (open_connection(&c, e) == 0 && check_data(&c, e) == 0 && find_project(&c, e) == 0 && put_backend(&c, e) == 0 &&
	    put_webhook(&c, e) == 0 && put_settings(&c, e) == 0 && import_data(&c, e) == 0 && (!c.lacked || err_memory(e) == 0) && learn(&c, e) == 0) {
		rc = c.lacked ? err_memory(e) : 0;
		if (rc == 0)
			tell_next(&c);
	}
	close_connection(&c);
	return rc;
}

/* ---- taken back --------------------------------------------------------------------------------- */

static int title_is(void *arg, struct span backend, struct err *e)
{
	struct search *s = arg;

	(void)e;
	s->n += span_eq(text_of(s->c, backend, "title"), s->title);
	return 0;
}

/* Is there still a backend of this title in the project? */
static int is_backend(struct connection *c, struct span title, bool *is, struct err *e)
{
	struct search s = { .c = c, .title = title };

	if (ls_rest_each(c->api, title_is, &s, e, "/api/ml/?project=%" PRId64, c->id) < 0)
		return -1;
	*is = s.n > (c->o->dry_run ? c->n_found : 0);
	return 0;
}

/* The project shows what we were asked for, or what we pushed: it has to show nothing. */
static int reset_settings(struct connection *c, struct span title, bool uncertainty, struct err *e)
{
	struct span version = text_of(c, c->project, "model_version");
	struct span sampling = text_of(c, c->project, "sampling");
	struct buf  body;
	bool        other = true, ours, queue;
	int         rc = 0;

	ours = version.len > 0 && (uncertainty || span_eq(version, title) || span_is(version, OUR_TITLE));
	if (ours && is_backend(c, version, &other, e) < 0)
		return -1;
	ours = ours && !other;
	queue = uncertainty && span_is(sampling, UNCERTAINTY);
	buf_init(&body, BODY_BYTES);
	if (ours)
		member_text(&body, "model_version", SPAN(""));
	if (queue)
		member_text(&body, "sampling", SPAN(SEQUENTIAL));
	if (body.len > 0)
		rc = change(c, "PATCH", &body, NULL, e, "projects", c->id);
	buf_clear(&body);
	if (rc < 0)
		return -1;
	if (ours)
		tell(c, "predictions", CONNECT_CHANGED, "those of \"%.*s\" are no longer the project's", shown(version), version.p);
	if (queue)
		tell(c, "queue", CONNECT_CHANGED, SEQUENTIAL);
	return 0;
}

static int keep_uncertainty(struct connection *c, const struct project *p, bool on, struct err *e)
{
	if (!p->uncertainty || c->o->dry_run)
		return 0;
	return store_begin(c->st, e) < 0 ? -1 : in_store(c, store_project_uncertainty(c->st, p->row, on, e), e);
}

/* A push that sets the order would write backend and project back: it is told to end,
 * and waited for.  *lock keeps others away; -1: nobody has to be. */
static int end_push(struct connection *c, const struct project *p, int *lock, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	struct err            why = { 0 };

	*lock = -1;
	if (!p->uncertainty || c->o->dry_run)
		return 0;
	if (keep_uncertainty(c, p, false, e) < 0)
		return -1;
	for (int i = 0; i < PUSH_WAIT * 10 && (*lock = push_lock(c->env, p->row, &why)) < 0 && why.code == ERR_BUSY; i++) {
		err_clear(&why);
		nanosleep(&pause, NULL);
	}
	/* Until all is taken back: the next run has to know. */
	if (keep_uncertainty(c, p, true, e) < 0)
		return -1;
	return *lock >= 0 ? 0 : why.code != ERR_OK ? err_set(e, why.code, "%s", why.msg)
	                      : err_set(e, ERR_BUSY, "a push of this project did not end within %d s", PUSH_WAIT);
}

static int take_back(struct connection *c, const struct project *p, struct err *e)
{
	struct span title = SPAN(OUR_TITLE), name;
	size_t      n_backends, n_hooks;

	if (list_ours(c, false, e) < 0)
		return -1;
	name = text_of(c, c->project, "title");
	tell(c, "project", CONNECT_RIGHT, "%" PRId64 " \"%.*s\"", c->id, shown(name), name.p == NULL ? "" : name.p);
	/* The webhook first: what follows is no event of ours any more. */
	n_hooks = c->n_found;
	if (remove_found(c, 0, false, "", e) < 0 || list_ours(c, true, e) < 0)
		return -1;
	n_backends = c->n_found;
	if (n_backends > 0)
		title = text_of(c, c->found[0].json, "title");
	if (remove_found(c, 0, true, "", e) < 0)
		return -1;
	c->n_found = n_backends;
	if (n_hooks == 0)
		tell(c, "webhook", CONNECT_RIGHT, "none to %s", c->hook);
	if (n_backends == 0)
		tell(c, "backend", CONNECT_RIGHT, "none at %s", c->url);
	if (n_backends == 0 && c->first_backend.p != NULL)
		tell(c, "backend", CONNECT_WARNING, "there is one at another address: name it with --url if it is this one");
	return reset_settings(c, title, p->uncertainty, e) < 0 || keep_uncertainty(c, p, false, e) < 0 ? -1 : 0;
}

static int disconnect(struct connection *c, struct err *e)
{
	struct project p = { .uncertainty = false };
	int            rc = -1, lock = -1;

	if (read_project(c, c->o->project, e) == 0 && stored_project(c, &p, e) >= 0 && end_push(c, &p, &lock, e) == 0)
		rc = take_back(c, &p, e);
	if (lock >= 0)
		close(lock);
	return rc;
}

int disconnect_project(struct store *st, const struct env *env, const struct connect_options *o,
                       struct connect_report *r, struct err *e)
{
	struct connection c = { .st = st, .env = env, .o = o, .r = r };
	int               rc = open_connection(&c, e) < 0 ? -1 : disconnect(&c, e);

	if (rc == 0 && c.lacked)
		rc = err_memory(e);
	if (rc == 0 && o->dry_run)
		tell_next(&c);
	else if (rc == 0)
		tell(&c, "", CONNECT_NEXT, "its annotations and versions are kept here: `prelabel forget --project %" PRId64
		     "` deletes them", c.id);
	close_connection(&c);
	return rc;
}
