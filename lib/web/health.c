/* health.c - `prelabel health`: does the server of these settings answer? */
#include "web/health.h"

#include "base/curl.h"
#include "base/json.h"
#include "base/span.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES_MAX 8192

struct answer {
	char   bytes[ANSWER_BYTES_MAX];
	size_t n;
};

static const char *address(const char *host)
{
	if (strcmp(host, "0.0.0.0") == 0)
		return "127.0.0.1";
	return strcmp(host, "::") == 0 ? "::1" : host;
}

/* Of libcurl; less than it was given ends the transfer. */
static size_t take(char *bytes, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;

	(void)size;             /* 1, always */
	if (n > sizeof a->bytes - a->n)
		return 0;
	memcpy(a->bytes + a->n, bytes, n);
	a->n += n;
	return n;
}

static int judge(const struct answer *a, long http_status, struct err *e)
{
	struct span json, status;

	if (http_status != 200)
		return err_set(e, ERR_REMOTE, "answered %ld", http_status);
	if (json_check((struct span){ a->bytes, a->n }, &json, NULL) != 0 || json_member(json, "status", &status) != 0 ||
	    !json_is(status, SPAN("UP")))
		return err_set(e, ERR_REMOTE, "does not say that it is up");
	return 0;
}

static int ask(CURL *curl, struct health *h, struct err *e)
{
	struct answer a = { .n = 0 };
	char          reason[CURL_ERROR_SIZE] = "";
	double        seconds = 0;
	long          status = 0, failed = 0;
	CURLcode      rc;

	curl_easy_setopt(curl, CURLOPT_URL, h->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(HEALTH_SECONDS * 1000));
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &a);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
	rc = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &seconds);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	h->seconds = seconds;
	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &failed);
	if (rc == CURLE_OPERATION_TIMEDOUT)
		return err_set(e, ERR_REMOTE, "no answer within %g s", HEALTH_SECONDS);
	if (rc == CURLE_COULDNT_CONNECT && failed != 0)
		return err_set(e, ERR_REMOTE, "no connection: %s", strerror((int)failed));
	if (rc != CURLE_OK)
		return err_set(e, ERR_REMOTE, "%.120s", reason[0] != '\0' ? reason : curl_easy_strerror(rc));
	return judge(&a, status, e);
}

int health_ask(const struct env *env, struct health *h, struct err *e)
{
	const char *host = address(env->host);
	struct err  why = { 0 };
	CURL       *curl;
	int         rc;

	/* cppcheck-suppress ctuuninitvar ; it is written here, and read by nobody before */
	snprintf(h->url, sizeof h->url, strchr(host, ':') != NULL ? "http://[%.255s]:%" PRId64 "/livez" : "http://%.255s:%" PRId64 "/livez",
	         host, env->port);
	h->seconds = 0;
	if (curl_open(e) < 0)
		return -1;
	curl = curl_easy_init();
	if (curl == NULL)
		return err_memory(e);
	rc = ask(curl, h, &why);
	curl_easy_cleanup(curl);
	return rc == 0 ? 0 : err_set(e, why.code, "DOWN: %.160s: %s", h->url, why.msg);
}
