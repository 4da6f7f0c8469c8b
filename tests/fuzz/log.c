/*
 * log.c - log lines and messages of errors: whatever goes in, one line that can be shown.
 *
 * Input: a line with the request's id, the rest is what is logged.
 */
#include "fuzz.h"

#include "base/log.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int fd;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_open("fuzz", LOG__MAX);
	fd = memfd_create("log", MFD_CLOEXEC);
	must(fd >= 0);
	log_tee(fd, LOG_DEBUG);
	return 0;
}

/* C0, DEL and, as UTF-8, C1: all that a terminal obeys. */
static bool is_plain(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < len && (unsigned char)s[i + 1] >= 0x80 && (unsigned char)s[i + 1] < 0xa0))
			return false;
	}
	return true;
}

static void check_line(const char *id, const char *text)
{
	char    line[2 * LOG_LINE_MAX];
	ssize_t n;

	log_request(id);
	must(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	log_line(LOG_INFO, "%s", text);
	n = pread(fd, line, sizeof line, 0);
	/* 2026-11-22T00:10:00Z INFO fuzz … */
	must(n > 27 && n <= LOG_LINE_MAX && line[n - 1] == '\n');
	must(is_plain(line, (size_t)n - 1));
	must(memcmp(line + 19, "Z INFO fuzz ", 12) == 0);
	must(fuzz_is_utf8((struct span){ line, (size_t)n }));
}

static void check_error(const char *text)
{
	struct err e = { 0 };

	must(err_set(&e, ERR_SHAPE, "%s", text) == -1);
	must(strlen(e.msg) < sizeof e.msg && is_plain(e.msg, strlen(e.msg)));
	must(!fuzz_is_utf8(span_of(text)) || fuzz_is_utf8(span_of(e.msg)));
	must(err_set(&e, ERR_AUTH, "later") == -1 && e.code == ERR_SHAPE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	char             *id = fuzz_text(fuzz_take_line(&in)), *text = fuzz_text((struct span){ (const char *)in.p, in.left });

	/* An id is ours, and plain. */
	check_line(is_plain(id, strlen(id)) && fuzz_is_utf8(span_of(id)) && strlen(id) < 33 ? id : NULL, text);
	check_error(text);
	free(id);
	free(text);
	return 0;
}
