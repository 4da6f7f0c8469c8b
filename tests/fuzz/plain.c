/*
 * plain.c - a fuzz target without libFuzzer, for any compiler.
 *
 *   TARGET FILE...                     each file once, its name before it on a line
 *   TARGET --mutate N --seed S FILE... N inputs made by changing the files
 *
 * Exit status 0: no promise was broken; else the input is in ./broken-TARGET.
 */
#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INPUT_MAX 65536

/* ---- numbers: xorshift64*, the same everywhere ---------------------------------------- */

static uint64_t state = 1;

static size_t below(size_t n)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return n == 0 ? 0 : (size_t)((state * UINT64_C(2685821657736338717)) >> 33) % n;
}

/* ---- files -------------------------------------------------------------------------------- */

struct file {
	uint8_t *p;
	size_t   len;
};

static struct file read_file(const char *path)
{
	FILE       *f = fopen(path, "rb");
	struct file in = { malloc(INPUT_MAX + 1), 0 };

	if (f == NULL || in.p == NULL) {
		perror(path);
		exit(2);
	}
	in.len = fread(in.p, 1, INPUT_MAX, f);
	fclose(f);
	return in;
}

/* Of the input at hand, should it be the last. */
static struct span at_hand;
static char        broken[256];

static void keep(int sig)
{
	FILE *f = fopen(broken, "wb");

	if (f != NULL) {
		fwrite(at_hand.p, 1, at_hand.len, f);
		fclose(f);
	}
	signal(sig, SIG_DFL);
	raise(sig);
}

static void keep_at_exit(void)
{
	keep(SIGCHLD);          /* a sanitizer ends the process by itself */
}

#if defined __has_include
#if __has_include(<sanitizer/common_interface_defs.h>) && (defined __SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define ON_REPORT(f) __sanitizer_set_death_callback(f)
#endif
#endif
#ifndef ON_REPORT
#define ON_REPORT(f) ((void)(f))
#endif

/* On the heap, and no longer than it is. */
static void run(const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len == 0 ? 1 : len);

	if (copy == NULL)
		exit(2);
	if (len > 0)
		memcpy(copy, p, len);
	at_hand = (struct span){ (const char *)copy, len };
	LLVMFuzzerTestOneInput(copy, len);
	at_hand = (struct span){ NULL, 0 };
	free(copy);
}

/* ---- changes -------------------------------------------------------------------------------- */

static size_t insert(uint8_t *p, size_t len, size_t max, size_t at, const void *what, size_t n)
{
	if (n > max - len)
		n = max - len;
	memmove(p + at + n, p + at, len - at);
	memcpy(p + at, what, n);
	return len + n;
}

static size_t cut(uint8_t *p, size_t len, size_t at, size_t n)
{
	if (n > len - at)
		n = len - at;
	memmove(p + at, p + at + n, len - at - n);
	return len - n;
}

size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max)
{
	static const char *const words[] = {
		"\"", "\\", "{", "}", "[", "]", ":", ",", "null", "true", "-1", "0", "1e999", "9223372036854775808", "\\u0000", "\\ud800",
		"\xce\xa3", "\xc4\xb0", "\xef\xbf\xbd", "\xc2\x9b", "\xff", "<", ">", "&#0;", "<!DOCTYPE a>", "]]>", "%00", "=", "\n", "\r\n", " ",
	};
	uint8_t bytes[64];
	size_t  at = below(len + 1), n;
	const char *word;

	switch (below(8)) {
	case 0:
		if (at < len)
			p[at] = (uint8_t)(p[at] ^ 1u << below(8));
		return len;
	case 1:
		if (at < len)
			p[at] = (uint8_t)below(256);
		return len;
	case 2:
		return cut(p, len, at, 1 + below(16));
	case 3:
		n = 1 + below(4);
		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)below(256);
		return insert(p, len, max, at, bytes, n);
	case 4:
		word = words[below(countof(words))];
		return insert(p, len, max, at, word, strlen(word));
	case 5:         /* a piece of itself, elsewhere */
		n = below(len - at < sizeof bytes ? len - at + 1 : sizeof bytes);
		memcpy(bytes, p + at, n);
		return insert(p, len, max, below(len + 1), bytes, n);
	case 6:
		if (at < len && p[at] >= '0' && p[at] <= '9')
			p[at] = (uint8_t)('0' + below(10));
		return len;
	default:
		return below(16) == 0 ? at : len;
	}
}

static void mutate(const struct file *files, size_t n_files, size_t n)
{
	uint8_t *p = malloc(INPUT_MAX);

	if (p == NULL)
		exit(2);
	for (size_t i = 0; i < n; i++) {
		const struct file *from = &files[below(n_files)];
		size_t             len = from->len, changes = 1 + below(6);

		memcpy(p, from->p, len);
		for (size_t k = 0; k < changes; k++)
			len = LLVMFuzzerCustomMutator(p, len, INPUT_MAX, (unsigned)below(UINT32_MAX));
		run(p, len);
	}
	free(p);
}

int main(int argc, char **argv)
{
	const char  *name = strrchr(argv[0], '/') == NULL ? argv[0] : strrchr(argv[0], '/') + 1;
	size_t       n = 0;
	int          i = 1;
	struct file *files;

	snprintf(broken, sizeof broken, "broken-%s", name);
	ON_REPORT(keep_at_exit);
	signal(SIGABRT, keep);
	signal(SIGSEGV, keep);
	for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
		if (strcmp(argv[i], "--mutate") == 0)
			n = strtoul(argv[i + 1], NULL, 10);
		else
			state = strtoull(argv[i + 1], NULL, 10) * 2 + 1;
	}
	LLVMFuzzerInitialize(&argc, &argv);
	files = calloc((size_t)argc, sizeof *files);
	if (files == NULL)
		return 2;
	for (int k = i; k < argc; k++) {
		files[k - i] = read_file(argv[k]);
		if (n == 0) {
			puts(argv[k]);
			fflush(stdout);
			run(files[k - i].p, files[k - i].len);
		}
	}
	if (n > 0 && argc > i)
		mutate(files, (size_t)(argc - i), n);
	for (int k = i; k < argc; k++)
		free(files[k - i].p);
	free(files);
	return 0;
}
