/* test_curl.c - libcurl that can't be opened: said as it is, and tried again. */
#include "base/curl.h"
#include "base/env.h"
#include "studio/ls_api.h"
#include "web/health.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <string.h>

/* Stands in place of the C library's, for this program. */
static bool missing;

void *dlopen(const char *name, int flags)
{
	static void *(*real)(const char *, int);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "dlopen");
	return real(missing && name != NULL && strstr(name, "libcurl") != NULL ? "libcurl.so.missing" : name, flags);
}

/* Nobody listens on port 1. */
static const struct env env = { .host = "127.0.0.1", .port = 1 };

static void test_missing_is_said_and_tried_again(void **state)
{
	struct ls_api *api = NULL;
	struct health  h;
	struct err     e = { 0 };

	(void)state;
#ifdef CURL_SONAME
	missing = true;
	assert_int_equal(health_ask(&env, &h, &e), -1);
	assert_non_null(strstr(e.msg, "libcurl can't be opened: libcurl.so.missing"));
	err_clear(&e);
	assert_int_equal(ls_api_open(&api, "http://127.0.0.1:1", "key", &e), -1);
	assert_int_equal(e.code, ERR_MEMORY);       /* it may pass */
	assert_non_null(strstr(e.msg, "libcurl can't be opened"));
	assert_null(api);
	err_clear(&e);
#endif
	missing = false;
	assert_int_equal(ls_api_open(&api, "http://127.0.0.1:1", "key", &e), 0);
	ls_api_close(api);
	assert_int_equal(health_ask(&env, &h, &e), -1);
	assert_non_null(strstr(e.msg, "DOWN: http://127.0.0.1:1/livez: no connection"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_missing_is_said_and_tried_again) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
