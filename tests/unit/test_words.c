/* test_words.c - what a training reads again, and what it finds as the last one kept it. */
#include "base/log.h"
#include "examples.h"
#include "models/tfidf_logreg.h"
#include "project.h"
#include "serving.h"
#include "text/tokenize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CONFIG(choice, third) "<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\" choice=\"" choice "\">" \
                              "<Choice value=\"good\"/><Choice value=\"bad\"/><Choice value=\"" third "\"/></Choices></View>"
#define SINGLE   CONFIG("single", "odd")
#define RENAMED  CONFIG("single", "even")
#define MULTIPLE CONFIG("multiple", "odd")

static const char *const labels[] = { "good", "bad", "odd" };

/* Capitals, a final sigma, a letter that becomes two, one that grows, marks, no word at all. */
static const char *const texts[] = {
	"Great FOOD, great staff", "ΟΔΥΣΣΕΥΣ ΣΑΣ σας", "İstanbul'da IŞIK", "ȺȺ Ⱥb", "\\u0939\\u093f\\u0928\\u094d\\u0926\\u0940 e\\u0301te\\u0301",
	"", "?! ... a", "tab\\tand\\u0000nul", "x1 _y2 \xc3\x84rger STRASSE gro\xc3\x9f", "cold soup, rude waiter",
};

static char           dir[] = "/tmp/prelabel-words.XXXXXX";
static struct env     settings = { .train_every = 10, .logreg_c = 10, .train_threads = 1, .keep_versions = 5, .keep_history = 1000, .model_dir = dir };
static struct store  *st;
static int64_t        row;
static struct label_config *config;

static void must(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%s", e->msg);
}

static void configure(const char *xml)
{
	struct project p;
	struct arena   a;
	struct err     e = { 0 };

	arena_init(&a, 1 << 20);
	must(store_begin(st, &e), &e);
	must(store_project_get(st, row, &a, &p, &e), &e);
	must(project_configure(st, &settings, &p, span_of(xml), NULL, &e), &e);
	must(store_commit(st, &e), &e);
	arena_clear(&a);
	label_config_free(config);
	must(label_config_parse(&config, span_of(xml), &e), &e);
}

static void remove_store(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char                     path[sizeof dir + 64];

	for (size_t i = 0; i < countof(ends); i++) {
		snprintf(path, sizeof path, "%s/" STORE_FILE "%s", dir, ends[i]);
		unlink(path);
	}
}

static void put(int64_t id, int64_t task, const char *text, const char *label, bool skipped, bool ground_truth)
{
	char                  data[200], result[300];
	struct task_row       t = { .id = task, .updated_us = STORE_NULL };
	struct annotation_row a = { .id = id, .task = task, .completed_by = 1, .updated_us = STORE_NULL, .was_cancelled = skipped,
	                            .ground_truth = ground_truth };
	struct err            e = { 0 };
	int64_t               event;
	bool                  changed, task_changed;

	snprintf(data, sizeof data, "{\"text\":\"%s\"}", text);
	snprintf(result, sizeof result, "[{\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"%s\"%s]}}]",
	         label, id % 3 == 0 ? ",\"bad\"" : "");
	t.data = span_of(data);
	a.result = span_of(result);
	must(store_begin(st, &e), &e);
	must(store_event_add(st, row, "webhook", "ANNOTATION_CREATED", &event, &e), &e);
	must(store_task_put(st, row, &t, 0, &task_changed, &e), &e);
	must(store_annotation_put(st, row, &a, event, 0, &changed, &e), &e);
	must(store_event_end(st, row, event, changed, 0, 1, &e), &e);
	must(store_commit(st, &e), &e);
}

static int begin(void **state)
{
	struct err e = { 0 };

	(void)state;
	remove_store();
	must(store_open(&st, dir, 200, &e), &e);
	must(store_begin(st, &e), &e);
	must(store_project_ensure(st, 1, 1700000000, &row, &e), &e);
	must(store_commit(st, &e), &e);
	configure(SINGLE);
	for (int64_t i = 0; i < (int64_t)countof(texts); i++)
		put(i + 1, i + 1, texts[i], labels[i % 3], false, false);
	return 0;
}

static int end(void **state)
{
	(void)state;
	serving_clear();
	store_close(st);
	label_config_free(config);
	config = NULL;
	return 0;
}

static void sql(const char *text)
{
	sqlite3 *db;
	char     path[sizeof dir + 64];

	snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static int64_t count(const char *text)
{
	sqlite3      *db;
	sqlite3_stmt *s;
	char          path[sizeof dir + 64];
	int64_t       n;

	snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return n;
}

static struct example_set words_in(enum token_pattern pattern)
{
	struct example_set set;
	struct project     p;
	struct arena       a;
	struct err         e = { 0 };

	arena_init(&a, 1 << 20);
	must(store_project_get(st, row, &a, &p, &e), &e);
	must(examples_read_words(&set, st, &p, config, pattern, &e), &e);
	arena_clear(&a);
	return set;
}

static bool always(void *arg)
{
	(void)arg;
	return true;
}

static void keep(const struct example_set *set, enum token_pattern pattern)
{
	struct err e = { 0 };

	must(examples_keep_words(set, st, row, config, pattern, always, NULL, &e), &e);
}

static void keep_all(void)
{
	struct example_set set = words_in(TOKEN_WORD);

	keep(&set, TOKEN_WORD);
	examples_clear(&set);
}

/* What is read is the same as without anything kept; `fresh` of it is read whole. */
static void same_as_anew(size_t fresh)
{
	struct example_set kept = words_in(TOKEN_WORD), anew;

	assert_false(kept.other_form);
	assert_int_equal(kept.n_fresh, fresh);
	sql("UPDATE project SET words_form = NULL");
	anew = words_in(TOKEN_WORD);
	assert_true(anew.other_form);
	assert_string_equal(kept.hash, anew.hash);
	assert_int_equal(kept.n, anew.n);
	assert_int_equal(kept.n_cancelled, anew.n_cancelled);
	assert_int_equal(kept.n_empty, anew.n_empty);
	assert_int_equal(kept.n_unknown, anew.n_unknown);
	assert_int_equal(kept.n_overruled, anew.n_overruled);
	for (size_t i = 0; i < kept.n; i++) {
		assert_int_equal(kept.v[i].annotation, anew.v[i].annotation);
		assert_true(span_eq(kept.v[i].text, anew.v[i].text));
		assert_true(span_eq(kept.v[i].label, anew.v[i].label));
		assert_true(span_eq(kept.v[i].result, anew.v[i].result));
	}
	examples_clear(&kept);
	examples_clear(&anew);
	keep_all();
}

/* ---- the same examples ---------------------------------------------------------- */

static struct model_parts fitted(const struct example_set *set)
{
	struct model_settings s = { .kind = &model_tfidf_logreg, .token_pattern = TOKEN_WORD, .logreg_c = 10, .threads = 1 };
	struct model_parts    parts = { .n = 0 };
	struct model         *m;
	struct err            e = { 0 };

	must(model_tfidf_logreg.fit(&m, config, (struct examples){ set->v, set->n }, &s, &e), &e);
	must(model_tfidf_logreg.save(m, &parts, &e), &e);
	model_tfidf_logreg.free(m);
	return parts;
}

static void words_teach_what_their_texts_teach(void **state)
{
	struct example_set set;
	struct model_parts right, now;
	struct err         e = { 0 };

	(void)state;
	must(examples_read(&set, st, row, config, false, &e), &e);
	right = fitted(&set);
	examples_clear(&set);
	for (int kept = 0; kept < 2; kept++) {
		set = words_in(TOKEN_WORD);
		assert_int_equal(set.n, countof(texts));
		assert_int_equal(set.other_form, kept == 0);
		assert_int_equal(set.n_fresh, kept == 0 ? countof(texts) : 0);
		now = fitted(&set);
		assert_int_equal(now.n, right.n);
		for (size_t i = 0; i < now.n; i++)
			assert_true(span_eq(buf_span(&now.v[i].bytes), buf_span(&right.v[i].bytes)));
		model_parts_clear(&now);
		keep(&set, TOKEN_WORD);
		examples_clear(&set);
	}
	model_parts_clear(&right);
}

/* Every letter of Unicode, alone and beside others: words cut again are the same words. */
static void words_cut_again_are_the_same(void **state)
{
	char room[64], again[64];

	(void)state;
	for (uint32_t c = 1; c <= 0x10FFFF; c++) {
		char             text[32], word[64];
		size_t           n = 0;
		struct tokenizer t, u;
		struct span      token, second;

		if (c >= 0xD800 && c < 0xE000)
			continue;
		for (int i = 0; i < 3; i++) {
			text[n++] = i == 1 ? 'a' : 'S';
			if (c < 0x80) {
				text[n++] = (char)c;
			} else if (c < 0x800) {
				text[n++] = (char)(0xC0 | c >> 6);
				text[n++] = (char)(0x80 | (c & 0x3F));
			} else if (c < 0x10000) {
				text[n++] = (char)(0xE0 | c >> 12);
				text[n++] = (char)(0x80 | (c >> 6 & 0x3F));
				text[n++] = (char)(0x80 | (c & 0x3F));
			} else {
				text[n++] = (char)(0xF0 | c >> 18);
				text[n++] = (char)(0x80 | (c >> 12 & 0x3F));
				text[n++] = (char)(0x80 | (c >> 6 & 0x3F));
				text[n++] = (char)(0x80 | (c & 0x3F));
			}
		}
		tokenize_begin(&t, (struct span){ text, n }, TOKEN_WORD1, room);
		while (tokenize_next(&t, &token)) {
			memcpy(word, token.p, token.len);
			tokenize_begin(&u, (struct span){ word, token.len }, TOKEN_WORD1, again);
			if (!tokenize_next(&u, &second) || !span_eq(second, token) || tokenize_next(&u, &second))
				fail_msg("U+%04X", c);
		}
	}
}

/* ---- what is read again ------------------------------------------------------------ */

static void only_what_changed_is_read_again(void **state)
{
	struct example_set set;

	(void)state;
	keep_all();
	same_as_anew(0);
	put(11, 11, "a new one", "good", false, false);
	same_as_anew(1);
	put(2, 2, texts[1], "odd", false, false);                      /* another label */
	same_as_anew(1);
	put(3, 3, "edited since", labels[2], false, false);            /* another text */
	same_as_anew(1);
	put(12, 3, "edited since", "bad", false, false);               /* a second annotator */
	same_as_anew(1);
	put(13, 3, "and again", "good", false, false);                 /* whose task was edited: all three */
	same_as_anew(3);
	put(4, 4, texts[3], labels[0], true, false);                   /* skipped: teaches nothing */
	same_as_anew(0);
	put(14, 1, texts[0], "odd", false, true);                      /* a ground truth overrules what is kept */
	same_as_anew(1);
	put(5, 5, texts[4], "unheard of", false, false);
	same_as_anew(0);
	put(5, 5, texts[4], "good", false, false);
	same_as_anew(1);

	set = words_in(TOKEN_WORD);
	assert_int_equal(set.n, 12);
	assert_int_equal(set.n_cancelled, 1);
	assert_int_equal(set.n_overruled, 1);
	examples_clear(&set);
}

static void what_is_deleted_is_forgotten(void **state)
{
	struct err e = { 0 };
	int64_t    event, changed;

	(void)state;
	keep_all();
	must(store_begin(st, &e), &e);
	must(store_event_add(st, row, "webhook", "TASKS_DELETED", &event, &e), &e);
	must(store_annotation_delete(st, row, 1, event, &changed, &e), &e);
	must(store_task_delete(st, row, 2, event, &changed, &e), &e);
	must(store_commit(st, &e), &e);
	assert_int_equal(count("SELECT count(*) FROM annotation WHERE words IS NOT NULL OR label IS NOT NULL"), countof(texts) - 2);
	same_as_anew(0);
	put(2, 2, "late", "good", false, false);       /* does not bring it back */
	same_as_anew(0);
	/* Somebody else's hand. */
	sql("UPDATE task SET data = '{\"text\":\"by hand\"}' WHERE id = 3");
	sql("UPDATE annotation SET result = replace(result, 'good', 'bad') WHERE id = 4");
	same_as_anew(2);
}

/* That they are used, and not cut anew: these are none of the text's. */
static void what_was_kept_is_what_is_read(void **state)
{
	struct example_set set;

	(void)state;
	keep_all();
	sql("UPDATE annotation SET words = 'other words', label = 'odd' WHERE id = 1");
	set = words_in(TOKEN_WORD);
	assert_true(span_is(set.v[0].text, "other words") && span_is(set.v[0].label, "odd"));
	examples_clear(&set);
}

/* ---- another form -------------------------------------------------------------------- */

static void another_config_or_pattern_reads_all_anew(void **state)
{
	struct example_set set;

	(void)state;
	keep_all();
	set = words_in(TOKEN_WORD1);
	assert_true(set.other_form);
	assert_int_equal(set.n_fresh, countof(texts));
	assert_true(span_is(set.v[6].text, "a"));
	examples_clear(&set);

	configure(RENAMED);                            /* "odd" is no label of it */
	set = words_in(TOKEN_WORD);
	assert_true(set.other_form);
	assert_int_equal(set.n_fresh, countof(texts) - 3);
	assert_int_equal(set.n_unknown, 3);
	keep(&set, TOKEN_WORD);
	examples_clear(&set);
	assert_int_equal(count("SELECT count(*) FROM annotation WHERE words IS NOT NULL"), countof(texts) - 3);
	same_as_anew(0);
	configure(SINGLE);
	keep_all();
	same_as_anew(0);
	assert_int_equal(count("SELECT count(*) FROM annotation WHERE words IS NOT NULL AND label IS NOT NULL"), countof(texts));
}

static void any_number_of_labels(void **state)
{
	struct example_set set;
	const uint32_t    *at;
	size_t             n;
	struct arena       a;
	struct err         e = { 0 };

	(void)state;
	configure(MULTIPLE);
	keep_all();
	assert_int_equal(count("SELECT count(*) FROM annotation WHERE words IS NOT NULL AND label IS NULL"), countof(texts));
	same_as_anew(0);
	set = words_in(TOKEN_WORD);
	arena_init(&a, 1 << 20);
	must(example_labels(&set.v[2], config, &a, &at, &n, &e), &e);
	assert_true(n == 2 && at[0] == 1 && at[1] == 2);
	arena_clear(&a);
	examples_clear(&set);
}

/* ---- in the middle of it ---------------------------------------------------------------- */

#define MANY 1200

static void label_many(void)
{
	for (int64_t i = 100; i < MANY; i++)
		put(i, i, "one of many", labels[i % 3], false, false);
}

static bool times(void *arg)
{
	int *left = arg;

	return (*left)-- > 0;
}

static void a_keeping_that_was_cut_short_counts_for_nothing(void **state)
{
	(void)state;
	label_many();
	for (int cut = 0; cut < 3; cut++) {
		struct example_set set = words_in(TOKEN_WORD);
		struct err         e = { 0 };
		int                left = cut;

		assert_true(set.other_form);
		assert_int_equal(examples_keep_words(&set, st, row, config, TOKEN_WORD, times, &left, &e), -1);
		assert_int_equal(e.code, ERR_STOPPED);
		assert_int_equal(count("SELECT count(*) FROM annotation WHERE words IS NOT NULL"), 500 * cut);
		examples_clear(&set);
	}
	keep_all();
	same_as_anew(0);
}

static bool change_meanwhile(void *arg)
{
	int *turn = arg;

	if ((*turn)++ == 1)
		sql("UPDATE task SET data = '{\"text\":\"meanwhile\"}' WHERE id IN (3, 1150)");
	return true;
}

/* One whose words are kept already, and one whose turn is to come. */
static void what_changes_meanwhile_is_kept_as_it_is_then(void **state)
{
	struct example_set set;
	struct err         e = { 0 };
	int                turn = 0;

	(void)state;
	label_many();
	set = words_in(TOKEN_WORD);
	must(examples_keep_words(&set, st, row, config, TOKEN_WORD, change_meanwhile, &turn, &e), &e);
	examples_clear(&set);
	assert_int_equal(turn, 3);
	assert_int_equal(count("SELECT count(*) FROM annotation WHERE id = 1150 AND words = 'meanwhile'"), 1);
	same_as_anew(1);
}

static bool other_trainer(void *arg)
{
	int *turn = arg;

	if ((*turn)++ == 1)
		sql("UPDATE project SET words_form = 'of another config'; UPDATE annotation SET words = NULL");
	return true;
}

static void two_trainers_do_not_mix_their_words(void **state)
{
	(void)state;
	label_many();
	for (int other = 0; other < 2; other++) {
		struct example_set set = words_in(TOKEN_WORD);
		struct err         e = { 0 };
		int                turn = 0;

		must(examples_keep_words(&set, st, row, config, TOKEN_WORD, other_trainer, &turn, &e), &e);
		examples_clear(&set);
		assert_int_equal(count("SELECT count(*) FROM annotation WHERE words IS NOT NULL"), 0);
		assert_int_equal(count("SELECT words_form = 'of another config' FROM project"), 1);
		/* The second time there is a form, and all that is new. */
		keep_all();
		sql("UPDATE annotation SET words = NULL");
	}
}

/* A trainer that stood still while another, of another form, read and kept one more. */
static void a_late_keeping_leaves_no_words_of_another_form(void **state)
{
	struct example_set early, set;

	(void)state;
	early = words_in(TOKEN_WORD);
	put(200, 200, "x y of another z pattern", "good", false, false);
	set = words_in(TOKEN_WORD1);
	keep(&set, TOKEN_WORD1);
	examples_clear(&set);
	keep(&early, TOKEN_WORD);
	examples_clear(&early);
	same_as_anew(0);
}

/* Another form came between, and a third trainer has begun anew with this one. */
static bool taken_over(void *arg)
{
	int *turn = arg;

	if ((*turn)++ == 2) {
		struct example_set set = words_in(TOKEN_WORD);
		struct err         e = { 0 };
		int                left = 1;

		sql("UPDATE annotation SET words = 'of another form' WHERE id BETWEEN 700 AND 800");
		assert_int_equal(examples_keep_words(&set, st, row, config, TOKEN_WORD, times, &left, &e), -1);
		examples_clear(&set);
	}
	return true;
}

static void a_keeping_that_was_taken_over_does_not_end_the_other(void **state)
{
	struct example_set set;
	struct err         e = { 0 };
	int                turn = 0;

	(void)state;
	label_many();
	set = words_in(TOKEN_WORD);
	must(examples_keep_words(&set, st, row, config, TOKEN_WORD, taken_over, &turn, &e), &e);
	examples_clear(&set);
	assert_int_equal(turn, 3);
	set = words_in(TOKEN_WORD);
	assert_true(set.other_form);
	examples_clear(&set);
}

static bool count_turns(void *arg)
{
	++*(int *)arg;
	return true;
}

/* A webhook waits for one transaction. */
static void long_texts_are_kept_a_few_at_a_time(void **state)
{
	(void)state;
	for (int other = 0; other < 2; other++) {
		struct example_set set;
		struct err         e = { 0 };
		int                turns = 0;

		sql(other ? "UPDATE annotation SET words = NULL" : "UPDATE task SET data = json_object('text', replace(hex(zeroblob(50000)), '00', 'ab '))");
		set = words_in(TOKEN_WORD);
		assert_int_equal(set.other_form, other == 0);
		must(examples_keep_words(&set, st, row, config, TOKEN_WORD, count_turns, &turns, &e), &e);
		examples_clear(&set);
		assert_int_equal(turns, 3);            /* 4, 4 and 2 */
		assert_int_equal(count("SELECT count(*) FROM annotation WHERE length(words) > 100000"), countof(texts));
	}
	same_as_anew(0);
}

static double seconds_to_keep(void)
{
	struct example_set set = words_in(TOKEN_WORD);
	clock_t            began = clock();

	keep(&set, TOKEN_WORD);
	examples_clear(&set);
	return (double)(clock() - began) / CLOCKS_PER_SEC;
}

/* They were all read for each annotation: 2.6 s in one transaction where 6,000 were so. */
static void ground_truths_are_not_read_for_each_annotation(void **state)
{
	double without, with;

	(void)state;
	label_many();
	without = seconds_to_keep();
	sql("WITH n (i) AS (SELECT 2001 UNION ALL SELECT i + 1 FROM n WHERE i < 22000) INSERT INTO annotation "
	    "(project, id, task, result, ground_truth, event, words, label) SELECT 1, i, i, '[]', 1, 1, 'word', 'good' FROM n;"
	    "UPDATE annotation SET words = NULL WHERE id < 2000");
	with = seconds_to_keep();
	if (with > 20 * without + 0.1)
		fail_msg("%.3f s in place of %.3f", with, without);
}

/* Damage: no trigger saw it. */
static void a_damaged_result_is_left_out_though_its_label_was_kept(void **state)
{
	struct example_set set;
	struct err         e = { 0 };

	(void)state;
	keep_all();
	sql("DROP TRIGGER annotation_changed; UPDATE annotation SET result = '[{\"from_name\":\"label' WHERE id = 1");
	set = words_in(TOKEN_WORD1);
	assert_int_equal(set.n, countof(texts) - 1);
	assert_int_equal(set.n_empty, 1);
	examples_clear(&set);
	must(examples_read(&set, st, row, config, true, &e), &e);
	assert_int_equal(set.n, countof(texts) - 1);
	examples_clear(&set);
}

/* How they were read is a part of it, which a later prelabel counts up. */
static void words_of_another_format_count_for_nothing(void **state)
{
	struct example_set set;

	(void)state;
	keep_all();
	assert_int_equal(count("SELECT words_form GLOB '1 word [0-9]*' FROM project"), 1);
	sql("UPDATE project SET words_form = '2' || substr(words_form, 2)");
	set = words_in(TOKEN_WORD);
	assert_true(set.other_form);
	examples_clear(&set);
}

static int make_dir(void **state)
{
	(void)state;
	log_open("test_words", LOG_ERROR);
	return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
	(void)state;
	remove_store();
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_cut_again_are_the_same),
#define ON_A_STORE(test) cmocka_unit_test_setup_teardown(test, begin, end)
		ON_A_STORE(words_teach_what_their_texts_teach),
		ON_A_STORE(only_what_changed_is_read_again),
		ON_A_STORE(what_is_deleted_is_forgotten),
		ON_A_STORE(what_was_kept_is_what_is_read),
		ON_A_STORE(another_config_or_pattern_reads_all_anew),
		ON_A_STORE(any_number_of_labels),
		ON_A_STORE(a_keeping_that_was_cut_short_counts_for_nothing),
		ON_A_STORE(what_changes_meanwhile_is_kept_as_it_is_then),
		ON_A_STORE(two_trainers_do_not_mix_their_words),
		ON_A_STORE(a_late_keeping_leaves_no_words_of_another_form),
		ON_A_STORE(a_keeping_that_was_taken_over_does_not_end_the_other),
		ON_A_STORE(long_texts_are_kept_a_few_at_a_time),
		ON_A_STORE(ground_truths_are_not_read_for_each_annotation),
		ON_A_STORE(a_damaged_result_is_left_out_though_its_label_was_kept),
		ON_A_STORE(words_of_another_format_count_for_nothing),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
