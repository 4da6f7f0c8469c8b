/* curl.c - libcurl opened at run time. */
#ifdef CURL_SONAME
#define CURL_DISABLE_TYPECHECK
#endif
#include "base/curl.h"

#include "base/log.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static bool there;

#ifdef CURL_SONAME
struct curl_calls curl_calls;

static bool open_library(void)
{
#define TEXT(x) #x
#define NAME(x) TEXT(x)
	void *so = dlopen(NAME(CURL_SONAME), RTLD_NOW | RTLD_LOCAL);
	bool  all = so != NULL;

	/* An object pointer read as a function's: what POSIX promises for dlsym(). */
#define LOAD(name) if (all) { void *p = dlsym(so, #name); memcpy(&curl_calls.call_##name, &p, sizeof p); all = p != NULL; }
	CURL_CALLS(LOAD)
	if (!all)
		log_line(LOG_ERROR, "libcurl can't be opened: %s", dlerror());
	return all;
}
#else
static bool open_library(void)
{
	return true;
}
#endif

static void start(void)
{
	there = open_library() && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

bool curl_open(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
	return there;
}
