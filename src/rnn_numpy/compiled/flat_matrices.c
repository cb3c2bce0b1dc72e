/* Arithmetic for the kernels: sigmoid, and products of small matrices in flat memory.

   Several rows are added at a time (`add_row`, `add_product`), so that one load and one store of a
   sum serve four to eight products. A product and a sum may become one fused instruction; otherwise
   sums are taken in the order written, except in a loop marked with a reduction. */

/* (2), (3). exp is written here so that it can be vectorised on every processor: the usual reduction
   to |r| <= ln(2) / 2 and the Taylor polynomial (tests/compiled/test_native.py measures its error).
   Adding 1.5 * 2^52 (2^23 in float32) rounds to an integer, which is then in the last bits. */
FUNCTION void sigmoids(real *z, intp count)
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

    SIMD
    for (intp i = 0; i < count; i++) {
        real x = -z[i] < smallest ? smallest : -z[i];
        real clipped = x > largest ? largest : x; /* keeps NaN */
        real rounded = clipped * per_ln2 + rounder;
        real exponent = rounded - rounder;
        real r = (clipped - exponent * ln2_high) - exponent * ln2_low;
        real value = 1.0 / 5040;
        if (is_double) {
            value = 1.0 / 6227020800;
            value = value * r + (real)(1.0 / 479001600);
            value = value * r + (real)(1.0 / 39916800);
            value = value * r + (real)(1.0 / 3628800);
            value = value * r + (real)(1.0 / 362880);
            value = value * r + (real)(1.0 / 40320);
            value = value * r + (real)(1.0 / 5040);
        }
        value = value * r + (real)(1.0 / 720);
        value = value * r + (real)(1.0 / 120);
        value = value * r + (real)(1.0 / 24);
        value = value * r + (real)(1.0 / 6);
        value = value * r + (real)0.5;
        value = value * r + 1;
        value = value * r + 1;
        word bits;
        memcpy(&bits, &rounded, sizeof bits);
        bits = (bits + bias) << mantissa;
        real power;
        memcpy(&power, &bits, sizeof power);
        z[i] = x > largest ? 0 : 1 / (1 + value * power);
    }
}

/* out[k] += scale * sum over i of A[i * a_inner] * M[i, k], eight i at a time */
FUNCTION void add_row(real *restrict out, const real *A, intp a_inner, const real *restrict M,
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
FUNCTION void add_product(real *restrict out, const real *A, intp a_row, intp a_inner,
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

FUNCTION real dot(const real *one, const real *other, intp count)
{
    real total = 0;
    SIMD_SUM(total)
    for (intp k = 0; k < count; k++) total += one[k] * other[k];
    return total;
}

/* out[r, i] += sum over k of A[r, k] * M[i, k]: the same with M transposed, four i at a time, each
   in several sums that fill 32 bytes. For few rows this is cheaper than transposing M. */
FUNCTION void add_dots(real *restrict out, const real *A, const real *M, intp rows, intp inner,
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

FUNCTION void transpose(const real *restrict M, intp rows, intp columns, real *restrict out)
{
    for (intp i = 0; i < rows; i++)
        for (intp j = 0; j < columns; j++) out[j * rows + i] = M[i * columns + j];
}

FUNCTION void clear(real *out, intp count)
{
    for (intp k = 0; k < count; k++) out[k] = 0;
}
