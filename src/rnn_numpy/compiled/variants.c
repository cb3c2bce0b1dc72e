/* All kernels in one library: each for two dtypes and for up to three kinds of processor, under
   names like `descend_float64_avx2`. `native.py` picks one of them at run time. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef ptrdiff_t intp;

#define JOIN(name, dtype, variant) name##_##dtype##_##variant
#define NAMED(name, dtype, variant) JOIN(name, dtype, variant)
#define NAME(name) NAMED(name, DTYPE, VARIANT)
#define sigmoids NAME(sigmoids)
#define add_row NAME(add_row)
#define add_product NAME(add_product)
#define dot NAME(dot)
#define add_dots NAME(add_dots)
#define transpose NAME(transpose)
#define clear NAME(clear)
#define errors NAME(errors)
#define descend NAME(descend)
#define count_exact NAME(count_exact)
#define forward NAME(forward)
#define backward NAME(backward)
#define whole_backward NAME(whole_backward)

#ifdef _MSC_VER
#define EXPORT __declspec(dllexport)
#define restrict __restrict
#define SIMD
#define SIMD_SUM(...)
#else
#define EXPORT
#define PRAGMA(text) _Pragma(#text)
#define SIMD PRAGMA(omp simd)
#define SIMD_SUM(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#endif
#define FUNCTION static inline TARGET
#define KERNEL EXPORT TARGET

#define VARIANT generic
#define TARGET
#include "dtypes.c"
#undef VARIANT
#undef TARGET

#if defined __x86_64__ && defined __GNUC__

#define VARIANT avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "dtypes.c"
#undef VARIANT
#undef TARGET

#define VARIANT avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#include "dtypes.c"
#undef VARIANT
#undef TARGET

/* How many of generic, avx2 and avx512, in this order, this processor runs. */
int variants(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") ? 3 : 2;
}

/* Whether Intel made this processor. */
int intel(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") != 0;
}

#else

EXPORT int variants(void) { return 1; }
EXPORT int intel(void) { return 0; }

#endif
