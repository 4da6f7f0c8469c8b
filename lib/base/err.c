/* err.c - error codes and messages. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t err_obeyed(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	if (u[0] < 0x20 || u[0] == 0x7f)
		return 1;
	if (u[0] == 0xc2 && u[1] >= 0x80 && u[1] <= 0x9f)
		return 2;
	if (u[0] != 0xe2)
		return 0;
	/* U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069 */
	return (u[1] == 0x80 && ((u[2] >= 0xa8 && u[2] <= 0xae) || u[2] == 0x8e || u[2] == 0x8f)) ||
	       (u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9) ? 3 : 0;
}

void err_plain(char *s)
{
	size_t n;

	for (; *s != '\0'; s += n == 0 ? 1 : n) {
		n = err_obeyed(s);
		memset(s, '?', n);
	}
}

int (err_set)(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL || e->code != ERR_OK)
		return -1;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	err_plain(e->msg);
	/* A cut in the middle of a UTF-8 sequence would not be JSON: drop what a
	 * full buffer ends with back to the last whole character. */
	if (strlen(e->msg) == sizeof e->msg - 1) {
		size_t n = sizeof e->msg - 1;

		while (n > 0 && ((unsigned char)e->msg[n - 1] & 0xc0) == 0x80)
			n--;
		if (n > 0 && (unsigned char)e->msg[n - 1] >= 0xc0)
			n--;
		e->msg[n] = '\0';
	}
	return -1;
}

int (err_memory)(struct err *e)
{
	return err_set(e, ERR_MEMORY, "out of memory");
}

void err_clear(struct err *e)
{
	if (e == NULL)
		return;
	e->code = ERR_OK;
	e->msg[0] = '\0';
}
