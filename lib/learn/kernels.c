/* kernels.c - the inner loops of logreg.c, once for each width of vector. */
#include "learn/kernels.h"

#if defined(__x86_64__) && __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#endif

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

/* The C library knows from its own start.  The compiler's way asks the processor a dozen
 * times before main(), and under a hypervisor each of these is some ten microseconds: of
 * every process, plain CGI's too, which train nothing. */
#ifdef CPU_FEATURE_ACTIVE
#define HAS_AVX2 CPU_FEATURE_ACTIVE(AVX2)
#else
#define HAS_AVX2 __builtin_cpu_supports("avx2")
#endif

const struct kernels *kernels_best(void)
{
	return HAS_AVX2 ? &kernels_wide : &kernels_narrow;
}
#else
const struct kernels *kernels_best(void)
{
	return &kernels_narrow;
}
#endif
