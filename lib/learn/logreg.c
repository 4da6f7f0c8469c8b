/*
 * logreg.c - truncated Newton in the primal, on merged columns.
 *
 * Own columns (columns.h) touch one row each, so their part of the Newton system
 * is solved for in closed form and conjugate gradients run on the rest.  With x0
 * the row's own value, A = diag(p) - p p^T and c = C x0^2, eliminating the row's
 * own weights turns its Hessian C A into C A (I + c A)^-1, which is again of the
 * form diagonal minus rank one:
 *
 *   M = C (diag(m) - m m^T / sum(m)),          m_k = p_k / (1 + c p_k)
 *
 *   (I + c A)^-1 u = u / (1 + c p) + c m (m . u) / sum(m)
 *
 * so a product with the reduced Hessian costs what one with the full one would
 * without these columns.  For K = 2, h = C p (1 - p): M = h / (1 + x0^2 h).
 *
 * Conjugate gradients run in single precision, at half the memory traffic: an
 * inexact Newton step costs another step at worst, and needs no residual below 1e-4
 * of the gradient.  The gradient, the solution and the loss are double.
 *
 * Dense arrays are [row or group][ld], ld = 1 for K = 2, else K rounded up to a
 * multiple of LANES; the surplus is 0 throughout.  Sums run in lanes, then over
 * chunks of rows or groups that are cut by the data alone: the same bits for any
 * number of threads.
 */
#include "learn/logreg.h"

#include "base/clock.h"
#include "learn/kernels.h"
#include "learn/team.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GRAD_STOP 1e-6
#define STEPS_MAX 100
#define CG_MAX 5000
#define CHUNKS_MAX 256

/* The inverse diagonal as preconditioner from so many classes on.  It saves a
 * third of the passes for 77 classes and costs some for 2 and 3, b's part most. */
#define PRECONDITION_FROM 10

#define PROGRESS_S 0.1

#define LANES 4

struct chunk {
	uint32_t from, to;
};

/* What a chunk adds to sums. */
struct sums {
	double a, b, c, d;
};

struct fit {
	const struct columns *x;
	const uint32_t       *y;
	size_t                n, d, k, ld;
	double                c;
	struct team          *team;
	const struct kernels *kernels;

	struct chunk rows[CHUNKS_MAX], cols[CHUNKS_MAX];
	size_t       n_rows, n_cols;           /* chunks */
	struct sums  part[CHUNKS_MAX];
	double      *part_b;                   /* [CHUNKS_MAX][ld] column sums */

	double *w, *own, *b;                   /* [d][ld], [n][ld], [ld] the solution */
	double *z, *p, *mu;                    /* [n][ld] logits, probabilities; [n] sum(m) */
	double *u;                             /* [n][ld] what X^T is multiplied with */
	double *zs, *owns;                     /* [n][ld] the step in z and in own */
	double *s;                             /* [d][ld] solution of the Newton system */
	double *rb, *qb, *dirb, *sb, *diagb;   /* [ld] what r, q, dir, s and diag are, of b */

	/* Single precision: a Newton step may be inexact, what it leads to is not. */
	float        *row_x, *col_x;           /* [nnz] x's */
	struct sparse by_row, by_col;          /* x with them */
	float  *m, *us;                        /* [n][ld] m; M (X dir + dirb) */
	float  *r, *q, *dir;                   /* [d][ld] residual, Hessian times dir, direction */
	float  *diag;                          /* [d][ld] inverse diagonal; NULL: none is used */

	double alpha, beta, t;                 /* of the loop that runs */
	unsigned passes;

	bool  (*progress)(void *arg, double done);
	void   *arg;
	double  next_progress, done;
};

/* -- kernels --------------------------------------------------------------------- */

/* t [ld] += sum over i < n of x[i] * v[at[i]][ld] */
static inline void gather(const struct fit *f, double *t, const uint32_t *at, const double *x, size_t n, const double *v)
{
	/* Two sums: the additions of one would wait for each other. */
	double even = 0.0, odd = 0.0;
	size_t i = 0;

	if (f->ld > 1) {
		f->kernels->gather(t, f->ld, at, x, n, v);
		return;
	}
	for (; i + 1 < n; i += 2) {
		even += x[i] * v[at[i]];
		odd += x[i + 1] * v[at[i + 1]];
	}
	if (i < n)
		even += x[i] * v[at[i]];
	*t += even + odd;
}

/* The kernels of any length: what is left over of a multiple of LANES, by hand; and a row
 * of three or four classes, which was written number by number a moment ago: read as a
 * vector, it would be waited for.  Its sum is the kernel's, bit for bit. */
static inline double dot(const struct fit *f, const double *a, const double *b, size_t n)
{
	size_t i = n / LANES * LANES;
	double sum;

	if (n == LANES)
		return (a[0] * b[0] + a[1] * b[1]) + (a[2] * b[2] + a[3] * b[3]);
	sum = i > 0 ? f->kernels->dot(a, b, i) : 0.0;
	for (; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* gather() in single precision. */
static inline void gather_single(const struct fit *f, float *t, const struct sparse *s, size_t row, const float *v)
{
	const uint32_t *at = s->index + s->at[row];
	const float    *x = s->x + s->at[row];
	size_t          n = s->at[row + 1] - s->at[row], i = 0;
	float           even = 0.0f, odd = 0.0f;

	if (f->ld > 1) {
		f->kernels->gather_single(t, f->ld, at, x, n, v);
		return;
	}
	for (; i + 1 < n; i += 2) {
		even += x[i] * v[at[i]];
		odd += x[i + 1] * v[at[i + 1]];
	}
	if (i < n)
		even += x[i] * v[at[i]];
	*t += even + odd;
}

static inline double dot_single(const struct fit *f, const float *a, const float *b, size_t n)
{
	size_t i = n / LANES * LANES;
	double sum = i > 0 ? f->kernels->dot_single(a, b, i) : 0.0;

	for (; i < n; i++)
		sum += (double)(a[i] * b[i]);
	return sum;
}

static inline void add_times(const struct fit *f, double *to, double times, const double *v, size_t n)
{
	size_t i = n > LANES ? n / LANES * LANES : 0;

	if (i > 0)
		f->kernels->add_times(to, times, v, i);
	for (; i < n; i++)
		to[i] += times * v[i];
}

void logreg_proba(const double *z, size_t n_classes, double *p)
{
	double top, sum = 0.0;

	if (n_classes == 2) {
		double e = exp(-fabs(z[0])), q = e / (1.0 + e);

		p[1] = z[0] >= 0.0 ? 1.0 / (1.0 + e) : q;
		p[0] = z[0] >= 0.0 ? q : 1.0 / (1.0 + e);
		return;
	}
	top = z[0];
	for (size_t k = 1; k < n_classes; k++)
		top = z[k] > top ? z[k] : top;
	for (size_t k = 0; k < n_classes; k++)
		sum += p[k] = exp(z[k] - top);
	for (size_t k = 0; k < n_classes; k++)
		p[k] /= sum;
}

/* -- loops over chunks ------------------------------------------------------------- */

static void run_rows(struct fit *f, void (*work)(void *, size_t))
{
	team_run(f->team, work, f, f->n_rows);
}

static void run_cols(struct fit *f, void (*work)(void *, size_t))
{
	team_run(f->team, work, f, f->n_cols);
}

static struct sums total(const struct fit *f, size_t n_chunks)
{
	struct sums t = { 0 };

	for (size_t i = 0; i < n_chunks; i++) {
		t.a += f->part[i].a;
		t.b += f->part[i].b;
		t.c += f->part[i].c;
		t.d += f->part[i].d;
	}
	return t;
}

/* Column sums of u into to [ld]. */
static void total_u(const struct fit *f, double *to)
{
	memset(to, 0, f->ld * sizeof *to);
	for (size_t i = 0; i < f->n_rows; i++)
		add_times(f, to, 1.0, f->part_b + i * f->ld, f->ld);
}

/* For K >= 3, adding one number to every b changes nothing; rounding along that
 * direction would feed the iterations noise.  So the mean is taken off. */
static void centre(const struct fit *f, double *b)
{
	double mean = 0.0;

	if (f->k == 1)
		return;
	for (size_t k = 0; k < f->k; k++)
		mean += b[k];
	mean /= (double)f->k;
	for (size_t k = 0; k < f->k; k++)
		b[k] -= mean;
}

static void total_b(const struct fit *f, double *to)
{
	total_u(f, to);
	centre(f, to);
}

/* Probabilities at z + t * zs; .a gets the loss. */
static void proba_rows(void *arg, size_t chunk)
{
	struct fit *f = arg;
	double      loss = 0.0;

	for (size_t i = f->rows[chunk].from; i < f->rows[chunk].to; i++) {
		const double *z = f->z + i * f->ld, *zs = f->zs + i * f->ld;
		double       *p = f->p + i * f->ld;
		double        top, sum = 0.0, gold;

		if (f->k == 1) {
			double at = z[0] + f->t * zs[0], e = exp(-fabs(at));

			p[0] = at >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
			/* log(1 + exp(-s z)) */
			loss += log1p(e) + ((f->y[i] == 1) == (at >= 0.0) ? 0.0 : fabs(at));
			continue;
		}
		for (size_t k = 0; k < f->k; k++)
			p[k] = z[k] + f->t * zs[k];
		top = p[0];
		for (size_t k = 1; k < f->k; k++)
			top = p[k] > top ? p[k] : top;
		gold = p[f->y[i]] - top;
		for (size_t k = 0; k < f->k; k++)
			sum += p[k] = exp(p[k] - top);
		loss += log(sum) - gold;
		for (size_t k = 0; k < f->k; k++)
			p[k] /= sum;
	}
	f->part[chunk].a = f->c * loss;
}

/* u = C (p - y), m and mu; .a gets the square of the own part of the gradient. */
static void gradient_rows(void *arg, size_t chunk)
{
	struct fit *f = arg;
	double     *sum_b = f->part_b + chunk * f->ld, square = 0.0;

	memset(sum_b, 0, f->ld * sizeof *sum_b);
	for (size_t i = f->rows[chunk].from; i < f->rows[chunk].to; i++) {
		const double *p = f->p + i * f->ld, *own = f->own + i * f->ld;
		double       *u = f->u + i * f->ld;
		float        *m = f->m + i * f->ld;
		double        x0 = f->x->own_x[i], c = f->c * x0 * x0, mu = 0.0;

		if (f->k == 1) {
			double h = f->c * p[0] * (1.0 - p[0]);

			u[0] = f->c * (p[0] - (f->y[i] == 1));
			m[0] = (float)(h / (1.0 + x0 * x0 * h));
		} else {
			for (size_t k = 0; k < f->k; k++) {
				u[k] = f->c * p[k];
				m[k] = (float)(p[k] / (1.0 + c * p[k]));
				mu += (double)m[k];
			}
			u[f->y[i]] -= f->c;
			f->mu[i] = mu;
		}
		add_times(f, sum_b, 1.0, u, f->ld);
		if (x0 > 0.0) {
			for (size_t k = 0; k < f->k; k++) {
				double g = x0 * u[k] + own[k];

				square += g * g;
			}
		}
	}
	f->part[chunk].a = square;
}

/* Elements of a chunk of groups, as one run; a multiple of LANES but for ld 1. */
static inline size_t run_of(const struct fit *f, size_t chunk, size_t *from)
{
	*from = f->cols[chunk].from * f->ld;
	return (f->cols[chunk].to - f->cols[chunk].from) * f->ld;
}

/* r = -(X^T u + w); .a gets its square.  The sums of rows by chunk are done with:
 * their place holds the group at hand. */
static void gradient_cols(void *arg, size_t chunk)
{
	struct fit           *f = arg;
	const struct columns *x = f->x;
	double               *at = f->part_b + chunk * f->ld;
	size_t                from, n = run_of(f, chunk, &from);

	for (size_t g = f->cols[chunk].from; g < f->cols[chunk].to; g++) {
		float *r = f->r + g * f->ld;

		memcpy(at, f->w + g * f->ld, f->ld * sizeof *at);
		gather(f, at, x->col_row + x->col_at[g], x->col_x + x->col_at[g],
		       x->col_at[g + 1] - x->col_at[g], f->u);
		for (size_t k = 0; k < f->ld; k++)
			r[k] = -(float)at[k];
	}
	f->part[chunk].a = dot_single(f, f->r + from, f->r + from, n);
}

/* u -= x0 M (x0 u + own): what remains of the gradient with own eliminated. */
static void reduce_rows(void *arg, size_t chunk)
{
	struct fit *f = arg;
	double     *sum_b = f->part_b + chunk * f->ld;

	memset(sum_b, 0, f->ld * sizeof *sum_b);
	for (size_t i = f->rows[chunk].from; i < f->rows[chunk].to; i++) {
		const double *own = f->own + i * f->ld;
		const float  *m = f->m + i * f->ld;
		double       *u = f->u + i * f->ld, x0 = f->x->own_x[i];

		if (x0 > 0.0 && f->k == 1) {
			u[0] -= x0 * (double)m[0] * (x0 * u[0] + own[0]);
		} else if (x0 > 0.0) {
			double mean = 0.0;

			for (size_t k = 0; k < f->k; k++)
				mean += (double)m[k] * (x0 * u[k] + own[k]);
			mean /= f->mu[i];
			for (size_t k = 0; k < f->k; k++)
				u[k] -= x0 * f->c * (double)m[k] * (x0 * u[k] + own[k] - mean);
		}
		add_times(f, sum_b, 1.0, u, f->ld);
	}
}

/* zs = the diagonal of M (zs is free then). */
static void diagonal_rows(void *arg, size_t chunk)
{
	struct fit *f = arg;
	double     *sum_b = f->part_b + chunk * f->ld;

	memset(sum_b, 0, f->ld * sizeof *sum_b);
	for (size_t i = f->rows[chunk].from; i < f->rows[chunk].to; i++) {
		const float *m = f->m + i * f->ld;
		double      *to = f->zs + i * f->ld;

		for (size_t k = 0; k < f->k; k++)
			to[k] = f->c * (double)m[k] * (1.0 - (double)m[k] / f->mu[i]);
		add_times(f, sum_b, 1.0, to, f->ld);
	}
}

/* diag = 1 / (1 + sum of x^2 zs) */
static void diagonal_cols(void *arg, size_t chunk)
{
	struct fit           *f = arg;
	const struct columns *x = f->x;
	double               *at = f->part_b + chunk * f->ld;

	for (size_t g = f->cols[chunk].from; g < f->cols[chunk].to; g++) {
		for (size_t k = 0; k < f->ld; k++)
			at[k] = 1.0;
		for (size_t i = x->col_at[g]; i < x->col_at[g + 1]; i++)
			add_times(f, at, x->col_x[i] * x->col_x[i], f->zs + x->col_row[i] * f->ld, f->ld);
		for (size_t k = 0; k < f->ld; k++)
			f->diag[g * f->ld + k] = (float)(1.0 / at[k]);
	}
}

static void precondition(struct fit *f)
{
	run_rows(f, diagonal_rows);
	total_u(f, f->diagb);
	for (size_t k = 0; k < f->k; k++)
		f->diagb[k] = 1.0 / f->diagb[k];
	run_cols(f, diagonal_cols);
	f->passes++;
}

/* t = X v + vb for one row */
static inline void row_times(const struct fit *f, size_t i, const double *v, const double *vb, double *t)
{
	const struct columns *x = f->x;

	memcpy(t, vb, f->ld * sizeof *t);
	gather(f, t, x->row_col + x->row_at[i], x->row_x + x->row_at[i], x->row_at[i + 1] - x->row_at[i], v);
}

/* us = M (X dir + dirb) */
static void hessian_rows(void *arg, size_t chunk)
{
	struct fit *f = arg;
	double     *sum_b = f->part_b + chunk * f->ld;

	memset(sum_b, 0, f->ld * sizeof *sum_b);
	if (f->ld == 4) {
		const float dirb[4] = { (float)f->dirb[0], (float)f->dirb[1], (float)f->dirb[2], (float)f->dirb[3] };

		f->kernels->rows4(f->us, sum_b, &f->by_row, f->rows[chunk].from, f->rows[chunk].to, f->dir, dirb, f->m,
		                  f->mu, (float)f->c);
		return;
	}
	for (size_t i = f->rows[chunk].from; i < f->rows[chunk].to; i++) {
		const float *m = f->m + i * f->ld;
		float       *u = f->us + i * f->ld;

		for (size_t k = 0; k < f->ld; k++)
			u[k] = (float)f->dirb[k];
		gather_single(f, u, &f->by_row, i, f->dir);
		if (f->k == 1) {
			u[0] *= m[0];
			sum_b[0] += (double)u[0];
			continue;
		}
		f->kernels->curve(u, (float)f->c, m, (float)(dot_single(f, m, u, f->ld) / f->mu[i]), f->ld);
		f->kernels->sum_up(sum_b, u, f->ld);
	}
}

/* q = X^T us + dir; .a gets dir . q */
static void hessian_cols(void *arg, size_t chunk)
{
	struct fit *f = arg;
	size_t      from, n = run_of(f, chunk, &from);

	if (f->ld == 4) {
		f->part[chunk].a = f->kernels->cols4(f->q, &f->by_col, f->cols[chunk].from, f->cols[chunk].to, f->us, f->dir);
		return;
	}
	for (size_t g = f->cols[chunk].from; g < f->cols[chunk].to; g++) {
		float *q = f->q + g * f->ld;

		memcpy(q, f->dir + g * f->ld, f->ld * sizeof *q);
		gather_single(f, q, &f->by_col, g, f->us);
	}
	f->part[chunk].a = dot_single(f, f->q + from, f->dir + from, n);
}

/* s += alpha dir, r -= alpha q; .a gets r . r, .b r . diag r.  Both while a run of r is
 * at hand: such as the sums are taken over. */
static void advance_cols(void *arg, size_t chunk)
{
	struct fit *f = arg;
	size_t      from, n = run_of(f, chunk, &from);
	struct sums sum = { 0 };

	for (size_t i = 0, len; i < n; i += len) {
		double      *s = f->s + from + i;
		float       *r = f->r + from + i;
		const float *dir = f->dir + from + i, *q = f->q + from + i;
		size_t       k;

		len = n - i < KERNELS_RUN ? n - i : KERNELS_RUN;
		k = len / LANES * LANES;
		f->kernels->advance(s, r, f->alpha, dir, q, k);
		for (; k < len; k++) {                   /* only of ld 1 */
			s[k] += f->alpha * (double)dir[k];
			r[k] -= (float)f->alpha * q[k];
		}
		sum.a += dot_single(f, r, r, len);
		if (f->diag != NULL)
			sum.b += f->kernels->weighted(r, f->diag + from + i, len);
	}
	if (f->diag == NULL)
		sum.b = sum.a;
	f->part[chunk] = sum;
}

/* dir = diag r + beta dir */
static void turn_cols(void *arg, size_t chunk)
{
	struct fit   *f = arg;
	size_t        from, n = run_of(f, chunk, &from), i = n / LANES * LANES;
	float        *dir = f->dir + from, beta = (float)f->beta;
	const float  *r = f->r + from;

	if (f->diag != NULL) {
		f->kernels->turn_weighted(dir, beta, r, f->diag + from, n);
		return;
	}
	f->kernels->turn(dir, beta, r, i);
	for (; i < n; i++)
		dir[i] = r[i] + beta * dir[i];
}

/* zs = X s + sb + x0 owns, with owns = -(I + c A)^-1 (x0 C (p - y) + own + x0 C A (X s + sb)).
 * .a gets the gradient times zs, .b own . owns, .c owns . owns, .d own . own */
static void step_rows(void *arg, size_t chunk)
{
	struct fit *f = arg;
	struct sums sum = { 0 };

	for (size_t i = f->rows[chunk].from; i < f->rows[chunk].to; i++) {
		const double *p = f->p + i * f->ld, *own = f->own + i * f->ld;
		const float  *m = f->m + i * f->ld;
		double       *zs = f->zs + i * f->ld, *owns = f->owns + i * f->ld;
		double        x0 = f->x->own_x[i], c = f->c * x0 * x0, mean = 0.0, mv = 0.0;

		row_times(f, i, f->s, f->sb, zs);
		if (f->k == 1) {
			double h = f->c * p[0] * (1.0 - p[0]), g = f->c * (p[0] - (f->y[i] == 1));

			owns[0] = x0 > 0.0 ? -(x0 * g + own[0] + x0 * h * zs[0]) / (1.0 + x0 * x0 * h) : 0.0;
			zs[0] += x0 * owns[0];
			sum.a += g * zs[0];
		} else {
			if (x0 > 0.0) {
				for (size_t k = 0; k < f->k; k++)
					mean += p[k] * zs[k];
				for (size_t k = 0; k < f->k; k++) {
					owns[k] = x0 * f->c * (p[k] * (1.0 + zs[k] - mean) - (f->y[i] == k)) + own[k];
					mv += (double)m[k] * owns[k];
				}
				mv *= c / f->mu[i];
				for (size_t k = 0; k < f->k; k++) {
					owns[k] = -(owns[k] / (1.0 + c * p[k]) + (double)m[k] * mv);
					zs[k] += x0 * owns[k];
				}
			}
			for (size_t k = 0; k < f->k; k++)
				sum.a += f->c * (p[k] - (f->y[i] == k)) * zs[k];
		}
		sum.b += dot(f, own, owns, f->ld);
		sum.c += dot(f, owns, owns, f->ld);
		sum.d += dot(f, own, own, f->ld);
	}
	f->part[chunk] = sum;
}

/* .a gets w . s, .b s . s, .c w . w */
static void step_cols(void *arg, size_t chunk)
{
	struct fit *f = arg;
	size_t      from, n = run_of(f, chunk, &from);
	const double *w = f->w + from, *s = f->s + from;

	f->part[chunk] = (struct sums){ .a = dot(f, w, s, n), .b = dot(f, s, s, n), .c = dot(f, w, w, n) };
}

static void accept_rows(void *arg, size_t chunk)
{
	struct fit  *f = arg;
	const size_t from = f->rows[chunk].from * f->ld, n = f->rows[chunk].to * f->ld - from;

	add_times(f, f->z + from, f->t, f->zs + from, n);
	add_times(f, f->own + from, f->t, f->owns + from, n);
}

static void accept_cols(void *arg, size_t chunk)
{
	struct fit *f = arg;

	size_t      from, n = run_of(f, chunk, &from);

	add_times(f, f->w + from, f->t, f->s + from, n);
}

/* -- the method ---------------------------------------------------------------------- */

static int tell(struct fit *f, struct err *e)
{
	double now;

	if (f->progress == NULL)
		return 0;
	now = clock_monotonic();
	if (now < f->next_progress)
		return 0;
	f->next_progress = now + PROGRESS_S;
	return f->progress(f->arg, f->done) ? 0 : err_set(e, ERR_STOPPED, "training was told to stop");
}

/* |grad F|.  Leaves u, m, mu for the step. */
static double gradient(struct fit *f)
{
	double square;

	run_rows(f, gradient_rows);
	square = total(f, f->n_rows).a;
	total_b(f, f->qb);
	run_cols(f, gradient_cols);
	f->passes++;
	return sqrt(square + total(f, f->n_cols).a + dot(f, f->qb, f->qb, f->ld));
}

/* Solves the reduced Newton system for s, sb to a residual of `target`. */
static int solve(struct fit *f, double target, struct err *e)
{
	double rz = 0.0;

	run_rows(f, reduce_rows);
	total_b(f, f->rb);
	run_cols(f, gradient_cols);
	f->passes++;
	if (f->diag != NULL)
		precondition(f);

	/* r is minus the gradient already; s = 0 */
	for (size_t k = 0; k < f->ld; k++)
		f->rb[k] = -f->rb[k];
	memset(f->s, 0, f->d * f->ld * sizeof *f->s);
	memset(f->sb, 0, f->ld * sizeof *f->sb);
	memset(f->dir, 0, f->d * f->ld * sizeof *f->dir);
	memset(f->dirb, 0, f->ld * sizeof *f->dirb);
	for (int it = 0; it < CG_MAX; it++) {
		struct sums sum;
		double      old = rz, rr;

		/* s and r advance by alpha, which is 0 the first time. */
		f->alpha = it == 0 ? 0.0 : f->alpha;
		run_cols(f, advance_cols);
		sum = total(f, f->n_cols);
		add_times(f, f->sb, f->alpha, f->dirb, f->ld);
		if (it > 0)
			add_times(f, f->rb, -f->alpha, f->qb, f->ld);
		rr = sum.a + dot(f, f->rb, f->rb, f->ld);
		if (sqrt(rr) <= target)
			break;
		rz = sum.b;
		for (size_t k = 0; k < f->k; k++)
			rz += f->rb[k] * f->rb[k] * (f->diag == NULL ? 1.0 : f->diagb[k]);
		if (tell(f, e) < 0)
			return -1;

		f->beta = it == 0 ? 0.0 : rz / old;
		run_cols(f, turn_cols);
		for (size_t k = 0; k < f->k; k++)
			f->dirb[k] = f->rb[k] * (f->diag == NULL ? 1.0 : f->diagb[k]) + f->beta * f->dirb[k];

		run_rows(f, hessian_rows);
		total_b(f, f->qb);
		run_cols(f, hessian_cols);
		f->passes += 2;
		f->alpha = rz / (total(f, f->n_cols).a + dot(f, f->dirb, f->qb, f->ld));
	}
	centre(f, f->sb);                    /* the preconditioner moves it */
	return 0;
}

/* |grad F| to stop at.  w's curvature is 1 or more, the penalty's; b has none, and where
 * C times the rows of a class is small, b's is about that: the gradient must be smaller
 * for the same error.  What rounding forbids is not asked for. */
static double gradient_to_reach(const struct fit *f)
{
	const size_t n_classes = f->k == 1 ? 2 : f->k;
	double      *rows = f->part_b, rarest = (double)f->n;      /* nothing is summed up there yet */

	memset(rows, 0, n_classes * sizeof *rows);
	for (size_t i = 0; i < f->n; i++)
		rows[f->y[i]]++;
	for (size_t k = 0; k < n_classes; k++)
		rarest = fmin(rarest, rows[k]);
	return fmax(GRAD_STOP * fmin(1.0, f->c * rarest / 2), 1e-13 * f->c * (double)f->n);
}

static int minimise(struct fit *f, struct logreg *m, struct err *e)
{
	double stop = gradient_to_reach(f);
	double loss, first = 0.0, grad, penalty = 0.0;

	run_rows(f, proba_rows);
	loss = total(f, f->n_rows).a;
	for (m->steps = 0;; m->steps++) {
		struct sums row, col;
		double      slope, next = 0.0;

		grad = gradient(f);
		if (m->steps == 0)
			first = grad;
		if (grad <= stop || m->steps == STEPS_MAX)
			break;
		f->done = fmax(0.0, fmin(0.99, log(first / grad) / log(first / stop)));
		if (tell(f, e) < 0 || solve(f, fmax(fmin(0.3, pow(grad / first, 0.4)) * grad, 0.3 * stop), e) < 0)
			return -1;

		run_rows(f, step_rows);
		f->passes++;
		row = total(f, f->n_rows);
		run_cols(f, step_cols);
		col = total(f, f->n_cols);
		slope = row.a + row.b + col.a;
		penalty = (row.d + col.c) / 2;
		for (f->t = 1.0;; f->t /= 2) {
			double p = penalty + f->t * (row.b + col.a) + f->t * f->t / 2 * (row.c + col.b);

			run_rows(f, proba_rows);
			next = total(f, f->n_rows).a;
			/* Near the end F can't tell steps apart, and the full step is safe. */
			if (grad <= 1e-5 * first || f->t < 1e-8 ||
			    next + p <= loss + penalty + 1e-4 * f->t * slope + 1e-11 * fabs(loss + penalty)) {
				penalty = p;
				break;
			}
		}
		loss = next;
		run_rows(f, accept_rows);
		run_cols(f, accept_cols);
		add_times(f, f->b, f->t, f->sb, f->ld);
	}
	m->grad = grad;
	m->objective = loss + penalty;
	m->passes = f->passes;
	return 0;
}

/* -- set-up -------------------------------------------------------------------------- */

/* Chunks of about equal work, by the data alone. */
static size_t cut(struct chunk *chunks, const uint32_t *at, size_t n, size_t ld)
{
	size_t work = ((n == 0 ? 0 : at[n]) + n) * ld, count = work / 32768 + 1, made = 0, from = 0;

	if (n == 0)
		return 0;
	if (count > CHUNKS_MAX)
		count = CHUNKS_MAX;
	for (size_t i = 0; i < n; i++) {
		if (((size_t)at[i + 1] + i + 1) * ld * count >= work * (made + 1) || i + 1 == n) {
			chunks[made++] = (struct chunk){ (uint32_t)from, (uint32_t)i + 1 };
			from = i + 1;
			if (made == CHUNKS_MAX)
				chunks[made - 1].to = (uint32_t)n;
			if (made == CHUNKS_MAX)
				break;
		}
	}
	return made;
}

/* n * ld elements, zeroed, at a cache line's start; NULL also on overflow. */
static void *matrix(size_t n, size_t ld, size_t size)
{
	size_t count, bytes;
	void  *p;

	if (__builtin_mul_overflow(n, ld, &count) || __builtin_mul_overflow(count, size, &bytes) ||
	    __builtin_add_overflow(bytes, (size_t)127, &bytes))
		return NULL;
	bytes &= ~(size_t)63;
	p = aligned_alloc(64, bytes);
	if (p != NULL)
		memset(p, 0, bytes);
	return p;
}

/* Every array of the fit with its rows, so that one loop makes and one frees them. */
struct slot {
	double **p;
	size_t   rows, width;
};
struct slot_single {
	float **p;
	size_t  rows, width;
};

static int output(struct logreg *m, const struct fit *f, struct err *e)
{
	size_t count;

	m->k = f->k;
	m->b = malloc(f->k * sizeof *m->b);
	m->w = __builtin_mul_overflow(f->x->n_groups + 1, f->k, &count) || count > SIZE_MAX / sizeof *m->w ?
	       NULL : malloc(count * sizeof *m->w);
	if (m->b == NULL || m->w == NULL)
		return err_memory(e);
	memcpy(m->b, f->b, f->k * sizeof *m->b);
	for (size_t g = 0; g < f->d; g++)
		memcpy(m->w + g * f->k, f->w + g * f->ld, f->k * sizeof *m->w);
	for (size_t i = 0; i < f->n; i++)
		if (f->x->own[i] != COLUMN_NONE)
			memcpy(m->w + f->x->own[i] * f->k, f->own + i * f->ld, f->k * sizeof *m->w);
	return 0;
}

int logreg_fit(struct logreg *m, const struct columns *x, const uint32_t *y, size_t n_classes,
               const struct logreg_settings *settings, struct err *e)
{
	size_t      k = n_classes == 2 ? 1 : n_classes, ld = k == 1 ? 1 : (k + LANES - 1) / LANES * LANES;
	size_t      n = x->n_docs, d = x->n_shared;
	struct fit *f = calloc(1, sizeof *f);
	int         rc = -1;

	*m = (struct logreg){ 0 };
	if (f == NULL)
		return err_memory(e);
	f->x = x;
	f->y = y;
	f->n = n;
	f->d = d;
	f->k = k;
	f->ld = ld;
	f->c = settings->c;
	f->progress = settings->progress;
	f->arg = settings->arg;
	f->n_rows = cut(f->rows, x->row_at, n, ld);
	f->n_cols = cut(f->cols, x->col_at, d, ld);
	f->kernels = kernels_best();
	f->team = team_open(settings->threads);

	const struct slot slots[] = {
		{ &f->w, d, ld }, { &f->s, d, ld },
		{ &f->own, n, ld }, { &f->z, n, ld }, { &f->p, n, ld }, { &f->u, n, ld },
		{ &f->zs, n, ld }, { &f->owns, n, ld }, { &f->mu, n, 1 }, { &f->part_b, CHUNKS_MAX, ld },
		{ &f->b, 1, ld }, { &f->rb, 1, ld }, { &f->qb, 1, ld }, { &f->dirb, 1, ld }, { &f->sb, 1, ld },
		{ &f->diagb, 1, ld },
	};
	const struct slot_single singles[] = {
		{ &f->m, n, ld }, { &f->us, n, ld },
		{ &f->row_x, x->nnz, 1 }, { &f->col_x, x->nnz, 1 },
		{ &f->r, d, ld }, { &f->q, d, ld }, { &f->dir, d, ld }, { &f->diag, k >= PRECONDITION_FROM ? d : 0, ld },
	};
	bool whole = f->team != NULL;

	for (size_t i = 0; i < countof(slots); i++)
		whole &= (*slots[i].p = matrix(slots[i].rows, slots[i].width, sizeof(double))) != NULL;
	for (size_t i = 0; i < countof(singles); i++)
		whole &= (*singles[i].p = matrix(singles[i].rows, singles[i].width, sizeof(float))) != NULL;
	if (!whole) {
		err_memory(e);
		goto out;
	}
	if (k < PRECONDITION_FROM) {
		free(f->diag);
		f->diag = NULL;
	}
	for (size_t i = 0; i < x->nnz; i++) {
		f->row_x[i] = (float)x->row_x[i];
		f->col_x[i] = (float)x->col_x[i];
	}
	f->by_row = (struct sparse){ x->row_at, x->row_col, f->row_x };
	f->by_col = (struct sparse){ x->col_at, x->col_row, f->col_x };
	if (minimise(f, m, e) == 0 && output(m, f, e) == 0)
		rc = 0;
out:
	for (size_t i = 0; i < countof(slots); i++)
		free(*slots[i].p);
	for (size_t i = 0; i < countof(singles); i++)
		free(*singles[i].p);
	team_close(f->team);
	free(f);
	return rc;
}

void logreg_clear(struct logreg *m)
{
	free(m->w);
	free(m->b);
	*m = (struct logreg){ 0 };
}
