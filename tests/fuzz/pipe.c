/*
 * pipe.c - the tokenizer, the vectoriser and the JSON check, for differential.py.
 *
 *   pipe tokens|tokens1|json|rows|rows1
 *
 * Reads frames, each a length (4 bytes, little-endian) and as many bytes, until the end;
 * answers each with a line:
 *
 *   tokens  the tokens, joined by spaces, the line's length in the same form before it
 *   json    "no", or "yes" and the document written anew
 *   rows    one frame is a corpus: documents of their own, each ended by a byte 0xff;
 *           a document is a term, a TAB and its weight, line by line, then an empty line
 */

#include "base/buf.h"
#include "base/json.h"
#include "text/corpus.h"
#include "text/tfidf.h"
#include "text/tokenize.h"
#include "../unit/by_document.h"

#include <stdio.h>
#include <stdlib.h>

static struct arena arena;

static void die(const char *what)
{
	fprintf(stderr, "pipe: %s\n", what);
	exit(1);
}

static void put_frame(struct buf *b)
{
	const uint32_t n = (uint32_t)b->len;
	unsigned char  head[4] = { (unsigned char)n, (unsigned char)(n >> 8), (unsigned char)(n >> 16), (unsigned char)(n >> 24) };

	if (b->failed != ERR_OK || fwrite(head, 1, 4, stdout) != 4 || fwrite(b->p == NULL ? "" : b->p, 1, b->len, stdout) != b->len)
		die("can't answer");
}

static void put_tokens(struct buf *b, struct span text, enum token_pattern pattern)
{
	struct tokenizer t;
	struct span      token;
	char            *room = arena_alloc(&arena, tokenize_room(text.len));

	if (room == NULL)
		die("out of memory");
	tokenize_begin(&t, text, pattern, room);
	while (tokenize_next(&t, &token)) {
		if (b->len > 0)
			buf_addc(b, ' ');
		buf_add(b, token.p, token.len);
	}
}

/* As Python's json.dumps(…, separators=(",", ":")) would, but for texts, which stay UTF-8,
 * and numbers, which are as they were written. */
static void put_value(struct buf *b, struct span value)
{
	struct json_iter it = json_each(value);
	struct span      key, one, text;
	size_t           n = 0;

	if (json_type(value) == JSON_STRING) {
		if (json_text(value, &arena, &text, NULL) != 0)
			die("no text");
		json_put_text(b, text);
		return;
	}
	if (json_type(value) != JSON_ARRAY && json_type(value) != JSON_OBJECT) {
		buf_add(b, value.p, value.len);
		return;
	}
	buf_addc(b, it.object ? '{' : '[');
	while (json_next(&it, &key, &one)) {
		if (n++ > 0)
			buf_addc(b, ',');
		if (json_type(value) == JSON_OBJECT) {
			put_value(b, key);
			buf_addc(b, ':');
		}
		put_value(b, one);
	}
	buf_addc(b, json_type(value) == JSON_OBJECT ? '}' : ']');
}

static void put_json(struct buf *b, struct span text)
{
	struct span value;

	if (json_check(text, &value, NULL) < 0) {
		buf_adds(b, "no");
		return;
	}
	buf_adds(b, "yes");
	put_value(b, value);
}

static struct span next_document(struct span *rest)
{
	const char *end = memchr(rest->p, 0xff, rest->len);
	struct span doc = { rest->p, end == NULL ? rest->len : (size_t)(end - rest->p) };

	rest->p += doc.len + (end != NULL);
	rest->len -= doc.len + (end != NULL);
	return doc;
}

static void put_rows(struct buf *b, struct span text, enum token_pattern pattern)
{
	struct err     e = { 0 };
	struct corpus *c = corpus_new(pattern, &e);
	struct vocab   v = { 0 };
	struct postings postings;
	struct counts  counts;
	struct span    rest = text;
	double        *idf, *x;

	if (c == NULL)
		die(e.msg);
	while (rest.len > 0)
		if (corpus_add(c, next_document(&rest), &e) < 0)
			die(e.msg);
	if (corpus_finish(c, &v, &postings, &e) < 0 || !counts_of(&counts, &postings))
		die(e.msg);
	corpus_free(c);
	idf = arena_array(&arena, counts.n_terms + 1, sizeof *idf);
	x = arena_array(&arena, counts.n_terms + 1, sizeof *x);
	if (idf == NULL || x == NULL || (v.slots == NULL && vocab_index(&v, &e) < 0))
		die("out of memory");
	for (size_t i = 0; i < counts.at[counts.n_docs]; i++)
		idf[counts.v[i].term]++;
	for (size_t i = 0; i < counts.n_terms; i++)
		idf[i] = tfidf_idf((double)counts.n_docs, idf[i]);
	/* As a prediction does it: the text is read once more. */
	for (rest = text; rest.len > 0;) {
		struct count *row;
		size_t        n;

		if (vocab_count(&v, pattern, next_document(&rest), &arena, &row, &n, &e) < 0)
			die(e.msg);
		tfidf_row(row, n, idf, x);
		for (size_t i = 0; i < n; i++) {
			vocab_put_term(&v, row[i].term, b);
			buf_addf(b, "\t%.17g\n", x[i]);
		}
		buf_addc(b, '\n');
	}
	vocab_clear(&v);
	counts_clear(&counts);
	postings_clear(&postings);
}

int main(int argc, char **argv)
{
	const char   *what = argc == 2 ? argv[1] : "";
	unsigned char head[4];
	struct buf    in, out;

	buf_init(&in, (size_t)64 << 20);
	buf_init(&out, (size_t)256 << 20);
	arena_init(&arena, (size_t)1 << 30);
	while (fread(head, 1, 4, stdin) == 4) {
		const size_t len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
		char        *p;

		buf_reset(&in);
		buf_reset(&out);
		arena_reset(&arena);
		if ((p = buf_room(&in, len + 1)) == NULL || fread(p, 1, len, stdin) != len)
			die("a frame is cut off");
		/* Behind it there is nothing to be read. */
		p = malloc(len == 0 ? 1 : len);
		if (p == NULL)
			die("out of memory");
		memcpy(p, in.p, len);
		if (strcmp(what, "tokens") == 0 || strcmp(what, "tokens1") == 0)
			put_tokens(&out, (struct span){ p, len }, what[6] == '1' ? TOKEN_WORD1 : TOKEN_WORD);
		else if (strcmp(what, "rows") == 0 || strcmp(what, "rows1") == 0)
			put_rows(&out, (struct span){ p, len }, what[4] == '1' ? TOKEN_WORD1 : TOKEN_WORD);
		else if (strcmp(what, "json") == 0)
			put_json(&out, (struct span){ p, len });
		else
			die("tokens, tokens1, rows, rows1 or json");
		put_frame(&out);
		free(p);
	}
	buf_clear(&in);
	buf_clear(&out);
	arena_clear(&arena);
	return fflush(stdout) == 0 ? 0 : 1;
}
