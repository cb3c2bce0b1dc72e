/* The kernels in float32 and in float64. `word` has the bits of a real. */
#define real float
#define word uint32_t
#define DTYPE float32
#include "flat_matrices.c"
#include "kernels.c"
#undef real
#undef word
#undef DTYPE

#define real double
#define word uint64_t
#define DTYPE float64
#include "flat_matrices.c"
#include "kernels.c"
#undef real
#undef word
#undef DTYPE
