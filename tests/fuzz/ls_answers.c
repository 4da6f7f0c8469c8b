/*
 * ls_answers.c - what Label Studio answers: a project, an export, lists in pages, refusals.
 *
 * Input: answers, one behind the other, each a line "STATUS", its body and a line "%%";
 * a status 0 breaks the connection after the body.  The transfer itself is left out: of
 * libcurl the functions that would send and receive are replaced, all of ours runs.
 *
 * No message holds the key, even where an answer does.
 */
#undef CURL_SONAME      /* linked here */
#include <stdint.h>
#include "base/clock.h"

#include <curl/curl.h>

struct call;
static struct call *current;
static double       now_s;          /* waiting takes none */

static CURLMcode fake_add(CURLM *m, CURL *c);
static CURLMcode fake_perform(CURLM *m, int *running);
static CURLMsg  *fake_info(CURLM *m, int *left);
static CURLMcode fake_remove(CURLM *m, CURL *c);
static CURLMcode fake_poll(CURLM *m, struct curl_waitfd *w, unsigned n, int ms, int *numfds);
static CURLcode  fake_getinfo(CURL *c, CURLINFO info, void *out);

/* The one option that is looked at: who gets the bytes. */
#undef curl_easy_getinfo
#undef curl_easy_setopt
#define curl_easy_setopt(c, option, value) \
	((option) == CURLOPT_WRITEDATA ? (void)(current = (struct call *)(uintptr_t)(value)) : (void)0, CURLE_OK)
#define nanosleep(t, rest)    ((void)(t), now_s += 1)
#define clock_monotonic()     (now_s)
#define curl_multi_add_handle    fake_add
#define curl_multi_perform       fake_perform
#define curl_multi_info_read     fake_info
#define curl_multi_remove_handle fake_remove
#define curl_multi_poll          fake_poll
#define curl_easy_getinfo(c, info, out) fake_getinfo((c), (info), (out))
#include "studio/ls_api.c"

#include "connect.h"
#include "fuzz.h"
#include "reconcile.h"
#include "studio/ls_rest.h"

#define KEY "0123456789abcdef0123456789abcdef01234567"

/* ---- answers --------------------------------------------------------------------------- */

static struct span  left;           /* not answered yet */
static size_t       asked;          /* requests so far */
static long         status;
static CURLcode     code;
static CURLMsg      done;
static int          told;

static CURLMcode fake_add(CURLM *m, CURL *c)
{
	(void)m;
	(void)c;
	asked++;
	return CURLM_OK;
}

static CURLMcode fake_remove(CURLM *m, CURL *c)
{
	(void)m;
	(void)c;
	return CURLM_OK;
}

static CURLMcode fake_poll(CURLM *m, struct curl_waitfd *w, unsigned n, int ms, int *numfds)
{
	(void)m;
	(void)w;
	(void)n;
	(void)ms;
	(void)numfds;
	return CURLM_OK;
}

static CURLMsg *fake_info(CURLM *m, int *more)
{
	(void)m;
	*more = 0;
	done.data.result = code;
	done.msg = CURLMSG_DONE;
	return told++ == 0 ? &done : NULL;
}

static CURLcode fake_getinfo(CURL *c, CURLINFO info, void *out)
{
	(void)c;
	if (info == CURLINFO_RESPONSE_CODE)
		*(long *)out = status;
	else if (info == CURLINFO_OS_ERRNO)
		*(long *)out = 0;
	else if (info == CURLINFO_REDIRECT_URL)
		*(char **)out = status / 100 == 3 ? "http://elsewhere.example/" KEY : NULL;
	else
		*(curl_off_t *)out = 0;
	return CURLE_OK;
}

/* The next answer, up to its line "%%". */
static struct span next_answer(void)
{
	struct fuzz_input in = { (const uint8_t *)left.p, left.len };
	struct span       line = fuzz_take_line(&in), body = { (const char *)in.p, in.left };
	const char       *end = in.left == 0 ? NULL : memmem(in.p, in.left, "\n%%\n", 4);

	status = 0;
	for (size_t i = 0; i < line.len && line.p[i] >= '0' && line.p[i] <= '9' && status < 1000; i++)
		status = status * 10 + (line.p[i] - '0');
	if (end == NULL) {
		left = (struct span){ NULL, 0 };
		return body;
	}
	body.len = (size_t)(end - body.p);
	left = (struct span){ end + 4, in.left - body.len - 4 };
	return body;
}

static bool give(size_t (*to)(char *, size_t, size_t, void *), struct span s)
{
	char *copy = malloc(s.len == 0 ? 1 : s.len);
	bool  took;

	must(copy != NULL);
	if (s.len > 0)
		memcpy(copy, s.p, s.len);
	took = to(copy, 1, s.len, current) == s.len;
	free(copy);
	return took;
}

static CURLMcode fake_perform(CURLM *m, int *running)
{
	struct span  body = next_answer();
	const size_t chunk = 1 + body.len % 61;
	bool         took = give(on_header, SPAN("HTTP/1.1 200 OK\r\n")) &&
	                    give(on_header, SPAN("Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n"));

	(void)m;
	*running = 0;
	told = 0;
	code = status == 0 ? CURLE_RECV_ERROR : CURLE_OK;
	status = status == 0 ? 200 : status;
	for (size_t at = 0; took && at < body.len; at += chunk)
		took = give(on_body, (struct span){ body.p + at, body.len - at < chunk ? body.len - at : chunk });
	if (!took)
		code = CURLE_WRITE_ERROR;
	return CURLM_OK;
}

/* ---- asking ----------------------------------------------------------------------------- */

static struct env env;
static char       personal[256];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char payload[] = "{\"token_type\":\"refresh\",\"exp\":9999999999}";
	char              base64[128];

	(void)argc;
	(void)argv;
	env = *fuzz_open();
	fuzz_project();
	fuzz_keep();
	sodium_bin2base64(base64, sizeof base64, (const unsigned char *)payload, sizeof payload - 1,
	                  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	snprintf(personal, sizeof personal, "eyJhbGciOiJIUzI1NiJ9.%s.c2VjcmV0LXNpZ25hdHVyZQ", base64);
	return 0;
}

/* A part of the key that is long enough to give it away. */
static bool gives_away(const void *text, size_t len)
{
	return memmem(text, len, env.ls_key, 16) != NULL || memmem(text, len, env.ls_key + strlen(env.ls_key) - 16, 16) != NULL;
}

static void must_keep_secret(const char *text)
{
	must(!gives_away(text, strlen(text)));
}

static void must_be_refusal(struct err *e)
{
	must(e->code != ERR_STORE && e->code != ERR_DAMAGED && e->code != ERR_BUSY && e->code != ERR_MEMORY);
	must_keep_secret(e->msg);
	fuzz_must_be_error(e);
}

static bool go_on(void *arg)
{
	(void)arg;
	return true;
}

static int count_object(void *arg, struct span one, struct err *e)
{
	struct span root;
	size_t     *n = arg;

	(void)e;
	must(json_check(one, &root, NULL) == 0);
	++*n;
	return 0;
}

static void step(void *arg, const char *what, enum connect_did did, const char *text)
{
	size_t *n = arg;

	++*n;
	must((what[0] == 0) == (did == CONNECT_NEXT));
	must((int)did >= 0 && did < CONNECT__MAX);
	must(fuzz_is_clean(text));
	must_keep_secret(text);
}

static void ask(char what)
{
	static const char                  *const labels[] = { "one", "two" };
	const struct connect_options        by_id = { .project = 12, .url = "http://backend.example:9090" };
	const struct connect_options        by_title = { .title = "prelabel", .labels = labels, .n_labels = 2, .uncertainty = true };
	size_t                              n = 0;
	struct connect_report               report = { .step = step, .arg = &n };
	struct reconcile_result             r;
	struct ls_project                   p;
	struct ls_api                      *api;
	struct arena                        a;
	struct err                          e = { 0 };
	int64_t                             row;
	int                                 rc;

	arena_init(&a, (size_t)64 << 20);
	must(ls_api_open(&api, env.ls_url, env.ls_key, &e) == 0);
	switch (what) {
	case 'p':
		rc = ls_api_project(api, 12, &a, &p, &e);
		must(rc < 0 || (fuzz_is_utf8(p.title) && fuzz_is_utf8(p.label_config) && p.id == 12 && p.created_s >= 0));
		break;
	case 'e':
		rc = ls_api_export(api, 12, count_object, &n, &e);
		break;
	case 'l':
		rc = ls_rest_each(api, count_object, &n, &e, "/api/webhooks/?project=%d", 12);
		break;
	case 'c':
	case 't':
		rc = connect_project(fuzz_store(), &env, what == 'c' ? &by_id : &by_title, &report, &e);
		must(fuzz_is_clean(report.cure));
		must_keep_secret(report.cure);
		break;
	case 'd':
		rc = disconnect_project(fuzz_store(), &env, &by_id, &report, &e);
		break;
	default:
		must(store_project_find(fuzz_store(), 12, STORE_NULL, &row, &e) == 0);
		rc = reconcile(fuzz_store(), &env, row, go_on, NULL, &r, &e);
		must(r.tasks >= 0 && r.changed >= r.deleted && r.unreadable >= 0);
		must(rc == 0 || r.deleted == 0);        /* what did not come whole deletes nothing */
	}
	if (rc < 0)
		must_be_refusal(&e);
	must(store_begin(fuzz_store(), &e) == 0);
	store_rollback(fuzz_store());
	ls_api_close(api);
	arena_clear(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	const struct span what = fuzz_take_line(&in);
	const int64_t     before = store_writes(fuzz_store());
	const char        first = what.len == 0 ? 'r' : what.p[0];

	/* A capital letter: with a personal access token. */
	env.ls_key = first >= 'A' && first <= 'Z' ? personal : KEY;
	if (gives_away(data, size))
		return -1;      /* an answer may be quoted: libFuzzer, which sees what is compared, is not to learn the key */
	left = (struct span){ (const char *)in.p, in.left };
	asked = 0;
	now_s = 0;
	ask((char)(first | 0x20));
	must(asked < 20 + size);                        /* it comes to an end */
	if (store_writes(fuzz_store()) != before)
		fuzz_restore();
	return 0;
}
