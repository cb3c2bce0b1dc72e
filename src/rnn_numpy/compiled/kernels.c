/* The loops over time, too short for BLAS: (1)-(3) and (6)-(11) of docs/bptt.md.

   Read textbook.py first: this is the same with each array as flat memory in C order, so that a
   kernel can work in place on memory of NumPy and torch. setup.py compiles this file for each dtype,
   `real`, with `word`, which has its bits, and for each kind of processor; `native.py` calls the
   kernels. Arguments are not checked.

   In products several rows are added at a time (`add_row`, `add_product`), so that one load and one
   store of a sum serve four to eight products. A product and a sum may become one fused instruction;
   otherwise sums are taken in the order written, except in a loop marked with a reduction. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef ptrdiff_t intp;

#ifdef _MSC_VER
#define KERNEL __declspec(dllexport)
#define restrict __restrict
#define SIMD
#define SIMD_SUM(...)
#else
#define KERNEL
#define PRAGMA(text) _Pragma(#text)
#define SIMD PRAGMA(omp simd)
#define SIMD_SUM(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#endif

/* How many of generic, avx2 and avx512, in this order, this processor runs. */
#if defined __x86_64__ && defined __GNUC__
#define CPU(name) (__builtin_cpu_supports(name) != 0)
int variants(void)
{
    const int avx2 = CPU("avx2") && CPU("fma");
    return 1 + avx2
           + (avx2 && CPU("avx512f") && CPU("avx512bw") && CPU("avx512dq") && CPU("avx512vl"));
}
#else
KERNEL int variants(void) { return 1; }
#endif

/* (2), (3). exp is written here so that it can be vectorised on every processor: the usual reduction
   to |r| <= ln(2) / 2 and the Taylor polynomial (tests/compiled/test_native.py measures its error).
   Adding 1.5 * 2^52 (2^23 in float32) rounds to an integer, which is then in the last bits. */
static inline void sigmoids(real *z, intp count)
{
    const int is_double = sizeof(real) == 8;
    const real largest = is_double ? 709.7 : 88.7;    /* exp overflows above */
    const real smallest = is_double ? -708.0 : -87.0; /* below, exp is negligible beside 1 */
    const real rounder = is_double ? 0x1.8p52 : 0x1.8p23;
    const int mantissa = is_double ? 52 : 23, bias = is_double ? 1023 : 127;
    /* ln(2) in two parts; the product of the first with any exponent is exact. */
    const real ln2_high = is_double ? 6.93147180369123816490e-01 : 0.693359375;
    const real ln2_low = is_double ? 1.90821492927058770002e-10 : -2.12194440e-4;
    const real per_ln2 = 1.44269504088896340736;
    static const real every[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                                 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
                                 1.0 / 24, 1.0 / 6, 0.5, 1, 1};
    const real *taylor = is_double ? every : every + 6;
    const intp terms = is_double ? 14 : 8;

    SIMD
    for (intp i = 0; i < count; i++) {
        real x = -z[i] < smallest ? smallest : -z[i];
        real clipped = x > largest ? largest : x; /* keeps NaN */
        real rounded = clipped * per_ln2 + rounder;
        real exponent = rounded - rounder;
        real r = (clipped - exponent * ln2_high) - exponent * ln2_low;
        real value = taylor[0];
        for (intp n = 1; n < terms; n++) value = value * r + taylor[n];
        word bits;
        memcpy(&bits, &rounded, sizeof bits);
        bits = (bits + bias) << mantissa;
        real power;
        memcpy(&power, &bits, sizeof power);
        z[i] = x > largest ? 0 : 1 / (1 + value * power);
    }
}

/* out[k] += scale * sum over i of A[i * a_inner] * M[i, k], eight i at a time */
static inline void add_row(real *restrict out, const real *A, intp a_inner, const real *restrict M,
                      intp inner, intp columns, real scale)
{
    intp i = 0;
    for (; i + 8 <= inner; i += 8, A += 8 * a_inner, M += 8 * columns) {
        const real c0 = scale * A[0], c1 = scale * A[a_inner];
        const real c2 = scale * A[2 * a_inner], c3 = scale * A[3 * a_inner];
        const real c4 = scale * A[4 * a_inner], c5 = scale * A[5 * a_inner];
        const real c6 = scale * A[6 * a_inner], c7 = scale * A[7 * a_inner];
        SIMD
        for (intp k = 0; k < columns; k++)
            out[k] = (out[k] + c0 * M[k] + c1 * M[columns + k] + c2 * M[2 * columns + k]
                      + c3 * M[3 * columns + k])
                     + (c4 * M[4 * columns + k] + c5 * M[5 * columns + k]
                        + c6 * M[6 * columns + k] + c7 * M[7 * columns + k]);
    }
    for (; i < inner; i++, A += a_inner, M += columns) {
        const real c0 = scale * A[0];
        SIMD
        for (intp k = 0; k < columns; k++) out[k] += c0 * M[k];
    }
}

/* out[r, k] += sum over i of A[r * a_row + i * a_inner] * M[i, k], four rows, four i at a time */
static inline void add_product(real *restrict out, const real *A, intp a_row, intp a_inner,
                          const real *restrict M, intp rows, intp inner, intp columns)
{
    const intp whole = inner - inner % 4;
    for (; rows >= 4; rows -= 4, A += 4 * a_row, out += 4 * columns) {
        const real *p = A, *q = A + a_row, *r = A + 2 * a_row, *s = A + 3 * a_row, *m = M;
        for (intp i = 0; i < whole; i += 4, m += 4 * columns) {
            const real p0 = p[0], p1 = p[a_inner], p2 = p[2 * a_inner], p3 = p[3 * a_inner];
            const real q0 = q[0], q1 = q[a_inner], q2 = q[2 * a_inner], q3 = q[3 * a_inner];
            const real r0 = r[0], r1 = r[a_inner], r2 = r[2 * a_inner], r3 = r[3 * a_inner];
            const real s0 = s[0], s1 = s[a_inner], s2 = s[2 * a_inner], s3 = s[3 * a_inner];
            SIMD
            for (intp k = 0; k < columns; k++) {
                const real m0 = m[k], m1 = m[columns + k];
                const real m2 = m[2 * columns + k], m3 = m[3 * columns + k];
                out[k] = out[k] + p0 * m0 + p1 * m1 + p2 * m2 + p3 * m3;
                out[columns + k] = out[columns + k] + q0 * m0 + q1 * m1 + q2 * m2 + q3 * m3;
                out[2 * columns + k] = out[2 * columns + k] + r0 * m0 + r1 * m1 + r2 * m2 + r3 * m3;
                out[3 * columns + k] = out[3 * columns + k] + s0 * m0 + s1 * m1 + s2 * m2 + s3 * m3;
            }
            p += 4 * a_inner, q += 4 * a_inner, r += 4 * a_inner, s += 4 * a_inner;
        }
        for (intp i = 0; i < 4; i++)
            add_row(out + i * columns, A + i * a_row + whole * a_inner, a_inner, m, inner - whole,
                    columns, 1);
    }
    for (; rows > 0; rows--, A += a_row, out += columns)
        add_row(out, A, a_inner, M, inner, columns, 1);
}

static inline real dot(const real *one, const real *other, intp count)
{
    real total = 0;
    SIMD_SUM(total)
    for (intp k = 0; k < count; k++) total += one[k] * other[k];
    return total;
}

/* out[r, i] += sum over k of A[r, k] * M[i, k]: the same with M transposed, four i at a time, each
   in several sums that fill 32 bytes. For few rows this is cheaper than transposing M. */
static inline void add_dots(real *restrict out, const real *A, const real *M, intp rows, intp inner,
                       intp columns)
{
    enum { LANES = 32 / sizeof(real) };
    for (; rows > 0; rows--, A += columns, out += inner) {
        const real *m = M;
        intp i = 0;
        for (; i + 4 <= inner; i += 4, m += 4 * columns) {
            real sums[4][LANES] = {{0}};
            intp k = 0;
            for (; k + LANES <= columns; k += LANES)
                for (int j = 0; j < 4; j++) {
                    SIMD
                    for (int lane = 0; lane < LANES; lane++)
                        sums[j][lane] += A[k + lane] * m[j * columns + k + lane];
                }
            for (; k < columns; k++)
                for (int j = 0; j < 4; j++) sums[j][0] += A[k] * m[j * columns + k];
            for (int j = 0; j < 4; j++)
                for (int lane = 0; lane < LANES / 2; lane++)
                    out[i + j] += sums[j][lane] + sums[j][lane + LANES / 2];
        }
        for (; i < inner; i++, m += columns) out[i] += dot(A, m, columns);
    }
}

static inline void transpose(const real *restrict M, intp rows, intp columns, real *restrict out)
{
    for (intp i = 0; i < rows; i++)
        for (intp j = 0; j < columns; j++) out[j * rows + i] = M[i * columns + j];
}

/* One SGD step for each pair; the updates are added to into_U, into_W, into_V.

   These are U, W, V for training, or zeros to get a gradient. `outputs` has a row for each pair;
   row 0 of `h` is h_0 = 0. */
KERNEL void descend(const real *U, const real *W, const real *V, real *into_U, real *into_W,
                    real *into_V, const int64_t *pairs, intp steps, intp bits, intp hidden,
                    double rate, real *outputs, real *h, real *delta, real *eps, real *W_T)
{
    const real down = -rate;
    memset(h, 0, sizeof(real) * hidden);
    for (intp step = 0; step < steps; step++, outputs += bits) {
        /* Unsigned: the sum of two 64-bit integers may have a carry, which is dropped. */
        const uint64_t a = pairs[2 * step], b = pairs[2 * step + 1];
        for (intp t = 0; t < bits; t++) {
            const real a_t = a >> t & 1, b_t = b >> t & 1;
            real *h_prev = h + t * hidden, *h_t = h_prev + hidden;
            SIMD
            for (intp k = 0; k < hidden; k++) h_t[k] = a_t * U[k] + b_t * U[hidden + k];
            add_row(h_t, h_prev, 1, W, hidden, hidden, 1); /* (1) */
            sigmoids(h_t, hidden);                         /* (2) */
            outputs[t] = dot(h_t, V, hidden);
        }
        sigmoids(outputs, bits); /* (3) */
        for (intp t = 0; t < bits; t++) {
            const real o_t = outputs[t], y_t = (a + b) >> t & 1;
            eps[t] = (o_t - y_t) * o_t * (1 - o_t); /* (6) */
        }
        transpose(W, hidden, hidden, W_T);
        for (intp t = bits - 1; t >= 0; t--) {
            real *delta_t = delta + t * hidden;
            const real *h_t = h + (t + 1) * hidden, eps_t = eps[t];
            SIMD
            for (intp k = 0; k < hidden; k++) delta_t[k] = eps_t * V[k];
            if (t < bits - 1)
                add_row(delta_t, delta_t + hidden, 1, W_T, hidden, hidden, 1); /* (7) */
            SIMD
            for (intp k = 0; k < hidden; k++) delta_t[k] *= h_t[k] * (1 - h_t[k]); /* (8) */
        }
        for (intp t = 0; t < bits; t++) {
            const real a_t = down * (a >> t & 1), b_t = down * (b >> t & 1);
            const real *delta_t = delta + t * hidden;
            SIMD
            for (intp k = 0; k < hidden; k++) {
                into_U[k] += a_t * delta_t[k]; /* (9) */
                into_U[hidden + k] += b_t * delta_t[k];
            }
        }
        for (intp j = 0; j < hidden; j++)
            add_row(into_W + j * hidden, h + j, hidden, delta, bits, hidden, down); /* (10) */
        add_row(into_V, eps, 1, h + hidden, bits, hidden, down);                    /* (11) */
    }
}

/* Count the sums, of 4^(bits - 1), with every bit right, by depth-first search.

   All pairs with the same low bits share a state, and no pair is followed beyond its first wrong
   bit. `base[level]` has up to 16 rows h_{t-1} W, one for each state that is right so far and still
   to be followed, `carry[level]` their carries; four rows are taken at a time, with four inputs
   each, or all 16 at the last bit, where both operands have a 0. */
KERNEL void count_exact(const real *U, const real *W, const real *V, intp bits, intp hidden,
                        int64_t *exact, int64_t *left, int64_t *carry, real *h, real *base,
                        real *outputs)
{
    int64_t found = 0;
    intp level = 0;
    left[0] = 1, carry[0] = 0;
    memset(base, 0, sizeof(real) * hidden);
    while (level >= 0) {
        const int inputs = level < bits - 1 ? 4 : 1, most = 16 / inputs;
        const intp rows = left[level] < most ? left[level] : most, states = rows * inputs;
        if (rows == 0) {
            level--;
            continue;
        }
        left[level] -= rows;
        const intp first = 16 * level + left[level];
        for (intp r = 0; r < states; r++) {
            const real a_t = r % inputs & 1, b_t = r % inputs >> 1;
            const real *from_h = base + (first + r / inputs) * hidden;
            SIMD
            for (intp k = 0; k < hidden; k++)
                h[r * hidden + k] = from_h[k] + a_t * U[k] + b_t * U[hidden + k]; /* (1) */
        }
        sigmoids(h, states * hidden); /* (2) */
        for (intp r = 0; r < states; r++) outputs[r] = dot(h + r * hidden, V, hidden);
        sigmoids(outputs, states); /* (3) */

        const intp next = 16 * (level + 1);
        intp right = 0;
        for (intp r = 0; r < states; r++) {
            const intp input = r % inputs;
            const int64_t total = (input & 1) + (input >> 1) + carry[first + r / inputs];
            if ((outputs[r] > (real)0.5) != (total & 1)) continue;
            carry[next + right] = total >> 1;
            memmove(h + right * hidden, h + r * hidden, hidden * sizeof(real));
            right++;
        }
        if (level == bits - 1) {
            found += right;
            continue;
        }
        level++;
        left[level] = right;
        memset(base + next * hidden, 0, sizeof(real) * right * hidden);
        add_product(base + next * hidden, h, hidden, 1, W, right, hidden, hidden);
    }
    exact[0] = found;
}

/* The states h_1 ... h_T. Without has_h_0, h_0 is zero and its memory is not read.

   With n_in = 0 the memory of the states already contains the products x_t U. */
KERNEL void forward(const real *x, const real *U, const real *W, const real *h_0, real *states,
                    intp has_h_0, intp time, intp batch, intp n_in, intp hidden)
{
    const intp size = batch * hidden;
    const real *h_prev = has_h_0 ? h_0 : NULL;
    for (intp t = 0; t < time; t++, h_prev = states, states += size) {
        if (n_in > 0) {
            memset(states, 0, sizeof(real) * size);
            add_product(states, x + t * batch * n_in, n_in, 1, U, batch, n_in, hidden);
        }
        if (h_prev) add_product(states, h_prev, hidden, 1, W, batch, hidden, hidden);
        sigmoids(states, size);
    }
}

/* delta_t (8) for every t from the gradient with respect to every state.

   W is plain or transposed; transposing is faster from four examples on. */
KERNEL void backward(const real *W, intp transposed, const real *states, const real *upstream,
                     real *delta, intp time, intp batch, intp hidden)
{
    const intp size = batch * hidden;
    for (intp t = time - 1; t >= 0; t--) {
        real *delta_t = delta + t * size, *delta_next = delta_t + size;
        const real *h_t = states + t * size, *into_h_t = upstream + t * size;
        SIMD
        for (intp k = 0; k < size; k++) delta_t[k] = into_h_t[k];
        if (t < time - 1) { /* (7) */
            if (transposed)
                add_product(delta_t, delta_next, hidden, 1, W, batch, hidden, hidden);
            else
                add_dots(delta_t, delta_next, W, batch, hidden, hidden);
        }
        SIMD
        for (intp k = 0; k < size; k++) delta_t[k] *= h_t[k] * (1 - h_t[k]); /* (8) */
    }
}

/* The gradients of x, U (9), W (10) and h_0, a few rows at a time, which fit the cache.

   The workspace has delta first, then a matrix for W^T and later U^T. */
KERNEL void whole_backward(const real *x, const real *U, const real *W, const real *h_0,
                           const real *states, const real *upstream, intp has_h_0, real *into_x,
                           real *into_U, real *into_W, real *into_h_0, real *workspace, intp time,
                           intp batch, intp n_in, intp hidden)
{
    const intp total = time * batch, few = total < 16; /* too few to transpose a matrix for */
    real *delta = workspace, *matrix = workspace + total * hidden;
    if (few && batch < 4) {
        backward(W, 0, states, upstream, delta, time, batch, hidden);
    } else {
        transpose(W, hidden, hidden, matrix);
        backward(matrix, 1, states, upstream, delta, time, batch, hidden);
    }
    memset(into_U, 0, sizeof(real) * n_in * hidden);
    memset(into_W, 0, sizeof(real) * hidden * hidden);
    if (has_h_0) {
        add_product(into_W, h_0, 1, hidden, delta, hidden, batch, hidden);
        memset(into_h_0, 0, sizeof(real) * batch * hidden);
        add_dots(into_h_0, delta, W, batch, hidden, hidden);
    }
    memset(into_x, 0, sizeof(real) * total * n_in);
    if (few) {
        add_dots(into_x, delta, U, total, n_in, hidden);
    } else {
        transpose(U, n_in, hidden, matrix);
        add_product(into_x, delta, hidden, 1, matrix, total, hidden, n_in);
    }
    for (intp first = 0; first < total; first += 32) {
        intp rows = total - first < 32 ? total - first : 32;
        const real *now = delta + first * hidden, *after = now + batch * hidden;
        add_product(into_U, x + first * n_in, 1, n_in, now, n_in, rows, hidden); /* (9) */
        if (rows > total - batch - first) rows = total - batch - first;
        if (rows > 0)
            add_product(into_W, states + first * hidden, 1, hidden, after, hidden, rows, hidden);
    }
}
