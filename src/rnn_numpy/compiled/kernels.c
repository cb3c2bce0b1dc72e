/* The loops over time, too short for BLAS: (1)-(3) and (6)-(11) of docs/bptt.md.

   Read textbook.py first: this is the same with each array as flat memory in C order, so that a
   kernel can work in place on memory of NumPy and torch. `variants.c` compiles it for each dtype,
   `real`, and each kind of processor; `native.py` calls it. Arguments are not checked. */

/* One SGD step for each pair; the updates are added to into_U, into_W, into_V.

   These are U, W, V for training, or zeros to get a gradient. `outputs` has a row for each pair;
   row 0 of `h` is h_0 = 0. */
KERNEL void descend(const real *U, const real *W, const real *V, real *into_U, real *into_W,
                    real *into_V, const int64_t *pairs, intp steps, intp bits, intp hidden,
                    double rate, real *outputs, real *h, real *delta, real *eps, real *W_T)
{
    const real down = -rate;
    clear(h, hidden);
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
   bit. `h[level, input]` are the four next states; the last bits are 0. */
KERNEL void count_exact(const real *U, const real *W, const real *V, intp bits, intp hidden,
                        int64_t *exact, int64_t *branch, int64_t *carry, real *h, real *base,
                        real *outputs)
{
    int64_t found = 0;
    intp level = 0;
    branch[0] = -1, carry[0] = 0;
    clear(base, hidden);
    while (level >= 0) {
        const int inputs = level < bits - 1 ? 4 : 1;
        real *next = h + 4 * level * hidden, *o = outputs + 4 * level;
        const real *from_h = base + level * hidden;
        if (branch[level] < 0) { /* the first visit: all four inputs at once */
            for (int i = 0; i < inputs; i++) {
                const real a_t = i & 1, b_t = i >> 1;
                real *h_t = next + i * hidden;
                SIMD
                for (intp k = 0; k < hidden; k++)
                    h_t[k] = from_h[k] + a_t * U[k] + b_t * U[hidden + k]; /* (1) */
            }
            sigmoids(next, inputs * hidden); /* (2) */
            for (int i = 0; i < inputs; i++) o[i] = dot(next + i * hidden, V, hidden);
            sigmoids(o, inputs); /* (3) */
            branch[level] = 0;
        }
        const int64_t i = branch[level];
        if (i == inputs) {
            level--;
            continue;
        }
        branch[level] = i + 1;
        const int64_t total = (i & 1) + (i >> 1) + carry[level];
        if ((o[i] > (real)0.5) != (total & 1)) continue;
        if (level == bits - 1) {
            found++;
            continue;
        }
        level++;
        branch[level] = -1, carry[level] = total >> 1;
        clear(base + level * hidden, hidden);
        add_row(base + level * hidden, next + i * hidden, 1, W, hidden, hidden, 1);
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
            clear(states, size);
            add_product(states, x + t * batch * n_in, n_in, 1, U, batch, n_in, hidden);
        }
        if (h_prev) add_product(states, h_prev, hidden, 1, W, batch, hidden, hidden);
        sigmoids(states, size);
    }
}

FUNCTION void errors(const real *W, intp transposed, const real *states, const real *upstream,
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

/* delta_t (8) for every t from the gradient with respect to every state.

   W is plain or transposed; transposing is faster from four examples on. */
KERNEL void backward(const real *W, intp transposed, const real *states, const real *upstream,
                     real *delta, intp time, intp batch, intp hidden)
{
    errors(W, transposed, states, upstream, delta, time, batch, hidden);
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
        errors(W, 0, states, upstream, delta, time, batch, hidden);
    } else {
        transpose(W, hidden, hidden, matrix);
        errors(matrix, 1, states, upstream, delta, time, batch, hidden);
    }
    clear(into_U, n_in * hidden);
    clear(into_W, hidden * hidden);
    if (has_h_0) {
        add_product(into_W, h_0, 1, hidden, delta, hidden, batch, hidden);
        clear(into_h_0, batch * hidden);
        add_dots(into_h_0, delta, W, batch, hidden, hidden);
    }
    clear(into_x, total * n_in);
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
