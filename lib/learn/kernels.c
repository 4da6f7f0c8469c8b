/* kernels.c - the inner loops of logreg.c, once for each width of vector. */
#include "learn/kernels.h"

/* Fusing would give other bits on processors that can. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

#define NAME(x) x##_narrow
#define TARGET
#define WIDTH 2
#include "learn/kernels_body.h"
#undef NAME
#undef TARGET
#undef WIDTH

#if defined(__x86_64__)
#define NAME(x) x##_wide
#define TARGET __attribute__((target("avx2")))
#define WIDTH 4
#include "learn/kernels_body.h"

const struct kernels *kernels_best(void)
{
	return __builtin_cpu_supports("avx2") ? &kernels_wide : &kernels_narrow;
}
#else
const struct kernels *kernels_best(void)
{
	return &kernels_narrow;
}
#endif
