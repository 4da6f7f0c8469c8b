/* kernels_body.h - included by kernels.c for each WIDTH, in doubles: no guard. */

typedef double NAME(vec) __attribute__((vector_size(WIDTH * sizeof(double)), aligned(8), may_alias));
#define VEC NAME(vec)
#define AT(p) (*(VEC *)(p))
#define CONST_AT(p) (*(const VEC *)(p))

/* Sums of 8 vectors stay in registers while the rows go by. */
TARGET static void NAME(gather)(double *t, size_t ld, const uint32_t *at, const double *x, size_t n, const double *v)
{
	size_t c = 0;

	for (; c + (size_t)8 * WIDTH <= ld; c += (size_t)8 * WIDTH) {
		VEC *to = (VEC *)(t + c);
		VEC  a0 = to[0], a1 = to[1], a2 = to[2], a3 = to[3], a4 = to[4], a5 = to[5], a6 = to[6], a7 = to[7];

		for (size_t i = 0; i < n; i++) {
			const VEC *row = (const VEC *)(v + (size_t)at[i] * ld + c);

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

TARGET static double NAME(weighted)(const double *a, const double *d, size_t n)
{
	VEC    s[8 / WIDTH] = { { 0.0 } };
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t l = 0; l < 8 / WIDTH; l++)
			s[l] += CONST_AT(d + i + l * WIDTH) * CONST_AT(a + i + l * WIDTH) * CONST_AT(a + i + l * WIDTH);
	for (size_t l = 0; i < n; i += WIDTH, l++)
		s[l] += CONST_AT(d + i) * CONST_AT(a + i) * CONST_AT(a + i);
	return NAME(sum)(s);
}

TARGET static void NAME(add_times)(double *to, double f, const double *v, size_t n)
{
	for (size_t i = 0; i < n; i += WIDTH)
		AT(to + i) += f * CONST_AT(v + i);
}

TARGET static void NAME(curve)(double *u, double c, const double *m, double mean, size_t n)
{
	for (size_t i = 0; i < n; i += WIDTH)
		AT(u + i) = c * CONST_AT(m + i) * (CONST_AT(u + i) - mean);
}

TARGET static void NAME(advance)(double *s, double *r, double alpha, const double *dir, const double *q, size_t n)
{
	for (size_t i = 0; i < n; i += WIDTH) {
		AT(s + i) += alpha * CONST_AT(dir + i);
		AT(r + i) -= alpha * CONST_AT(q + i);
	}
}

TARGET static void NAME(turn)(double *dir, double beta, const double *r, size_t n)
{
	for (size_t i = 0; i < n; i += WIDTH)
		AT(dir + i) = CONST_AT(r + i) + beta * CONST_AT(dir + i);
}

TARGET static void NAME(turn_weighted)(double *dir, double beta, const double *r, const double *d, size_t n)
{
	for (size_t i = 0; i < n; i += WIDTH)
		AT(dir + i) = CONST_AT(d + i) * CONST_AT(r + i) + beta * CONST_AT(dir + i);
}

#if WIDTH == 2
const struct kernels kernels_narrow = {
#else
static const struct kernels kernels_wide = {
#endif
	.name = WIDTH == 2 ? "narrow" : "wide",
	.gather = NAME(gather), .dot = NAME(dot), .add_times = NAME(add_times),
	.weighted = NAME(weighted), .curve = NAME(curve), .advance = NAME(advance),
	.turn = NAME(turn), .turn_weighted = NAME(turn_weighted),
};

#undef VEC
#undef AT
#undef CONST_AT
