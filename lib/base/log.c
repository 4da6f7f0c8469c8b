/* log.c - one line an event, on standard error. */
#include "base/log.h"
#include "base/clock.h"
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char    *log_program = "prelabel";
static enum log_level log_least = LOG_INFO;
static int            tee_fd = -1;
static enum log_level tee_least;
static bool           journal;           /* standard error is the journal */

static _Thread_local char request[40];

static const char *const level_names[LOG__MAX] = {
	[LOG_DEBUG] = "DEBUG", [LOG_INFO] = "INFO", [LOG_WARNING] = "WARNING", [LOG_ERROR] = "ERROR",
};

/* What syslog(3) calls them: journald takes "<N>" off the front of a line. */
static const int priorities[LOG__MAX] = {
	[LOG_DEBUG] = 7, [LOG_INFO] = 6, [LOG_WARNING] = 4, [LOG_ERROR] = 3,
};

/* systemd names the stream it gave as DEVICE:INODE.  The variable is inherited by
 * children whose standard error may be another: so only where both are the same. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char        ours[48];
	struct stat sb;

	if (stream == NULL || fstat(STDERR_FILENO, &sb) < 0)
		return false;
	snprintf(ours, sizeof ours, "%llu:%llu", (unsigned long long)sb.st_dev, (unsigned long long)sb.st_ino);
	return strcmp(stream, ours) == 0;
}

void log_open(const char *program, enum log_level least)
{
	log_program = program;
	log_least = least;
	journal = stderr_is_journal();
}

bool log_to_journal(void)
{
	return journal;
}

void log_tee(int fd, enum log_level least)
{
	tee_fd = fd;
	tee_least = least;
}

void log_request(const char *request_id)
{
	snprintf(request, sizeof request, "%s", request_id == NULL ? "" : request_id);
}

/* Bytes of the character at s that may stand as it is; 0: the byte is to be escaped,
 * since a terminal obeys it or it is no UTF-8 (Unicode, table 3-7). */
static size_t plain(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	const size_t         len = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;

	if (len == 0 || err_obeyed(s) > 0)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	return (u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
	       (u[0] == 0xf4 && u[1] > 0x8f) ? 0 : len;
}

/* Copies s behind out[at], what is not plain as \xNN; returns the new length. */
static size_t escape(char out[LOG_LINE_MAX], size_t at, const char *s)
{
	static const char hex[] = "0123456789abcdef";
	size_t            n;

	for (; *s != '\0' && at < LOG_LINE_MAX - 6; s += n) {
		unsigned char c = (unsigned char)*s;

		n = plain(s);
		if (n > 0) {
			memcpy(out + at, s, n);
			at += n;
		} else {
			out[at++] = '\\';
			out[at++] = 'x';
			out[at++] = hex[c >> 4];
			out[at++] = hex[c & 15];
			n = 1;
		}
	}
	return at;
}

/* One write(): a line that can't be written has nobody left to be told to. */
static void put_line(int fd, enum log_level level, const char *message, bool for_journal)
{
	char   out[LOG_LINE_MAX], when[CLOCK_ISO_BYTES], head[CLOCK_ISO_BYTES + 1];
	size_t len;
	int    n;

	if (for_journal)
		snprintf(head, sizeof head, "<%d>", priorities[level]);
	else
		snprintf(head, sizeof head, "%s ", clock_iso(clock_s(), when));
	n = snprintf(out, sizeof out, "%s%s %s %s%s", head, level_names[level], log_program, request,
	             request[0] == '\0' ? "" : " ");
	if (n < 0 || n >= (int)sizeof out)
		return;
	len = escape(out, (size_t)n, message);
	out[len++] = '\n';
	if (write(fd, out, len) < 0)
		return;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char    message[LOG_LINE_MAX];
	va_list ap;

	if (level < log_least && (tee_fd < 0 || level < tee_least))
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	if (level >= log_least)
		put_line(STDERR_FILENO, level, message, journal);
	if (tee_fd >= 0 && level >= tee_least)
		put_line(tee_fd, level, message, false);
}
