/* err.c - error codes and messages. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int (err_set)(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL || e->code != ERR_OK)
		return -1;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	for (char *p = e->msg; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
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
	e->code = ERR_OK;
	e->msg[0] = '\0';
}
