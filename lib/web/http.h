/* http.h - one request and its reply on the wire: FastCGI streams or, as plain
 * CGI, the environment and descriptors 0 and 1. */
#ifndef WEB_HTTP_H
#define WEB_HTTP_H

#include "web/serve.h"

#include <fcgiapp.h>

#define KEEP_BYTES ((size_t)1 << 20)        /* of a buffer, from one request to the next */

struct http {
	FCGX_Request *fcgi;        /* NULL: plain CGI */
	char *const  *params;      /* CGI variables, NULL at the end */
};

/* The body announced by CONTENT_LENGTH, of at most `max` bytes, into b: memory is
 * taken as bytes arrive.  -1: ERR_LENGTH, ERR_SYNTAX (fewer or more bytes than
 * announced), ERR_TOO_LARGE (nothing was read), ERR_MEDIA, ERR_MEMORY. */
int http_read_body(const struct http *h, const struct request *req, size_t max, struct buf *b, struct err *e);

/* Writes the reply.  allow: for a 405, else "".  head_only: without the body.
 * -1: the web server is not listening any more. */
int http_write(const struct http *h, const struct request *req, const struct reply *reply,
               const char *allow, bool head_only);

/* The web server may go on with the reply: nothing more comes.  got: bytes of the
 * body that were read. */
void http_finish(const struct http *h, const struct request *req, size_t got);

/* "Not Found" */
const char *http_reason(int status);

#endif
