/* ls_api.c - the calls prelabel makes to Label Studio, with libcurl. */
#include "studio/ls_api.h"
#include "base/clock.h"
#include "base/curl.h"
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define ATTEMPTS_MAX 3
#define POLL_MS 100                     /* how often cancelled() is asked */
#define URL_MAX 512
#define PATH_MAX_BYTES 1024
#define TOKEN_MAX ((size_t)8192)
#define HEADERS_MAX ((size_t)256 << 10)
#define REFUSAL_MAX ((size_t)64 << 10)  /* read of an answer that is not 2xx */
#define ACCESS_MARGIN_S 30              /* an access token is renewed so long before its end */
#define ACCESS_UNKNOWN_S 240            /* its life when it does not say; they live 300 s */

enum key_kind { KEY_LEGACY, KEY_REFRESH, KEY_ACCESS, KEY_NONE };

struct ls_api {
	char          url[URL_MAX];     /* without a slash at the end */
	char         *key;
	enum key_kind kind;
	char         *access;           /* KEY_REFRESH: what it was exchanged for, or NULL */
	int64_t       access_until_s;   /* good until then, Unix time */
	CURL         *curl;
	CURLM        *multi;            /* drives curl, so that we can look up in between */
	bool        (*cancelled)(void *);
	void         *cancel_arg;
	long          status;           /* of the last answer */
	struct ls_last last;
	int           attempts_max;

	/* The limits of the header; fields, so that the tests need not wait. */
	long          connect_ms, total_ms, stall_s, build_s;
	double        backoff_s, wait_max_s;
};

enum body_kind { TO_BUFFER, TO_EXPORT };

/* One call, over all its attempts. */
struct call {
	struct ls_api *api;
	const char    *method, *path;
	struct span    body;
	bool           without_key;

	enum body_kind kind;
	struct buf    *answer;                  /* TO_BUFFER */
	size_t         answer_from;             /* its length before the call */
	struct json_splitter split;             /* TO_EXPORT */
	int          (*each)(void *, struct span, struct err *);
	void          *each_arg;

	/* Of the attempt at hand. */
	struct err     local;           /* what our own callbacks found */
	struct buf     refusal;         /* the body of an answer that is not 2xx */
	size_t         header_bytes;    /* 0: nothing has come yet */
	long           status;
	double         retry_after_s;   /* 0: not said */
};

enum verdict { DONE, AGAIN, FAILED };

/* ---- tokens ---- */

/* The payload of a JSON web token tells its kind and its end.  Anything else,
 * whatever it is, is a legacy token. */
static enum key_kind token_read(const char *token, int64_t *exp)
{
	unsigned char json[TOKEN_MAX];
	const char   *first = strchr(token, '.'), *second = first == NULL ? NULL : strchr(first + 1, '.');
	struct span   object, value;
	size_t        len;

	*exp = 0;
	if (second == NULL || strchr(second + 1, '.') != NULL)
		return KEY_LEGACY;
	if (sodium_base642bin(json, sizeof json, first + 1, (size_t)(second - first) - 1, "=", &len,
	                      NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
	    json_check((struct span){ (const char *)json, len }, &object, NULL) < 0)
		return KEY_LEGACY;
	if (json_member(object, "exp", &value) == 0 && json_int(value, 1, INT64_MAX, exp) < 0)
		*exp = 0;
	if (json_member(object, "token_type", &value) != 0)
		return KEY_LEGACY;
	return json_is(value, SPAN("refresh")) ? KEY_REFRESH :
	       json_is(value, SPAN("access")) ? KEY_ACCESS : KEY_LEGACY;
}

/* It becomes part of a header line: nothing but printable ASCII without blanks. */
static bool token_is_clean(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.len > 0 && s.len < TOKEN_MAX;
}

static char *copy_of(struct span s)
{
	char *p = malloc(s.len + 1);

	if (p == NULL)
		return NULL;
	memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return p;
}

static void wipe(char **secret)
{
	if (*secret != NULL)
		sodium_memzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

/* ---- open and close ---- */

/* Is it there, and this text (NULL: any)?  1; 0; -1 out of memory. */
static int has_part(CURLU *u, CURLUPart part, const char *text)
{
	char           *s = NULL;
	const CURLUcode rc = curl_url_get(u, part, &s, 0);
	const int       has = rc == CURLUE_OK && (text == NULL || strcmp(s, text) == 0);

	curl_free(s);
	return rc == CURLUE_OUT_OF_MEMORY ? -1 : has;
}

/* http or https, without credentials, query and fragment?  1; 0; -1 out of memory. */
static int is_plain_http(CURLU *u)
{
	static const CURLUPart none[] = { CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT };
	int                    has = has_part(u, CURLUPART_SCHEME, "http");

	if (has == 0)
		has = has_part(u, CURLUPART_SCHEME, "https");
	if (has <= 0)
		return has;
	for (size_t i = 0; i < countof(none); i++)
		if ((has = has_part(u, none[i], NULL)) != 0)
			return has < 0 ? -1 : 0;
	return 1;
}

static int take_url(struct ls_api *api, const char *url, struct err *e)
{
	size_t len = strlen(url);
	CURLU *u = curl_url();
	CURLUcode rc;
	int    good;

	if (u == NULL)
		return err_memory(e);
	rc = len < URL_MAX ? curl_url_set(u, CURLUPART_URL, url, 0) : CURLUE_OK;
	if (rc == CURLUE_OUT_OF_MEMORY)
		good = -1;
	else
		good = len < URL_MAX && rc == CURLUE_OK ? is_plain_http(u) : 0;
	curl_url_cleanup(u);
	if (good < 0)
		return err_memory(e);
	if (good == 0)      /* it may hold a password: not repeated */
		return err_set(e, ERR_USAGE, "the address of Label Studio must be "
		               "http://host[:port][/path] or https://…, without credentials");
	while (len > 0 && url[len - 1] == '/')
		len--;
	memcpy(api->url, url, len);
	api->url[len] = '\0';
	return 0;
}

static int take_key(struct ls_api *api, const char *key, struct err *e)
{
	struct span s = span_of(key);
	int64_t     exp;

	while (s.len > 0 && strchr(" \t\r\n", s.p[s.len - 1]) != NULL)
		s.len--;                                /* the end of a line in a file of secrets */
	while (s.len > 0 && strchr(" \t\r\n", s.p[0]) != NULL)
		s.p++, s.len--;
	if (s.len == 0)
		return err_set(e, ERR_USAGE, "no LABEL_STUDIO_API_KEY is set");
	if (!token_is_clean(s))
		return err_set(e, ERR_USAGE, "LABEL_STUDIO_API_KEY is no token: it holds blanks or "
		               "other characters, or is too long");
	if ((api->key = copy_of(s)) == NULL)
		return err_memory(e);
	api->kind = token_read(api->key, &exp);
	return 0;
}

/* key NULL: none. */
static int open_api(struct ls_api **out, const char *url, const char *key, struct err *e)
{
	struct ls_api *api;

	if (curl_open(e) < 0)
		return -1;
	if (sodium_init() < 0)
		return err_set(e, ERR_STORE, "libsodium can't be started");
	api = calloc(1, sizeof *api);
	if (api == NULL)
		return err_memory(e);
	api->connect_ms = 5000;
	api->total_ms = 60000;
	api->stall_s = 15;
	api->build_s = 300;
	api->backoff_s = 2;
	api->wait_max_s = 60;
	api->attempts_max = ATTEMPTS_MAX;
	api->kind = KEY_NONE;
	if (take_url(api, url, e) < 0 || (key != NULL && take_key(api, key, e) < 0))
		goto fail;
	api->curl = curl_easy_init();
	api->multi = curl_multi_init();
	if (api->curl == NULL || api->multi == NULL) {
		err_memory(e);
		goto fail;
	}
	*out = api;
	return 0;
fail:
	ls_api_close(api);
	return -1;
}

int ls_api_open(struct ls_api **out, const char *url, const char *key, struct err *e)
{
	return open_api(out, url, key == NULL ? "" : key, e);
}

int ls_api_open_keyless(struct ls_api **out, const char *url, struct err *e)
{
	return open_api(out, url, NULL, e);
}

void ls_api_hurry(struct ls_api *api, long ms)
{
	api->attempts_max = 1;
	api->total_ms = ms;
	api->connect_ms = ms < api->connect_ms ? ms : api->connect_ms;
}

enum ls_key ls_api_key(const struct ls_api *api, int64_t *exp_s)
{
	static const enum ls_key kinds[] = { [KEY_LEGACY] = LS_KEY_LEGACY, [KEY_REFRESH] = LS_KEY_PERSONAL,
	                                     [KEY_ACCESS] = LS_KEY_ACCESS, [KEY_NONE] = LS_KEY_NONE };

	*exp_s = 0;
	if (api->key != NULL)
		(void)token_read(api->key, exp_s);
	return kinds[api->kind];
}

void ls_api_close(struct ls_api *api)
{
	if (api == NULL)
		return;
	curl_easy_cleanup(api->curl);
	curl_multi_cleanup(api->multi);
	wipe(&api->key);
	wipe(&api->access);
	free(api);
}

void ls_api_cancel(struct ls_api *api, bool (*cancelled)(void *arg), void *arg)
{
	api->cancelled = cancelled;
	api->cancel_arg = arg;
}

void ls_api_patience(struct ls_api *api, long ms)
{
	api->total_ms = ms;
}

static bool is_cancelled(const struct ls_api *api)
{
	return api->cancelled != NULL && api->cancelled(api->cancel_arg);
}

/* ---- what comes in ---- */

/* Label Studio's clock, to the second. */
static void take_date(struct ls_last *last, struct span line)
{
	char   text[64];
	time_t t;

	if (line.len < 6 || line.len - 5 >= sizeof text || strncasecmp(line.p, "Date:", 5) != 0)
		return;
	memcpy(text, line.p + 5, line.len - 5);
	text[line.len - 5] = '\0';
	t = curl_getdate(text, NULL);
	last->date_s = t < 0 ? 0 : (int64_t)t;
	last->at_s = clock_s();
}

static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
	struct call *c = arg;

	take_date(&c->api->last, (struct span){ bytes, size * n });
	if (c->header_bytes == 0 && c->kind == TO_EXPORT) {
		/* Before its first byte an export is being built, and none is due. */
		(void)curl_easy_setopt(c->api->curl, CURLOPT_LOW_SPEED_LIMIT, 1024L);
		(void)curl_easy_setopt(c->api->curl, CURLOPT_LOW_SPEED_TIME, c->api->stall_s);
	}
	c->header_bytes += size * n;
	if (c->header_bytes <= HEADERS_MAX)
		return size * n;
	err_set(&c->local, ERR_REMOTE, "Label Studio's answer has more than 256 KB of headers");
	return 0;
}

static int take_answer(struct call *c, struct span bytes)
{
	const size_t room = c->answer->max - c->answer_from;
	const size_t limit = room < LS_ANSWER_BYTES_MAX ? room : LS_ANSWER_BYTES_MAX;

	if (bytes.len > limit || c->answer->len - c->answer_from > limit - bytes.len)
		return err_set(&c->local, ERR_REMOTE, "Label Studio's answer to %s %.60s is larger than "
		               "%zu bytes", c->method, c->path, limit);
	buf_add(c->answer, bytes.p, bytes.len);
	return buf_check(c->answer, "Label Studio's answer", &c->local);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	struct span  bytes = { p, size * n };
	struct err   why = { 0 };

	curl_easy_getinfo(c->api->curl, CURLINFO_RESPONSE_CODE, &c->status);
	if (c->status < 200 || c->status > 299) {
		/* What is kept serves for a message; more of it is of no use. */
		buf_add(&c->refusal, bytes.p, bytes.len);
		return c->refusal.failed == ERR_OK ? bytes.len : 0;
	}
	if (c->kind == TO_BUFFER)
		return take_answer(c, bytes) < 0 ? 0 : bytes.len;
	if (json_splitter_feed(&c->split, bytes, &why) == 0)
		return bytes.len;
	/* What on_task() set is the cause; else the bytes are. */
	err_set(&c->local, why.code == ERR_MEMORY ? ERR_MEMORY : ERR_REMOTE,
	        "Label Studio's export can't be read: %s", why.msg);
	return 0;
}

static int on_task(void *arg, struct span task, struct err *e)
{
	struct call *c = arg;

	if (json_type(task) != JSON_OBJECT)
		return err_set(e, ERR_REMOTE, "element %zu is not a task", c->split.count);
	if (c->each(c->each_arg, task, &c->local) == 0)
		return 0;
	return err_set(e, ERR_REMOTE, "stopped");
}

/* ---- messages ---- */

/* Does s repeat a part of the secret?  8 bytes: fewer give nothing away. */
static bool tells(struct span s, const char *secret)
{
	size_t len = secret == NULL ? 0 : strlen(secret);

	if (len > 0 && len < 8)
		return memmem(s.p, s.len, secret, len) != NULL;
	for (size_t i = 0; i + 8 <= s.len; i++)
		if (len >= 8 && memmem(secret, len, s.p + i, 8) != NULL)
			return true;
	return false;
}

/* The first text in what a form has against its fields, {"field": ["text"]}, and that
 * field; "" where it is against none. */
static struct span first_text(struct span value, struct arena *a, struct span *field)
{
	struct json_iter it;
	struct span      text, key;

	*field = SPAN("");
	for (int depth = 0; depth < 4; depth++) {
		if (json_type(value) == JSON_STRING)
			return json_text(value, a, &text, NULL) == 0 ? text : SPAN("");
		it = json_each(value);
		if (!json_next(&it, &key, &value))
			return SPAN("");
		if (depth == 0 && it.object && (json_text(key, a, field, NULL) != 0 || field->len > 30 ||
		                                span_is(*field, "non_field_errors")))
			*field = SPAN("");
	}
	return SPAN("");
}

/* ": …", what Label Studio gives as reason, without its full stop; "" when it gives
 * none, or one that repeats a secret. */
static void reason_of(const struct call *c, char out[110])
{
	struct arena a;
	struct span  object, value, text, more = SPAN(""), field = SPAN("");
	size_t       n;

	out[0] = '\0';
	arena_init(&a, REFUSAL_MAX);
	if (c->refusal.failed == ERR_OK && json_check(buf_span(&c->refusal), &object, NULL) == 0 &&
	    json_member(object, "detail", &value) == 0 && json_text(value, &a, &text, NULL) == 0 &&
	    (json_member(object, "validation_errors", &value) != 0 || (more = first_text(value, &a, &field)).len == 0 ||
	     (text = more).len > 0) && text.len > 0 && !tells(text, c->api->key) && !tells(text, c->api->access)) {
		if (more.len == 0)
			field = SPAN("");
		while (text.len > 1 && text.p[text.len - 1] == '.')
			text.len--;
		n = text.len > 100 - field.len ? 100 - field.len : text.len;
		while (n > 0 && n < text.len && ((unsigned char)text.p[n] & 0xc0) == 0x80)
			n--;                            /* no half character */
		snprintf(out, 110, ": %.*s%s%.*s", (int)field.len, field.p, field.len > 0 ? ": " : "", (int)n, text.p);
	}
	arena_clear(&a);
}

static bool refused_as_legacy(const struct call *c)
{
	static const char sentence[] = "legacy token authentication has been disabled";

	return c->refusal.len > 0 &&
	       memmem(c->refusal.p, c->refusal.len, sentence, sizeof sentence - 1) != NULL;
}

static enum verdict failed(struct err *e, enum err_code code, const char *message)
{
	err_set(e, code, "%s", message);
	return FAILED;
}

/* Was it certainly not carried out, or may it be carried out twice? */
static bool may_repeat(const struct call *c, bool not_carried_out)
{
	if (c->kind == TO_EXPORT)
		return c->split.count == 0;             /* no task is handed over twice */
	return not_carried_out || c->without_key || strcmp(c->method, "GET") == 0;
}

static enum verdict judge_status(struct call *c, struct err *e)
{
	const char *url = c->api->url;
	char        reason[110];

	if (c->status >= 200 && c->status <= 299)
		return DONE;
	reason_of(c, reason);
	c->api->last.legacy_disabled = c->status == 401 && refused_as_legacy(c);
	if (c->api->last.legacy_disabled)
		return failed(e, ERR_AUTH, "Label Studio refused the key: legacy tokens are disabled "
		              "in this organization; use a personal access token");
	if (c->status == 401) {
		err_set(e, ERR_AUTH, "Label Studio refused the key%s%s", reason,
		        c->api->kind != KEY_ACCESS ? "" :
		        "; it is an access token, good for 5 minutes: use a personal access token");
		return FAILED;
	}
	if (c->status >= 300 && c->status <= 399) {
		err_set(e, ERR_REMOTE, "Label Studio at %.100s redirects (%ld), which is not followed: "
		        "LABEL_STUDIO_HOST must be its own address", url, c->status);
		return FAILED;
	}
	err_set(e, c->status == 404 ? ERR_NOT_FOUND : ERR_REMOTE, "Label Studio answered %ld to %s %.60s%s",
	        c->status, c->method, c->path, reason);
	if (c->status == 429)
		return may_repeat(c, true) ? AGAIN : FAILED;
	return c->status >= 500 && may_repeat(c, false) ? AGAIN : FAILED;
}

static enum ls_trouble trouble_of(CURLcode code, bool connected)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return LS_NO_HOST;
	case CURLE_OPERATION_TIMEDOUT:
		return connected ? LS_NO_ANSWER : LS_NO_CONNECTION;
	case CURLE_SSL_CONNECT_ERROR:
		return LS_NO_TLS;
	case CURLE_PEER_FAILED_VERIFICATION:
		return LS_CERTIFICATE;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		return LS_NOT_HTTP;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return LS_NO_ANSWER;
	default:
		return LS_NO_CONNECTION;
	}
}

static enum verdict judge_trouble(struct call *c, CURLcode code, struct err *e)
{
	const struct ls_api *api = c->api;
	char                 text[100];
	long                 os_error = 0;
	curl_off_t           connected_us = 0;

	curl_easy_getinfo(api->curl, CURLINFO_OS_ERRNO, &os_error);
	curl_easy_getinfo(api->curl, CURLINFO_CONNECT_TIME_T, &connected_us);
	c->api->last.trouble = trouble_of(code, connected_us != 0);
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		err_memory(e);
		return FAILED;
	case CURLE_COULDNT_RESOLVE_HOST:
		err_set(e, ERR_REMOTE, "Label Studio at %.100s does not answer: no such host", api->url);
		return AGAIN;
	case CURLE_COULDNT_CONNECT:
		err_set(e, ERR_REMOTE, "Label Studio at %.100s does not answer: %s", api->url,
		        os_error != 0 ? strerror_r((int)os_error, text, sizeof text) :
		        curl_easy_strerror(code));
		return AGAIN;
	case CURLE_OPERATION_TIMEDOUT:
		if (connected_us == 0) {
			err_set(e, ERR_REMOTE, "Label Studio at %.100s does not answer: no connection "
			        "within %ld s", api->url, api->connect_ms / 1000);
			return AGAIN;
		}
		if (c->kind == TO_EXPORT && c->header_bytes == 0)
			err_set(e, ERR_REMOTE, "Label Studio at %.100s sent nothing of its export within %ld s",
			        api->url, api->build_s);
		else if (c->kind == TO_EXPORT)
			err_set(e, ERR_REMOTE, "Label Studio at %.100s sent less than 1 KB/s for %ld s",
			        api->url, api->stall_s);
		else
			err_set(e, ERR_REMOTE, "Label Studio at %.100s did not answer %s %.60s within %ld s",
			        api->url, c->method, c->path, api->total_ms / 1000);
		return FAILED;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		err_set(e, ERR_REMOTE, "Label Studio at %.100s broke off its answer to %s %.60s: %s",
		        api->url, c->method, c->path, curl_easy_strerror(code));
		return may_repeat(c, false) ? AGAIN : FAILED;
	case CURLE_UNSUPPORTED_PROTOCOL:        /* of the answer: HTTP/0.9, which is any bytes */
	case CURLE_WEIRD_SERVER_REPLY:
		err_set(e, ERR_REMOTE, "Label Studio at %.100s does not answer in HTTP", api->url);
		return FAILED;
	default:
		err_set(e, ERR_REMOTE, "Label Studio at %.100s can't be reached: %s", api->url,
		        curl_easy_strerror(code));
		return FAILED;
	}
}

/* ---- one attempt ---- */

/* *list: NULL after a failure. */
static bool add_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer == NULL)
		curl_slist_free_all(*list);
	*list = longer;
	return longer != NULL;
}

static struct curl_slist *headers_of(const struct call *c)
{
	const struct ls_api *api = c->api;
	struct curl_slist   *list = NULL;
	char                *line = NULL;
	bool                 ok;

	ok = add_header(&list, "Accept: application/json") &&
	     add_header(&list, "Expect:") &&        /* Django's server ignores it: a second lost */
	     (c->body.len == 0 || add_header(&list, "Content-Type: application/json"));
	if (ok && !c->without_key && api->kind != KEY_NONE) {
		const char *scheme = api->kind == KEY_LEGACY ? "Token" : "Bearer";
		const char *token = api->kind == KEY_REFRESH ? api->access : api->key;

		if (asprintf(&line, "Authorization: %s %s", scheme, token) < 0)
			line = NULL;
		if (line == NULL) {
			curl_slist_free_all(list);
			list = NULL;
		} else {
			(void)add_header(&list, line);
		}
		wipe(&line);
	}
	return list;
}

/* Path and query of a URL that has a path. */
static const char *target_of(const char *url)
{
	return strchr(strstr(url, "://") + 3, '/');
}

/* -1: out of memory, or an option that this libcurl lacks. */
static int prepare(struct call *c, struct curl_slist *headers)
{
	CURL    *curl = c->api->curl;
	char     url[URL_MAX + PATH_MAX_BYTES];
	CURLcode rc = CURLE_OK;

#define SET(option, value) \
	do { if (rc == CURLE_OK) rc = curl_easy_setopt(curl, option, value); } while (0)
	curl_easy_reset(curl);                          /* connections stay open */
	snprintf(url, sizeof url, "%s%s", c->api->url, c->path);
	SET(CURLOPT_URL, url);
	/* libcurl, when memory is out, asks for the URL without its query. */
	SET(CURLOPT_REQUEST_TARGET, target_of(url));
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");                         /* none, whatever the environment says */
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);                    /* a stop waits for no name server */
	SET(CURLOPT_USERAGENT, "prelabel");
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_CONNECTTIMEOUT_MS, c->api->connect_ms);
	if (c->kind != TO_EXPORT)                       /* its limits: on_header(), drive() */
		SET(CURLOPT_TIMEOUT_MS, c->api->total_ms);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, c);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, c);
	if (c->body.len > 0 || c->method[0] == 'P') {   /* POST, PUT, PATCH: a length, be it 0 */
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.len);
		SET(CURLOPT_POSTFIELDS, c->body.len > 0 ? c->body.p : "");
	}
	SET(CURLOPT_CUSTOMREQUEST, c->method);
#undef SET
	return rc == CURLE_OK ? 0 : -1;
}

/* Runs the prepared transfer.  1: cancelled. */
static int drive(struct call *c, CURLcode *code)
{
	struct ls_api  *api = c->api;
	CURLMcode       mc = curl_multi_add_handle(api->multi, api->curl);
	const double    until = clock_monotonic() + (double)api->build_s;
	struct CURLMsg *m;
	int             running = 1, left, rc = 0;

	*code = CURLE_OUT_OF_MEMORY;
	while (mc == CURLM_OK && running > 0) {
		if (is_cancelled(api)) {
			rc = 1;
			break;
		}
		if (c->kind == TO_EXPORT && c->header_bytes == 0 && clock_monotonic() > until) {
			*code = CURLE_OPERATION_TIMEDOUT;
			break;
		}
		mc = curl_multi_perform(api->multi, &running);
		if (mc == CURLM_OK && running > 0)
			mc = curl_multi_poll(api->multi, NULL, 0, POLL_MS, NULL);
	}
	while ((m = curl_multi_info_read(api->multi, &left)) != NULL)
		if (m->msg == CURLMSG_DONE)
			*code = m->data.result;
	curl_multi_remove_handle(api->multi, api->curl);
	return rc;
}

static void forget_attempt(struct call *c)
{
	err_clear(&c->local);
	buf_reset(&c->refusal);
	c->header_bytes = 0;
	c->status = c->api->status = 0;
	c->api->last = (struct ls_last){ .trouble = LS_ANSWERED };
	c->retry_after_s = 0;
	if (c->kind == TO_BUFFER) {
		c->answer->len = c->answer_from;
		if (c->answer->p != NULL)
			c->answer->p[c->answer_from] = '\0';
	} else {
		json_splitter_clear(&c->split);
		json_splitter_init(&c->split, LS_ANSWER_BYTES_MAX, on_task, c);
	}
}

static enum verdict attempt(struct call *c, struct err *e)
{
	struct curl_slist *headers;
	CURLcode           code;
	curl_off_t         after = 0;
	char              *redirect = NULL;
	int                stopped;

	forget_attempt(c);
	if ((headers = headers_of(c)) == NULL || prepare(c, headers) < 0) {
		curl_slist_free_all(headers);
		err_memory(e);
		return FAILED;
	}
	stopped = drive(c, &code);
	curl_slist_free_all(headers);
	if (stopped)
		return failed(e, ERR_STOPPED, "told to stop");
	if (c->local.code != ERR_OK)
		return failed(e, c->local.code, c->local.msg);
	curl_easy_getinfo(c->api->curl, CURLINFO_RETRY_AFTER, &after);
	c->retry_after_s = (double)after;
	/* A refusal too long to be read to its end is a refusal. */
	if (code == CURLE_OK || c->refusal.failed != ERR_OK) {
		curl_easy_getinfo(c->api->curl, CURLINFO_RESPONSE_CODE, &c->status);
		c->api->status = c->status;
		curl_easy_getinfo(c->api->curl, CURLINFO_REDIRECT_URL, &redirect);
		snprintf(c->api->last.redirect, sizeof c->api->last.redirect, "%s", redirect == NULL ? "" : redirect);
		return judge_status(c, e);
	}
	return judge_trouble(c, code, e);
}

/* ---- all attempts ---- */

/* -1: cancelled meanwhile. */
static int wait_s(const struct ls_api *api, double seconds, struct err *e)
{
	const double end = clock_monotonic() + seconds;
	double       left;

	while ((left = end - clock_monotonic()) > 0) {
		const long ms = left * 1000 < POLL_MS ? (long)(left * 1000) + 1 : POLL_MS;

		if (is_cancelled(api))
			return err_set(e, ERR_STOPPED, "told to stop");
		nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
	}
	return 0;
}

/* About 2 s, 4 s: a half more or less, so that many do not come back at once. */
static double backoff_s(const struct ls_api *api, int tried)
{
	double jitter = 0.5 + (double)randombytes_uniform(1001) / 1000;

	return api->backoff_s * (double)(1 << (tried - 1)) * jitter;
}

static int run_attempts(struct call *c, struct err *e)
{
	struct err why;

	for (int tried = 1; ; tried++) {
		why = (struct err){ 0 };
		switch (attempt(c, &why)) {
		case DONE:
			return 0;
		case FAILED:
			return err_set(e, why.code, "%s", why.msg);
		case AGAIN:
			break;
		}
		if (c->retry_after_s > c->api->wait_max_s)
			return err_set(e, why.code, "%.160s; it asks to wait for %.0f s", why.msg,
			               c->retry_after_s);
		if (tried == c->api->attempts_max)
			return err_set(e, why.code, "%s", why.msg);
		if (wait_s(c->api, c->retry_after_s > 0 ? c->retry_after_s : backoff_s(c->api, tried), e) < 0)
			return -1;
	}
}

/* A personal access token is good for nothing but this: POST /api/token/refresh/. */
static int exchange_key(struct ls_api *api, struct err *e)
{
	struct buf   body, answer;
	struct arena a;
	struct span  object, value, token;
	struct err   why = { 0 };
	struct call  c = { .api = api, .method = "POST", .path = "/api/token/refresh/",
	                   .without_key = true, .kind = TO_BUFFER, .answer = &answer };
	int64_t      exp;
	int          rc = -1;

	wipe(&api->access);
	buf_init(&body, 2 * TOKEN_MAX);
	buf_init(&answer, 4 * TOKEN_MAX);
	buf_init(&c.refusal, REFUSAL_MAX);
	arena_init(&a, 4 * TOKEN_MAX);
	buf_adds(&body, "{\"refresh\":");
	json_put_text(&body, span_of(api->key));
	buf_addc(&body, '}');
	if (buf_check(&body, "token", e) < 0)
		goto out;
	c.body = buf_span(&body);
	if (run_attempts(&c, &why) < 0) {
		if (why.code == ERR_AUTH)
			err_set(e, ERR_AUTH, "Label Studio refused the personal access token: it is "
			        "wrong, expired or revoked");
		else
			err_set(e, why.code == ERR_NOT_FOUND ? ERR_REMOTE : why.code, "%s", why.msg);
		goto out;
	}
	if (json_check(buf_span(&answer), &object, NULL) < 0 ||
	    json_member(object, "access", &value) != 0 ||
	    json_text(value, &a, &token, NULL) != 0 || !token_is_clean(token)) {
		err_set(e, ERR_REMOTE, "Label Studio's answer to POST /api/token/refresh/ holds no "
		        "access token");
		goto out;
	}
	if ((api->access = copy_of(token)) == NULL) {
		err_memory(e);
		goto out;
	}
	(void)token_read(api->access, &exp);
	api->access_until_s = exp > 0 ? exp - ACCESS_MARGIN_S : clock_s() + ACCESS_UNKNOWN_S;
	rc = 0;
out:
	if (body.p != NULL)
		sodium_memzero(body.p, body.len);
	if (answer.p != NULL)
		sodium_memzero(answer.p, answer.len);
	buf_clear(&body);
	buf_clear(&answer);
	buf_clear(&c.refusal);
	arena_clear(&a);
	return rc;
}

/* A call with the key: exchanged before if need be, and once more when Label
 * Studio no longer takes what it was exchanged for. */
static int run_call(struct call *c, struct err *e)
{
	struct ls_api *api = c->api;
	struct err     why = { 0 };
	bool           fresh = false;
	int            rc;

	if (api->kind == KEY_REFRESH && (api->access == NULL || clock_s() >= api->access_until_s)) {
		if (exchange_key(api, e) < 0)
			return -1;
		fresh = true;
	}
	rc = run_attempts(c, &why);
	if (rc < 0 && why.code == ERR_AUTH && api->kind == KEY_REFRESH && !fresh) {
		if (exchange_key(api, e) < 0)
			return -1;
		err_clear(&why);
		rc = run_attempts(c, &why);
	}
	if (rc < 0)
		err_set(e, why.code, "%s", why.msg);
	return rc;
}

static int check_request(const char *method, const char *path, struct err *e)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
	size_t                   i = 0;

	while (i < countof(methods) && strcmp(methods[i], method) != 0)
		i++;
	if (i == countof(methods))
		return err_set(e, ERR_USAGE, "%.20s is no method of Label Studio's API", method);
	if (path[0] != '/' || strlen(path) >= PATH_MAX_BYTES || !token_is_clean(span_of(path)))
		return err_set(e, ERR_USAGE, "%.100s is no path of Label Studio's API", path);
	return 0;
}

int ls_api_request(struct ls_api *api, const char *method, const char *path, struct span body,
                   struct buf *answer, struct err *e)
{
	struct call c = { .api = api, .method = method, .path = path, .body = body,
	                  .kind = TO_BUFFER, .answer = answer, .answer_from = answer->len };
	int         rc;

	if (check_request(method, path, e) < 0)
		return -1;
	buf_init(&c.refusal, REFUSAL_MAX);
	rc = run_call(&c, e);
	buf_clear(&c.refusal);
	if (rc < 0 && answer->p != NULL) {
		answer->len = c.answer_from;
		answer->p[answer->len] = '\0';
	}
	return rc;
}

long ls_api_status(const struct ls_api *api)
{
	return api->status;
}

const struct ls_last *ls_api_last(const struct ls_api *api)
{
	return &api->last;
}

/* ---- what is asked ---- */

static int keep_text(struct span object, const char *key, struct arena *a, struct span *text,
                     struct err *e)
{
	struct span value;
	int         rc = 1;

	if (json_member(object, key, &value) == 0)
		rc = json_text(value, a, text, e);
	if (rc == 1)
		return err_set(e, ERR_REMOTE, "Label Studio's answer lacks the project's %s", key);
	if (rc == 0 && (text->p = arena_copy(a, *text)) == NULL)
		rc = err_memory(e);
	return rc;
}

static int project_read(struct span answer, struct arena *a, struct ls_project *project, struct err *e)
{
	struct span object, value, created = { 0 };
	struct err  why = { 0 };
	int64_t     id, us;

	if (json_check(answer, &object, &why) < 0)
		return err_set(e, ERR_REMOTE, "Label Studio's answer about project %" PRId64 " is %s",
		               project->id, why.msg);
	if (json_member(object, "id", &value) != 0 || json_int(value, 1, INT64_MAX, &id) < 0 ||
	    id != project->id)
		return err_set(e, ERR_REMOTE, "Label Studio's answer is not about project %" PRId64,
		               project->id);
	if (keep_text(object, "title", a, &project->title, e) < 0 ||
	    keep_text(object, "label_config", a, &project->label_config, e) < 0 ||
	    keep_text(object, "created_at", a, &created, e) < 0)
		return -1;
	if (clock_parse_iso(created, &us) < 0 || us < 0)
		return err_set(e, ERR_REMOTE, "Label Studio's answer has no time in the project's created_at");
	project->created_s = us / 1000000;
	return 0;
}

int ls_api_project(struct ls_api *api, int64_t id, struct arena *a, struct ls_project *project,
                   struct err *e)
{
	char       path[64];
	struct buf answer;
	int        rc;

	*project = (struct ls_project){ .id = id };
	snprintf(path, sizeof path, "/api/projects/%" PRId64 "/", id);
	buf_init(&answer, LS_ANSWER_BYTES_MAX);
	rc = ls_api_request(api, "GET", path, (struct span){ 0 }, &answer, e);
	if (rc == 0)
		rc = project_read(buf_span(&answer), a, project, e);
	buf_clear(&answer);
	return rc;
}

int ls_api_export(struct ls_api *api, int64_t project,
                  int (*each)(void *arg, struct span task, struct err *e), void *arg,
                  struct err *e)
{
	char        path[80];
	struct call c = { .api = api, .method = "GET", .path = path, .kind = TO_EXPORT,
	                  .each = each, .each_arg = arg };
	struct err  why = { 0 };
	int         rc;

	snprintf(path, sizeof path, "/api/projects/%" PRId64 "/export?exportType=JSON", project);
	buf_init(&c.refusal, REFUSAL_MAX);
	json_splitter_init(&c.split, LS_ANSWER_BYTES_MAX, on_task, &c);
	rc = run_call(&c, e);
	if (rc == 0 && json_splitter_end(&c.split, &why) < 0)
		rc = err_set(e, ERR_REMOTE, "Label Studio's export is not whole: %s", why.msg);
	json_splitter_clear(&c.split);
	buf_clear(&c.refusal);
	return rc;
}
