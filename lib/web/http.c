/* http.c - one request and its reply on the wire, statuses and error documents. */
#include "web/http.h"
#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 << 10)
#define DROP_S 3.0

/* ---- statuses ------------------------------------------------------------- */

static const int statuses[ERR__MAX] = {
	[ERR_OK]        = 200, [ERR_SYNTAX]    = 400, [ERR_AUTH]    = 401, [ERR_NOT_FOUND] = 404,
	[ERR_METHOD]    = 405, [ERR_LENGTH]    = 411, [ERR_TOO_LARGE] = 413, [ERR_MEDIA]   = 415,
	[ERR_SHAPE]     = 422, [ERR_TOO_FEW]   = 422, [ERR_USAGE]   = 422,
	[ERR_BUSY]      = 503, [ERR_STORE]     = 503, [ERR_MEMORY]  = 503, [ERR_BROKEN]  = 503, [ERR_REMOTE]    = 503,
	[ERR_LEASE]     = 503, [ERR_STOPPED]   = 503, [ERR_DAMAGED] = 503, [ERR_DISK]      = 507,
};

int http_status(enum err_code code)
{
	return code >= 0 && code < ERR__MAX && statuses[code] != 0 ? statuses[code] : 503;
}

const char *http_reason(int status)
{
	static const struct { int status; const char *reason; } reasons[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 400, "Bad Request" },
		{ 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 411, "Length Required" },
		{ 413, "Content Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" }, { 422, "Unprocessable Content" }, { 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" }, { 503, "Service Unavailable" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < countof(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return status < 400 ? "OK" : "Error";
}

void put_error(struct buf *b, int status, const char *message, const char *request_id)
{
	buf_addf(b, "{\"status\": %d, \"error\": ", status);
	json_put_text(b, span_of(message));
	buf_adds(b, ", \"request_id\": ");
	json_put_text(b, span_of(request_id));
	buf_adds(b, "}\n");
}

/* What the web server sends here (lighttpd: server.error-handler, Apache:
 * ErrorDocument) has the status it would answer in REDIRECT_STATUS; asked for
 * directly, this is a page that does not exist. */
int web_error(struct request *req, struct reply *reply, struct err *e)
{
	static const struct { int status; enum err_code code; const char *message; } refusals[] = {
		{ 400, ERR_SYNTAX,    "the web server can't read this request" },
		{ 404, ERR_NOT_FOUND, "no such path" },
		{ 405, ERR_METHOD,    "no such method" },
		{ 411, ERR_LENGTH,    "a body needs a Content-Length" },
		{ 413, ERR_TOO_LARGE, "the body is larger than MAX_BODY_MB allows" },
		{ 415, ERR_MEDIA,     "the web server does not read this type" },
		/* A method or version that the web server does not know is the client's doing. */
		{ 501, ERR_METHOD,    "no such method" },
		{ 505, ERR_SYNTAX,    "no such version of HTTP" },
		{ 507, ERR_DISK,      "the disk is full" },
	};
	const char *given = request_param(req, "REDIRECT_STATUS");
	int         status = 0;

	if (given != NULL && strlen(given) == 3 && strspn(given, "0123456789") == 3)
		status = (given[0] - '0') * 100 + (given[1] - '0') * 10 + (given[2] - '0');
	if (status < 400 || status > 599)
		status = 404;
	for (size_t i = 0; i < countof(refusals); i++)
		if (refusals[i].status == status)
			return err_set(e, refusals[i].code, "%s", refusals[i].message);
	if (status >= 500)
		return err_set(e, ERR_BUSY, "the program that answers this was not there (it is being started again), or the disk is full");
	/* Any other refusal keeps its status. */
	reply->status = status;
	put_error(&reply->body, status, http_reason(status), req->id);
	return 0;
}

/* ---- the body --------------------------------------------------------------- */

/* Up to len bytes; 0 at the end or when the connection broke. */
static size_t read_some(const struct http *h, char *p, size_t len)
{
	ssize_t n;

	if (h->fcgi != NULL)
		return (size_t)FCGX_GetStr(p, (int)len, h->fcgi->in);
	do
		n = read(STDIN_FILENO, p, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? 0 : (size_t)n;
}

/* Is there a byte behind the body?  Of FastCGI alone: a CGI program must not look
 * (RFC 3875, 4.2), since its input may stay open. */
static bool has_more(const struct http *h)
{
	char c;

	return h->fcgi != NULL && read_some(h, &c, 1) > 0;
}

static int content_length(const struct request *req, size_t max, size_t *len, struct err *e)
{
	const char *given = request_param(req, "CONTENT_LENGTH");

	*len = 0;
	if (given == NULL || given[0] == '\0')
		return err_set(e, ERR_LENGTH, "a body needs a Content-Length");
	if (given[strspn(given, "0123456789")] != '\0')
		return err_set(e, ERR_SYNTAX, "Content-Length is no number");
	for (; *given != '\0'; given++) {
		/* max is far below SIZE_MAX / 10 */
		*len = *len * 10 + (size_t)(*given - '0');
		if (*len > max)
			return err_set(e, ERR_TOO_LARGE, "the body is larger than %zu MB (MAX_BODY_MB)", max >> 20);
	}
	return 0;
}

/* What may hold JSON: said to be, not said, or said by a client that does not know
 * what it sends (curl -d). */
static bool readable_type(const char *type)
{
	static const char *const names[] = {
		"application/json", "text/json", "text/plain", "application/octet-stream",
		"application/x-www-form-urlencoded",
	};
	size_t len;

	if (type == NULL)
		return true;
	len = strcspn(type, "; \t");
	if (len == 0 || (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0))
		return true;
	for (size_t i = 0; i < countof(names); i++)
		if (strlen(names[i]) == len && strncasecmp(type, names[i], len) == 0)
			return true;
	return false;
}

int http_read_body(const struct http *h, const struct request *req, size_t max, struct buf *b, struct err *e)
{
	const char *coding = request_param(req, "HTTP_CONTENT_ENCODING");
	size_t      len, n;
	char       *p;

	if (coding != NULL && coding[0] != '\0' && strcasecmp(coding, "identity") != 0)
		return err_set(e, ERR_MEDIA, "Content-Encoding: %.40s is not read, send the body as it is", coding);
	if (!readable_type(request_param(req, "CONTENT_TYPE")))
		return err_set(e, ERR_MEDIA, "Content-Type: %.60s is not read, send application/json",
		               request_param(req, "CONTENT_TYPE"));
	if (content_length(req, max, &len, e) < 0)
		return -1;
	b->max = len;
	while (b->len < len) {
		n = len - b->len < READ_BYTES ? len - b->len : READ_BYTES;
		p = buf_room(b, n);
		if (p == NULL)
			return buf_check(b, "the body", e);
		n = read_some(h, p, n);
		if (n == 0)
			return err_set(e, ERR_SYNTAX, "the body ends after %zu of %zu bytes", b->len, len);
		b->len += n;
		p[n] = '\0';
	}
	if (has_more(h))
		return err_set(e, ERR_SYNTAX, "the body is longer than the %zu bytes of its Content-Length", len);
	return 0;
}

void request_spent(const struct request *req, struct span part)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t begin = ((uintptr_t)part.p + page - 1) / page * page;
	const uintptr_t end = ((uintptr_t)part.p + part.len) / page * page;

	/* A small body's buffer is kept for the next request: not worth the call. */
	if (req->body.len > KEEP_BYTES && begin < end)
		(void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

/* ---- the reply -------------------------------------------------------------- */

static int write_all(const struct http *h, struct span s)
{
	if (h->fcgi != NULL) {
		while (s.len > 0) {
			size_t part = s.len < (1 << 30) ? s.len : 1 << 30;

			if (FCGX_PutStr(s.p, (int)part, h->fcgi->out) != (int)part)
				return -1;
			s.p += part;
			s.len -= part;
		}
		return 0;
	}
	while (s.len > 0) {
		ssize_t n = write(STDOUT_FILENO, s.p, s.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		s.p += n;
		s.len -= (size_t)n;
	}
	return 0;
}

int http_write(const struct http *h, const struct request *req, const struct reply *reply,
               const char *allow, bool head_only)
{
	const int status = reply->status;
	char      head[512];
	int       n;

	n = snprintf(head, sizeof head,
	             "Status: %d %s\r\n"
	             "Content-Type: %s\r\n"
	             "Content-Length: %zu\r\n"
	             "Cache-Control: no-store\r\n"
	             "X-Request-Id: %s\r\n"
	             "%s%s%s%s%s"
	             "\r\n",
	             status, http_reason(status),
	             reply->content_type == NULL ? "application/json" : reply->content_type,
	             reply->body.len, req->id,
	             status == 401 ? "WWW-Authenticate: Basic realm=\"prelabel\"\r\n" : "",
	             status == 429 || status == 503 || status == 507 ? "Retry-After: 1\r\n" : "",
	             allow[0] == '\0' ? "" : "Allow: ", allow, allow[0] == '\0' ? "" : "\r\n");
	if (n < 0 || n >= (int)sizeof head)
		return -1;
	if (write_all(h, (struct span){ head, (size_t)n }) < 0)
		return -1;
	return head_only ? 0 : write_all(h, buf_span(&reply->body));
}

/* Apache's mod_cgid speaks to a program by one socket: closed with a part of the body
 * unread, it is reset, and the reply is lost.  Never beyond the body's length, and
 * not for long: the input may stay open, or come a byte at a time. */
static void drop_rest(const struct request *req, size_t got)
{
	const char        *given = request_param(req, "CONTENT_LENGTH");
	unsigned long long len = given == NULL ? 0 : strtoull(given, NULL, 10);
	struct pollfd      in = { .fd = STDIN_FILENO, .events = POLLIN };
	const double       end = clock_monotonic() + DROP_S;
	char               waste[65536];
	double             left;
	ssize_t            n;

	while (got < len && (left = end - clock_monotonic()) > 0 && poll(&in, 1, (int)(left * 1000) + 1) > 0) {
		n = read(STDIN_FILENO, waste, len - got < sizeof waste ? (size_t)(len - got) : sizeof waste);
		if (n <= 0)
			return;
		got += (size_t)n;
	}
}

void http_finish(const struct http *h, const struct request *req, size_t got)
{
	int null;

	if (h->fcgi != NULL) {
		FCGX_Finish_r(h->fcgi);
		return;
	}
	drop_rest(req, got);
	/* A web server reads standard output to its end before it is content. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}
