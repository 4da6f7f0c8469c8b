/* cues.c - a label fits a text as far as the text's words were seen in its examples. */
#include "models/chooser.h"

static void learn(struct buf *seen, struct span text)
{
	buf_add(seen, text.p, text.len);
	buf_addc(seen, ' ');
}

static double score(struct span seen, struct span text)
{
	double words = 0;

	for (size_t at = 0, end; at < text.len; at = end + 1) {
		for (end = at; end < text.len && text.p[end] != ' '; end++)
			;
		words += end > at && memmem(seen.p, seen.len, text.p + at, end - at) != NULL;
	}
	return words;
}

const struct model_kind model_cues = { .abi = MODEL_ABI, .name = "cues", .format = 1, CHOOSER(learn, score) };
