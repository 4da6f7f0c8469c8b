/* curl.c - libcurl opened at run time. */
#ifdef CURL_SONAME
#define CURL_DISABLE_TYPECHECK
#endif
#include "base/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#ifdef CURL_SONAME
struct curl_calls curl_calls;

static int open_library(struct err *e)
{
#define TEXT(x) #x
#define NAME(x) TEXT(x)
	void *so = dlopen(NAME(CURL_SONAME), RTLD_NOW | RTLD_LOCAL);
	bool  all = so != NULL;
	char *why;

	/* An object pointer read as a function's: what POSIX promises for dlsym(). */
#define LOAD(name) if (all) { void *p = dlsym(so, #name); memcpy(&curl_calls.call_##name, &p, sizeof p); all = p != NULL; }
	CURL_CALLS(LOAD)
	if (all)
		return 0;
	why = dlerror();
	err_set(e, ERR_MEMORY, "libcurl can't be opened: %.160s", why == NULL ? "out of memory" : why);
	if (so != NULL)
		dlclose(so);
	return -1;
}
#else
static int open_library(struct err *e)
{
	(void)e;
	return 0;
}
#endif

int curl_open(struct err *e)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static bool            there;
	int                    rc;

	pthread_mutex_lock(&mutex);
	rc = there ? 0 : open_library(e);
	if (rc == 0 && !there) {
		there = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
		rc = there ? 0 : err_set(e, ERR_MEMORY, "libcurl can't be started");
	}
	pthread_mutex_unlock(&mutex);
	return rc;
}
