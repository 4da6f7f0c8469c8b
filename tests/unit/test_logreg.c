/*
 * test_logreg.c - the optimum, checked by its own conditions on the unmerged
 * matrix; threads; stopping; metrics.
 */
#include "by_document.h"
#include "learn/kernels.h"
#include "learn/logreg.h"
#include "learn/metrics.h"
#include "text/corpus.h"
#include "text/tfidf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define DOCS_MAX 5000
#define CLASSES_MAX 40

struct problem {
	size_t         n, k;
	char           room[DOCS_MAX][256];
	uint32_t       y[DOCS_MAX];
	struct vocab   v;
	struct postings postings;
	struct counts  counts;
	struct columns x;
};

/* Documents of which the class tells a little: words around class * 3. */
static struct problem *problem(size_t n, size_t k, unsigned seed)
{
	struct problem *p = calloc(1, sizeof *p);
	struct err      e = { 0 };
	struct corpus  *c = corpus_new(TOKEN_WORD1, &e);

	assert_true(p != NULL && c != NULL && n <= DOCS_MAX && k <= CLASSES_MAX);
	srand(seed);
	p->n = n;
	p->k = k;
	for (size_t i = 0; i < n; i++) {
		int len = 0, words = rand() % 12;

		p->y[i] = i < k ? (uint32_t)i : (uint32_t)((size_t)rand() % k);
		for (int w = 0; w < words; w++)
			len += snprintf(p->room[i] + len, sizeof p->room[i] - (size_t)len, "w%d ",
			                rand() % 3 == 0 ? rand() % 300 : (int)p->y[i] * 3 + rand() % 12);
		if (i % 11 == 5) {               /* a text twice, with another label */
			memcpy(p->room[i], p->room[i - 1], sizeof p->room[i]);
			len = (int)strlen(p->room[i]);
		}
		assert_int_equal(corpus_add(c, (struct span){ p->room[i], (size_t)len }, &e), 0);
	}
	assert_int_equal(corpus_finish(c, &p->v, &p->postings, &e), 0);
	assert_true(counts_of(&p->counts, &p->postings));
	corpus_free(c);
	assert_int_equal(columns_merge(&p->x, &p->postings, &e), 0);
	return p;
}

static void problem_free(struct problem *p)
{
	vocab_clear(&p->v);
	postings_clear(&p->postings);
	counts_clear(&p->counts);
	columns_clear(&p->x);
	free(p);
}

/*
 * |grad F| of a fit, on the unmerged matrix: rows by tfidf_row(), a weight for
 * each term and class.  *objective gets F.
 */
static double gradient(const struct problem *p, const struct logreg *m, double c, double *objective)
{
	size_t  terms = vocab_terms(&p->v), cols = m->k;
	double *idf = calloc(terms + 1, sizeof *idf), *x = calloc(terms + 1, sizeof *x);
	double *g = calloc((terms + 1) * cols, sizeof *g), *w = calloc((terms + 1) * cols, sizeof *w);
	double  gb[CLASSES_MAX] = { 0 }, z[CLASSES_MAX], proba[CLASSES_MAX], square = 0.0;

	assert_true(idf != NULL && x != NULL && g != NULL && w != NULL);
	*objective = 0.0;
	for (size_t t = 0; t < terms; t++) {
		uint32_t group = p->x.group[t];

		idf[t] = p->x.idf[group];
		for (size_t k = 0; k < cols; k++) {
			double weight = m->w[group * cols + k] * p->x.mult[t] / p->x.root[group];

			w[t * cols + k] = g[t * cols + k] = weight;
			*objective += weight * weight / 2;
		}
	}
	for (size_t i = 0; i < p->n; i++) {
		const struct count *row = p->counts.v + p->counts.at[i];
		size_t              n = p->counts.at[i + 1] - p->counts.at[i];

		tfidf_row(row, n, idf, x);
		memcpy(z, m->b, cols * sizeof *z);
		for (size_t j = 0; j < n; j++)
			for (size_t k = 0; k < cols; k++)
				z[k] += x[j] * w[row[j].term * cols + k];
		logreg_proba(z, p->k, proba);
		*objective -= c * log(proba[p->y[i]]);
		for (size_t k = 0; k < cols; k++) {
			size_t class = p->k == 2 ? 1 : k;
			double r = c * (proba[class] - (p->y[i] == class));

			gb[k] += r;
			for (size_t j = 0; j < n; j++)
				g[row[j].term * cols + k] += r * x[j];
		}
	}
	for (size_t i = 0; i < terms * cols; i++)
		square += g[i] * g[i];
	for (size_t k = 0; k < cols; k++)
		square += gb[k] * gb[k];
	free(idf);
	free(x);
	free(g);
	free(w);
	return sqrt(square);
}

static const struct {
	size_t n, k;
	double c;
} problems[] = {
	{ 2, 2, 10.0 }, { 60, 2, 10.0 }, { 60, 2, 0.01 }, { 300, 2, 1000.0 }, { 60, 3, 10.0 }, { 300, 3, 1000.0 },
	{ 120, 4, 10.0 }, { 120, 5, 1.0 }, { 200, 9, 10.0 }, { 200, 10, 10.0 }, { 400, 17, 10.0 },
	{ 400, 40, 10.0 }, { 400, 40, 1000.0 }, { 40, 40, 0.01 },
};

static void test_optimum(void **state)
{
	(void)state;
	for (size_t i = 0; i < countof(problems); i++) {
		struct problem        *p = problem(problems[i].n, problems[i].k, (unsigned)i + 1);
		struct logreg_settings s = { problems[i].c, 1, NULL, NULL };
		struct logreg          m;
		struct err             e = { 0 };
		double                 objective, grad, sum = 0.0;

		assert_int_equal(logreg_fit(&m, &p->x, p->y, p->k, &s, &e), 0);
		grad = gradient(p, &m, s.c, &objective);
		if (!(grad <= 1.1e-6))
			fail_msg("n %zu, K %zu, C %g: gradient %g", p->n, p->k, s.c, grad);
		assert_true(fabs(grad - m.grad) < 1e-8);
		assert_true(fabs(objective - m.objective) <= 1e-10 * objective);
		for (size_t k = 0; k < m.k; k++)
			sum += m.b[k];
		assert_true(m.k == 1 || fabs(sum) < 1e-8);
		assert_int_equal(m.k, p->k == 2 ? 1 : p->k);
		logreg_clear(&m);
		problem_free(p);
	}
}

/* The same bits for any number of threads. */
static void test_threads(void **state)
{
	(void)state;
	/* Of 2 classes, of 3 (four lanes), and more; of several chunks (logreg.c cuts one
	 * for 32,768 numbers). */
	for (size_t k = 2; k <= 12; k += k == 2 ? 1 : k == 3 ? 4 : 5) {
		struct problem *p = problem(k == 2 ? DOCS_MAX : 2000, k, 77);
		struct logreg   one, many;
		struct err      e = { 0 };

		assert_true((p->x.nnz + p->n) * (k == 2 ? 1 : k < 5 ? 4 : 8) > 40000);
		assert_int_equal(logreg_fit(&one, &p->x, p->y, k, &(struct logreg_settings){ 10, 1, NULL, NULL }, &e), 0);
		for (int threads = 2; threads <= 5; threads++) {
			struct logreg_settings s = { 10, threads, NULL, NULL };

			assert_int_equal(logreg_fit(&many, &p->x, p->y, k, &s, &e), 0);
			assert_memory_equal(one.w, many.w, p->x.n_groups * one.k * sizeof *one.w);
			assert_memory_equal(one.b, many.b, one.k * sizeof *one.b);
			logreg_clear(&many);
		}
		logreg_clear(&one);
		problem_free(p);
	}
}

#define RUN 100

static const struct kernels *const *widths(void)
{
	static const struct kernels *all[2];

	all[0] = &kernels_narrow;
	all[1] = kernels_best();
	return all;
}

/* The width is asked of the C library: where the compiler knows a way of its own, both say the same. */
static void the_widest_kernels_are_taken(void **state)
{
	(void)state;
#ifdef __x86_64__
	assert_int_equal(kernels_best() != &kernels_narrow, __builtin_cpu_supports("avx2") != 0);
#endif
}

/* Every width of vector gives the same bits, and these are right. */
static void test_kernels(void **state)
{
	double   v[12 * RUN], a[RUN], b[RUN], x[9], out[2][2][RUN], sum[2];
	uint32_t at[9 + KERNELS_AHEAD];

	(void)state;
	srand(11);
	for (size_t n = 4; n <= RUN; n += 4) {
		for (size_t i = 0; i < 12 * n; i++)
			v[i] = rand() / 1e9 - 1.0;
		for (size_t i = 0; i < n; i++) {
			a[i] = rand() / 1e9 - 1.0;
			b[i] = rand() / 1e9;
		}
		for (size_t i = 0; i < countof(at); i++) {
			at[i] = (uint32_t)(rand() % 12);
			if (i < countof(x))
				x[i] = rand() / 1e9;
		}
		for (size_t w = 0; w < 2; w++) {
			const struct kernels *f = widths()[w];

			for (size_t o = 0; o < 2; o++)
				memcpy(out[w][o], a, n * sizeof *a);
			f->gather(out[w][0], n, at, x, countof(x), v);
			f->add_times(out[w][1], 0.3, b, n);
			sum[w] = f->dot(a, v, n);
			for (size_t i = 0; i < n; i++) {
				double t = a[i];

				for (size_t k = 0; k < countof(x); k++)
					t += x[k] * v[at[k] * n + i];
				assert_true(out[w][0][i] == t);
				assert_true(out[w][1][i] == a[i] + 0.3 * b[i]);
				sum[w] -= a[i] * v[i];
			}
			assert_true(fabs(sum[w]) < 1e-12);
		}
		assert_memory_equal(&sum[0], &sum[1], sizeof sum[0]);
		for (size_t o = 0; o < 2; o++)
			assert_memory_equal(out[0][o], out[1][o], n * sizeof *a);
	}
}

/* Those in single precision likewise: against the same sums in double. */
static void test_kernels_single(void **state)
{
	float    v[12 * RUN], a[RUN], b[RUN], out[2][5][RUN];
	float    x[9];
	double   sums[2][2][RUN];
	uint32_t at[9 + KERNELS_AHEAD];

	(void)state;
	srand(12);
	for (size_t n = 4; n <= RUN; n += 4) {
		for (size_t i = 0; i < 12 * n; i++)
			v[i] = (float)rand() / 1e9f - 1.0f;
		for (size_t i = 0; i < n; i++) {
			a[i] = (float)rand() / 1e9f - 1.0f;
			b[i] = (float)rand() / 1e9f;
		}
		for (size_t i = 0; i < countof(at); i++) {
			at[i] = (uint32_t)(rand() % 12);
			if (i < countof(x))
				x[i] = (float)rand() / 1e9f;
		}
		for (size_t w = 0; w < 2; w++) {
			const struct kernels *f = widths()[w];

			for (size_t o = 0; o < 5; o++)
				memcpy(out[w][o], a, n * sizeof *a);
			for (size_t i = 0; i < n; i++)
				sums[w][0][i] = sums[w][1][i] = (double)i;
			f->gather_single(out[w][0], n, at, x, countof(x), v);
			f->curve(out[w][1], 10.0f, b, 0.1f, n);
			f->advance(sums[w][0], out[w][2], 0.7, b, v, n);
			f->turn(out[w][3], 0.9f, b, n);
			f->turn_weighted(out[w][4], 0.9f, v, b, n);
			f->sum_up(sums[w][1], b, n);
			for (size_t i = 0; i < n; i++) {
				float t = a[i];

				for (size_t k = 0; k < countof(x); k++)
					t += x[k] * v[at[k] * n + i];
				assert_true(out[w][0][i] == t);
				assert_true(out[w][1][i] == 10.0f * b[i] * (a[i] - 0.1f));
				assert_true(sums[w][0][i] == (double)i + 0.7 * (double)b[i] && out[w][2][i] == a[i] - 0.7f * v[i]);
				assert_true(out[w][3][i] == b[i] + 0.9f * a[i]);
				assert_true(out[w][4][i] == b[i] * v[i] + 0.9f * a[i]);
				assert_true(sums[w][1][i] == (double)i + (double)b[i]);
			}
		}
		for (size_t o = 0; o < 5; o++)
			assert_memory_equal(out[0][o], out[1][o], n * sizeof *a);
		for (size_t o = 0; o < 2; o++)
			assert_memory_equal(sums[0][o], sums[1][o], n * sizeof *sums[0][o]);
	}
}

#define SPARSE_ROWS 40

/* Those of a whole product, by rows and by columns. */
static void test_kernels_four(void **state)
{
	static float  x[SPARSE_ROWS * 20], v[4 * SPARSE_ROWS], m[4 * SPARSE_ROWS], out[2][2][4 * SPARSE_ROWS];
	uint32_t      index[countof(x)], at[SPARSE_ROWS + 1] = { 0 };
	double        mu[SPARSE_ROWS], sum[2][4], dot[2];
	const float   b[4] = { 0.5f, -0.25f, 0.125f, 0.0f };
	struct sparse s = { at, index, x };

	(void)state;
	srand(14);
	for (size_t i = 0; i < SPARSE_ROWS; i++) {
		at[i + 1] = at[i] + (uint32_t)i % 20;
		mu[i] = 0.0;
		for (size_t k = 0; k < 4; k++) {
			v[i * 4 + k] = (float)rand() / 1e9f - 1.0f;
			mu[i] += (double)(m[i * 4 + k] = (float)rand() / 1e9f);
		}
		for (size_t k = at[i]; k < at[i + 1]; k++) {
			x[k] = (float)rand() / 1e9f;
			index[k] = (uint32_t)(rand() % SPARSE_ROWS);
		}
	}
	for (size_t w = 0; w < 2; w++) {
		const struct kernels *f = widths()[w];
		double                want_sum[4] = { 1.0, 2.0, 3.0, 4.0 }, want_dot = 0.0;

		memcpy(sum[w], want_sum, sizeof want_sum);
		f->rows4(out[w][0], sum[w], &s, 1, SPARSE_ROWS, v, b, m, mu, 10.0f);
		dot[w] = f->cols4(out[w][1], &s, 1, SPARSE_ROWS, m, v);
		for (size_t i = 1; i < SPARSE_ROWS; i++) {
			double u[4], q[4], mean = 0.0;

			for (size_t k = 0; k < 4; k++) {
				u[k] = (double)b[k];
				q[k] = (double)v[i * 4 + k];
				for (size_t n = at[i]; n < at[i + 1]; n++) {
					u[k] += (double)x[n] * (double)v[index[n] * 4 + k];
					q[k] += (double)x[n] * (double)m[index[n] * 4 + k];
				}
				mean += (double)m[i * 4 + k] * u[k] / mu[i];
			}
			for (size_t k = 0; k < 4; k++) {
				u[k] = 10.0 * (double)m[i * 4 + k] * (u[k] - mean);
				want_sum[k] += u[k];
				want_dot += q[k] * (double)v[i * 4 + k];
				assert_true(fabs((double)out[w][0][i * 4 + k] - u[k]) < 1e-4);
				assert_true(fabs((double)out[w][1][i * 4 + k] - q[k]) < 1e-5);
			}
		}
		for (size_t k = 0; k < 4; k++)
			assert_true(fabs(sum[w][k] - want_sum[k]) < 1e-3);
		assert_true(fabs(dot[w] - want_dot) < 1e-3);
		assert_true(out[w][0][0] == 0.0f && out[w][1][0] == 0.0f);
	}
	assert_memory_equal(out[0], out[1], sizeof out[0]);
	assert_memory_equal(sum[0], sum[1], sizeof sum[0]);
	assert_memory_equal(&dot[0], &dot[1], sizeof dot[0]);
}

/* Long sums lose no digits to single precision, and are the same for every width. */
static void test_sums_single(void **state)
{
	static float a[100000], d[countof(a)];

	(void)state;
	srand(13);
	for (size_t i = 0; i < countof(a); i++) {
		a[i] = (float)rand() / 1e9f;
		d[i] = (float)rand() / 1e9f;
	}
	for (size_t n = 4; n <= countof(a); n += n < 3000 ? 4 : 9700) {
		double dot = 0.0, weighted = 0.0, got[2][2];

		for (size_t i = 0; i < n; i++) {
			dot += (double)a[i] * (double)d[i];
			weighted += (double)a[i] * (double)a[i] * (double)d[i];
		}
		for (size_t w = 0; w < 2; w++) {
			got[w][0] = widths()[w]->dot_single(a, d, n);
			got[w][1] = widths()[w]->weighted(a, d, n);
			assert_true(fabs(got[w][0] - dot) < 2e-6 * dot && fabs(got[w][1] - weighted) < 2e-6 * weighted);
		}
		assert_memory_equal(got[0], got[1], sizeof got[0]);
	}
}

static bool stop_at_once(void *arg, double done)
{
	assert_true(done >= 0.0 && done <= 1.0);
	++*(int *)arg;
	return false;
}

static void test_stop(void **state)
{
	struct problem        *p = problem(100, 3, 5);
	int                    calls = 0;
	struct logreg_settings s = { 10, 2, stop_at_once, &calls };
	struct logreg          m;
	struct err             e = { 0 };

	(void)state;
	assert_int_equal(logreg_fit(&m, &p->x, p->y, 3, &s, &e), -1);
	assert_int_equal(e.code, ERR_STOPPED);
	assert_int_equal(calls, 1);
	logreg_clear(&m);
	problem_free(p);
}

static void test_proba(void **state)
{
	static const struct {
		double z[3], p[3];
		size_t k;
	} cases[] = {
		{ { 0 }, { 0.5, 0.5 }, 2 },
		{ { 2 }, { 0.11920292202211755, 0.88079707797788245 }, 2 },
		{ { -800 }, { 1, 0 }, 2 }, { { 800 }, { 0, 1 }, 2 },
		{ { 1, 1, 1 }, { 1.0 / 3, 1.0 / 3, 1.0 / 3 }, 3 },
		{ { 1000, 0, -1000 }, { 1, 0, 0 }, 3 },
		{ { 0, 1, 2 }, { 0.090030573170380462, 0.24472847105479767, 0.66524095577482187 }, 3 },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		double p[3];

		logreg_proba(cases[i].z, cases[i].k, p);
		for (size_t k = 0; k < cases[i].k; k++)
			assert_true(fabs(p[k] - cases[i].p[k]) < 1e-15);
	}
}

/* By hand: gold 0 0 1 1 2, predicted 0 1 1 1 0; label 3 occurs nowhere. */
static void test_metrics(void **state)
{
	struct metrics m;
	struct err     e = { 0 };

	(void)state;
	assert_int_equal(metrics_init(&m, 4, &e), 0);
	assert_true(metrics_accuracy(&m) == 0.0 && metrics_macro_f1(&m) == 0.0 && isnan(metrics_log_loss(&m)));
	metrics_add_row(&m, 0, 0, true, 0.5);
	metrics_add_row(&m, 0, 1, true, 0.25);
	metrics_add_row(&m, 1, 1, true, 1.0);
	metrics_add(&m, 1, (const double[]){ 0.25, 0.25, 0.5, 0.0 }, (const bool[]){ false, true, false, false });
	metrics_add_row(&m, 2, 0, false, 0.0);
	assert_true(m.n == 5 && m.right == 3 && m.n_loss == 4);
	assert_true(fabs(metrics_accuracy(&m) - 0.6) < 1e-15);
	assert_true(fabs(metrics_log_loss(&m) - (log(2) + log(4) + log(4)) / 4) < 1e-15);
	assert_true(fabs(metrics_precision(&m, 1) - 2.0 / 3) < 1e-15 && metrics_precision(&m, 2) == 0.0);
	assert_true(metrics_recall(&m, 0) == 0.5 && metrics_recall(&m, 1) == 1.0);
	assert_true(fabs(metrics_f1(&m, 1) - 0.8) < 1e-15 && metrics_f1(&m, 3) == 0.0);
	assert_true(fabs(metrics_macro_f1(&m) - (0.5 + 0.8 + 0.0) / 3) < 1e-15);
	metrics_clear(&m);

	/* A probability of 0 costs what 1e-15 does. */
	assert_int_equal(metrics_init(&m, 2, &e), 0);
	metrics_add(&m, 0, (const double[]){ 0.0, 1.0 }, (const bool[]){ true, true });
	assert_true(fabs(metrics_log_loss(&m) + log(1e-15)) < 1e-12);
	metrics_clear(&m);

	/* A label that is only predicted counts in the mean, with 0. */
	assert_int_equal(metrics_init(&m, 3, &e), 0);
	metrics_add_row(&m, 0, 0, true, 0.9);
	metrics_add_row(&m, 0, 1, true, 0.4);
	assert_true(fabs(metrics_macro_f1(&m) - (2.0 / 3 + 0.0) / 2) < 1e-15);
	metrics_clear(&m);
}

/* Any number of labels a row, by hand: 0 right, 1 has one too many, 2 has one beyond the
 * list; label 2 is not trained, 3 occurs nowhere. */
static void test_metrics_of_sets(void **state)
{
	static const bool trained[] = { true, true, false, false };
	struct metrics    m;
	struct err        e = { 0 };

	(void)state;
	assert_int_equal(metrics_init(&m, 4, &e), 0);
	metrics_add_set(&m, (const bool[]){ true, false, false, false }, (const bool[]){ true, false, false, false }, trained,
	                (const double[]){ 0.5, 0.25, 0, 0 }, false);
	metrics_add_set(&m, (const bool[]){ true, false, true, false }, (const bool[]){ true, true, false, false }, trained,
	                (const double[]){ 0.8, 1.0, 0, 0 }, false);
	metrics_add_set(&m, (const bool[]){ false, true, false, false }, (const bool[]){ false, true, false, false }, trained,
	                (const double[]){ 0.0, 1.0, 0, 0 }, true);
	assert_true(m.n == 3 && m.right == 1 && m.n_loss == 3);
	assert_true(fabs(metrics_log_loss(&m) - ((-log(0.5) - log(0.75)) / 2 + (-log(0.8) - log(1e-15)) / 2) / 3) < 1e-12);
	assert_true(metrics_f1(&m, 0) == 1.0 && fabs(metrics_f1(&m, 1) - 2.0 / 3) < 1e-15 && metrics_f1(&m, 2) == 0.0);
	assert_true(fabs(metrics_macro_f1(&m) - (1 + 2.0 / 3) / 3) < 1e-15);
	metrics_clear(&m);

	/* Nothing trained: no loss. */
	assert_int_equal(metrics_init(&m, 1, &e), 0);
	metrics_add_set(&m, (const bool[]){ true }, (const bool[]){ true }, (const bool[]){ false }, (const double[]){ 0 }, false);
	assert_true(m.right == 1 && m.n_loss == 0 && isnan(metrics_log_loss(&m)));
	metrics_clear(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_optimum), cmocka_unit_test(the_widest_kernels_are_taken), cmocka_unit_test(test_kernels), cmocka_unit_test(test_kernels_single), cmocka_unit_test(test_kernels_four),
		cmocka_unit_test(test_sums_single), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_proba), cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_metrics_of_sets),
	};

	return cmocka_run_group_tests_name("logreg", tests, NULL, NULL);
}
