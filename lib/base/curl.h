/*
 * curl.h - libcurl, opened when it is first needed.
 *
 * It brings TLS, Kerberos and LDAP: 8 ms and 4 MB of each process that links it, of
 * which only those that talk to somebody have a use: not `prelabel start`, which waits,
 * nor a training without an API key.  Include this in place of <curl/curl.h>, call
 * curl_open() once before anything else, and go on as its manual says.
 *
 * CURL_SONAME, from the Makefile, is the library's name.  Without it (deploy/static)
 * libcurl is linked, and this is <curl/curl.h>.
 */
#ifndef BASE_CURL_H
#define BASE_CURL_H

#ifdef CURL_SONAME
#define CURL_DISABLE_TYPECHECK
#endif
#include <curl/curl.h>

#include "base/err.h"

/* Any thread, any number of times.  0, or -1 with ERR_MEMORY and why it can't be opened:
 * memory may have been out, so the next call tries again. */
int curl_open(struct err *e);

#ifdef CURL_SONAME
#undef curl_easy_setopt
#undef curl_easy_getinfo

#define CURL_CALLS(X) \
	X(curl_global_init) X(curl_easy_init) X(curl_easy_setopt) X(curl_easy_perform) X(curl_easy_getinfo) \
	X(curl_easy_reset) X(curl_easy_cleanup) X(curl_easy_strerror) X(curl_multi_init) X(curl_multi_add_handle) \
	X(curl_multi_perform) X(curl_multi_poll) X(curl_multi_info_read) X(curl_multi_remove_handle) \
	X(curl_multi_cleanup) X(curl_slist_append) X(curl_slist_free_all) X(curl_url) X(curl_url_set) X(curl_url_get) \
	X(curl_url_cleanup) X(curl_free) X(curl_getdate)

struct curl_calls {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a name */
#define CURL_FIELD(name) __typeof__(&name) call_##name;
	CURL_CALLS(CURL_FIELD)
#undef CURL_FIELD
};
extern struct curl_calls curl_calls;

#define curl_global_init         curl_calls.call_curl_global_init
#define curl_easy_init           curl_calls.call_curl_easy_init
#define curl_easy_setopt         curl_calls.call_curl_easy_setopt
#define curl_easy_perform        curl_calls.call_curl_easy_perform
#define curl_easy_getinfo        curl_calls.call_curl_easy_getinfo
#define curl_easy_reset          curl_calls.call_curl_easy_reset
#define curl_easy_cleanup        curl_calls.call_curl_easy_cleanup
#define curl_easy_strerror       curl_calls.call_curl_easy_strerror
#define curl_multi_init          curl_calls.call_curl_multi_init
#define curl_multi_add_handle    curl_calls.call_curl_multi_add_handle
#define curl_multi_perform       curl_calls.call_curl_multi_perform
#define curl_multi_poll          curl_calls.call_curl_multi_poll
#define curl_multi_info_read     curl_calls.call_curl_multi_info_read
#define curl_multi_remove_handle curl_calls.call_curl_multi_remove_handle
#define curl_multi_cleanup       curl_calls.call_curl_multi_cleanup
#define curl_slist_append        curl_calls.call_curl_slist_append
#define curl_slist_free_all      curl_calls.call_curl_slist_free_all
#define curl_url()               curl_calls.call_curl_url()
#define curl_url_set             curl_calls.call_curl_url_set
#define curl_url_get             curl_calls.call_curl_url_get
#define curl_url_cleanup         curl_calls.call_curl_url_cleanup
#define curl_free                curl_calls.call_curl_free
#define curl_getdate             curl_calls.call_curl_getdate
#endif

#endif
