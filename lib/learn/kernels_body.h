/* kernels_body.h - included by kernels.c for each WIDTH, in doubles: no guard. */

typedef double NAME(vec) __attribute__((vector_size(WIDTH * sizeof(double)), aligned(8), may_alias));
#define VEC NAME(vec)
#define AT(p) (*(VEC *)(p))
#define CONST_AT(p) (*(const VEC *)(p))

/* Rows of v lie anywhere: one that is asked for when its turn comes is waited for. */
TARGET static inline void NAME(fetch)(const void *row, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 64)
		__builtin_prefetch((const char *)row + i);
}

/* Sums of 8 vectors stay in registers while the rows go by. */
TARGET static void NAME(gather)(double *t, size_t ld, const uint32_t *at, const double *x, size_t n, const double *v)
{
	size_t c = 0;

	for (; c + (size_t)8 * WIDTH <= ld; c += (size_t)8 * WIDTH) {
		VEC *to = (VEC *)(t + c);
		VEC  a0 = to[0], a1 = to[1], a2 = to[2], a3 = to[3], a4 = to[4], a5 = to[5], a6 = to[6], a7 = to[7];

		for (size_t i = 0; i < n; i++) {
			const VEC *row = (const VEC *)(v + (size_t)at[i] * ld + c);

			NAME(fetch)(v + (size_t)at[i + KERNELS_AHEAD] * ld + c, 8 * sizeof(VEC));
			a0 += x[i] * row[0];
			a1 += x[i] * row[1];
			a2 += x[i] * row[2];
			a3 += x[i] * row[3];
			a4 += x[i] * row[4];
			a5 += x[i] * row[5];
			a6 += x[i] * row[6];
			a7 += x[i] * row[7];
		}
		to[0] = a0;
		to[1] = a1;
		to[2] = a2;
		to[3] = a3;
		to[4] = a4;
		to[5] = a5;
		to[6] = a6;
		to[7] = a7;
	}
	for (; c + (size_t)4 * WIDTH <= ld; c += (size_t)4 * WIDTH) {
		VEC *to = (VEC *)(t + c), a0 = to[0], a1 = to[1], a2 = to[2], a3 = to[3];

		for (size_t i = 0; i < n; i++) {
			const VEC *row = (const VEC *)(v + (size_t)at[i] * ld + c);

			a0 += x[i] * row[0];
			a1 += x[i] * row[1];
			a2 += x[i] * row[2];
			a3 += x[i] * row[3];
		}
		to[0] = a0;
		to[1] = a1;
		to[2] = a2;
		to[3] = a3;
	}
	for (; c < ld; c += WIDTH) {
		VEC a0 = CONST_AT(t + c);

		for (size_t i = 0; i < n; i++)
			a0 += x[i] * CONST_AT(v + (size_t)at[i] * ld + c);
		AT(t + c) = a0;
	}
}

/* Eight lanes in all, s[0] first: their sum, which no width may take otherwise. */
TARGET static double NAME(sum)(const VEC *s)
{
#if WIDTH == 2
	VEC low = s[0] + s[2], high = s[1] + s[3];

	return (low[0] + low[1]) + (high[0] + high[1]);
#else
	VEC both = s[0] + s[1];

	return (both[0] + both[1]) + (both[2] + both[3]);
#endif
}

TARGET static double NAME(dot)(const double *a, const double *b, size_t n)
{
	VEC    s[8 / WIDTH] = { { 0.0 } };
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t l = 0; l < 8 / WIDTH; l++)
			s[l] += CONST_AT(a + i + l * WIDTH) * CONST_AT(b + i + l * WIDTH);
	for (size_t l = 0; i < n; i += WIDTH, l++)
		s[l] += CONST_AT(a + i) * CONST_AT(b + i);
	return NAME(sum)(s);
}

TARGET static void NAME(add_times)(double *to, double f, const double *v, size_t n)
{
	for (size_t i = 0; i < n; i += WIDTH)
		AT(to + i) += f * CONST_AT(v + i);
}

/* ---- single precision: 2 * WIDTH elements a vector, HALF of them where 4 are left ---- */

typedef float NAME(fvec) __attribute__((vector_size(WIDTH * 2 * sizeof(float)), aligned(4), may_alias));
typedef float NAME(half) __attribute__((vector_size(4 * sizeof(float)), aligned(4), may_alias));
typedef double NAME(pair) __attribute__((vector_size(4 * sizeof(double)), aligned(8), may_alias));
#define FVEC NAME(fvec)
#define FWIDTH (2 * (size_t)WIDTH)
#define HALF NAME(half)
#define PAIR NAME(pair)
#define HALF_AT(p) (*(HALF *)(p))
#define CONST_HALF_AT(p) (*(const HALF *)(p))
#define PAIR_AT(p) (*(PAIR *)(p))

TARGET static void NAME(gather_single)(float *t, size_t ld, const uint32_t *at, const float *x, size_t n, const float *v)
{
	size_t c = 0;

	for (; c + 10 * FWIDTH <= ld; c += 10 * FWIDTH) {
		FVEC *to = (FVEC *)(t + c);
		FVEC  a0 = to[0], a1 = to[1], a2 = to[2], a3 = to[3], a4 = to[4], a5 = to[5], a6 = to[6], a7 = to[7],
		      a8 = to[8], a9 = to[9];

		for (size_t i = 0; i < n; i++) {
			const FVEC *row = (const FVEC *)(v + (size_t)at[i] * ld + c);
			float       f = x[i];

			NAME(fetch)(v + (size_t)at[i + KERNELS_AHEAD] * ld + c, 10 * sizeof(FVEC));
			a0 += f * row[0];
			a1 += f * row[1];
			a2 += f * row[2];
			a3 += f * row[3];
			a4 += f * row[4];
			a5 += f * row[5];
			a6 += f * row[6];
			a7 += f * row[7];
			a8 += f * row[8];
			a9 += f * row[9];
		}
		to[0] = a0;
		to[1] = a1;
		to[2] = a2;
		to[3] = a3;
		to[4] = a4;
		to[5] = a5;
		to[6] = a6;
		to[7] = a7;
		to[8] = a8;
		to[9] = a9;
	}
	for (; c + 4 * FWIDTH <= ld; c += 4 * FWIDTH) {
		FVEC *to = (FVEC *)(t + c), a0 = to[0], a1 = to[1], a2 = to[2], a3 = to[3];

		for (size_t i = 0; i < n; i++) {
			const FVEC *row = (const FVEC *)(v + (size_t)at[i] * ld + c);
			float       f = x[i];

			a0 += f * row[0];
			a1 += f * row[1];
			a2 += f * row[2];
			a3 += f * row[3];
		}
		to[0] = a0;
		to[1] = a1;
		to[2] = a2;
		to[3] = a3;
	}
	for (; c < ld; c += 4) {
		HALF a0 = CONST_HALF_AT(t + c);

		for (size_t i = 0; i < n; i++)
			a0 += x[i] * CONST_HALF_AT(v + (size_t)at[i] * ld + c);
		HALF_AT(t + c) = a0;
	}
}

/* Eight lanes again, whatever the width; KERNELS_RUN elements, then in double. */
#define SINGLE_SUM(term) \
	double sum = 0.0; \
	for (size_t i = 0; i < n; ) { \
		size_t end = n - i > KERNELS_RUN ? i + KERNELS_RUN : n; \
		HALF   low = { 0.0f }, high = { 0.0f }; \
		for (; i + 8 <= end; i += 8) { \
			low += term(i); \
			high += term(i + 4); \
		} \
		if (i < end) { \
			low += term(i); \
			i += 4; \
		} \
		low += high; \
		sum += (double)((low[0] + low[1]) + (low[2] + low[3])); \
	} \
	return sum

TARGET static double NAME(dot_single)(const float *a, const float *b, size_t n)
{
#define TERM(i) (CONST_HALF_AT(a + (i)) * CONST_HALF_AT(b + (i)))
	SINGLE_SUM(TERM);
#undef TERM
}

TARGET static double NAME(weighted)(const float *a, const float *d, size_t n)
{
#define TERM(i) (CONST_HALF_AT(d + (i)) * CONST_HALF_AT(a + (i)) * CONST_HALF_AT(a + (i)))
	SINGLE_SUM(TERM);
#undef TERM
}

TARGET static void NAME(sum_up)(double *to, const float *v, size_t n)
{
	for (size_t i = 0; i < n; i += 4)
		PAIR_AT(to + i) += __builtin_convertvector(CONST_HALF_AT(v + i), PAIR);
}

TARGET static void NAME(curve)(float *u, float c, const float *m, float mean, size_t n)
{
	for (size_t i = 0; i < n; i += 4)
		HALF_AT(u + i) = c * CONST_HALF_AT(m + i) * (CONST_HALF_AT(u + i) - mean);
}

TARGET static void NAME(advance)(double *s, float *r, double alpha, const float *dir, const float *q, size_t n)
{
	const float single = (float)alpha;

	for (size_t i = 0; i < n; i += 4) {
		PAIR_AT(s + i) += alpha * __builtin_convertvector(CONST_HALF_AT(dir + i), PAIR);
		HALF_AT(r + i) -= single * CONST_HALF_AT(q + i);
	}
}

TARGET static void NAME(turn)(float *dir, float beta, const float *r, size_t n)
{
	for (size_t i = 0; i < n; i += 4)
		HALF_AT(dir + i) = CONST_HALF_AT(r + i) + beta * CONST_HALF_AT(dir + i);
}

TARGET static void NAME(turn_weighted)(float *dir, float beta, const float *r, const float *d, size_t n)
{
	for (size_t i = 0; i < n; i += 4)
		HALF_AT(dir + i) = CONST_HALF_AT(d + i) * CONST_HALF_AT(r + i) + beta * CONST_HALF_AT(dir + i);
}

/* t + row i of x times v, four wide, in two sums: the additions of one would wait for
 * each other. */
TARGET static inline HALF NAME(row4)(HALF t, const struct sparse *x, size_t i, const float *v)
{
	HALF   odd = { 0.0f };
	size_t k = x->at[i], end = x->at[i + 1];

	for (; k + 1 < end; k += 2) {
		t += x->x[k] * CONST_HALF_AT(v + (size_t)x->index[k] * 4);
		odd += x->x[k + 1] * CONST_HALF_AT(v + (size_t)x->index[k + 1] * 4);
	}
	if (k < end)
		t += x->x[k] * CONST_HALF_AT(v + (size_t)x->index[k] * 4);
	return t + odd;
}

TARGET static void NAME(rows4)(float *us, double sum[4], const struct sparse *x, size_t from, size_t to, const float *dir,
                               const float dirb[4], const float *m, const double *mu, float c)
{
	PAIR total = PAIR_AT(sum);

	for (size_t i = from; i < to; i++) {
		HALF  t = NAME(row4)(CONST_HALF_AT(dirb), x, i, dir), at = CONST_HALF_AT(m + i * 4), p = at * t;
		float mean = (float)((double)((p[0] + p[1]) + (p[2] + p[3])) / mu[i]);

		t = c * at * (t - mean);
		HALF_AT(us + i * 4) = t;
		total += __builtin_convertvector(t, PAIR);
	}
	PAIR_AT(sum) = total;
}

TARGET static double NAME(cols4)(float *q, const struct sparse *x, size_t from, size_t to, const float *us, const float *dir)
{
	PAIR total = { 0.0 };

	for (size_t g = from; g < to; g++) {
		HALF d = CONST_HALF_AT(dir + g * 4), t = NAME(row4)(d, x, g, us);

		HALF_AT(q + g * 4) = t;
		total += __builtin_convertvector(t * d, PAIR);
	}
	return (total[0] + total[1]) + (total[2] + total[3]);
}

#if WIDTH == 2
const struct kernels kernels_narrow = {
#else
static const struct kernels kernels_wide = {
#endif
	.name = WIDTH == 2 ? "narrow" : "wide",
	.gather = NAME(gather), .dot = NAME(dot), .add_times = NAME(add_times),
	.gather_single = NAME(gather_single), .dot_single = NAME(dot_single), .weighted = NAME(weighted),
	.curve = NAME(curve), .sum_up = NAME(sum_up), .advance = NAME(advance),
	.turn = NAME(turn), .turn_weighted = NAME(turn_weighted), .rows4 = NAME(rows4), .cols4 = NAME(cols4),
};

#undef VEC
#undef AT
#undef CONST_AT
#undef FVEC
#undef FWIDTH
#undef HALF
#undef PAIR
#undef HALF_AT
#undef CONST_HALF_AT
#undef PAIR_AT
#undef SINGLE_SUM
