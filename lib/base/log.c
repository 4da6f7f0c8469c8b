/* log.c - one line an event, on standard error. */
#include "base/log.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char    *log_program = "prelabel";
static enum log_level log_least = LOG_INFO;
static int            tee_fd = -1;
static enum log_level tee_least;

static _Thread_local char request[40];

static const char *const level_names[LOG__MAX] = {
	[LOG_DEBUG] = "DEBUG", [LOG_INFO] = "INFO", [LOG_WARNING] = "WARNING", [LOG_ERROR] = "ERROR",
};

void log_open(const char *program, enum log_level least)
{
	log_program = program;
	log_least = least;
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

/* Copies s behind out[at], control characters as \xNN; returns the new length. */
static size_t escape(char out[LOG_LINE_MAX], size_t at, const char *s)
{
	static const char hex[] = "0123456789abcdef";

	for (; *s != '\0' && at < LOG_LINE_MAX - 6; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x20 && c != 0x7f) {
			out[at++] = *s;
		} else {
			out[at++] = '\\';
			out[at++] = 'x';
			out[at++] = hex[c >> 4];
			out[at++] = hex[c & 15];
		}
	}
	return at;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char    out[LOG_LINE_MAX], message[LOG_LINE_MAX], when[CLOCK_ISO_BYTES];
	va_list ap;
	size_t  len;
	int     n;

	if (level < log_least && (tee_fd < 0 || level < tee_least))
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	n = snprintf(out, sizeof out, "%s %s %s %s%s", clock_iso(clock_s(), when), level_names[level],
	             log_program, request, request[0] == '\0' ? "" : " ");
	if (n < 0 || n >= (int)sizeof out)
		return;
	len = escape(out, (size_t)n, message);
	out[len++] = '\n';
	/* A line that can't be written has nobody left to be told to. */
	if (level >= log_least && write(STDERR_FILENO, out, len) < 0)
		return;
	if (tee_fd >= 0 && level >= tee_least && write(tee_fd, out, len) < 0)
		return;
}
