/* The recipe's loop as one writes it in C, (1)-(11) of docs/bptt.md: what the kernel is compared
   with, compiled by gcc -O3. */
#include <math.h>

static double sigmoid(double z) { return 1 / (1 + exp(-z)); }

void descend(double *restrict U, double *restrict W, double *restrict V, const long *pairs,
             long steps, long bits, long hidden, double rate, double *restrict h,
             double *restrict delta, double *restrict eps)
{
    for (long k = 0; k < hidden; k++) h[k] = 0;
    for (long step = 0; step < steps; step++) {
        long a = pairs[2 * step], b = pairs[2 * step + 1];
        for (long t = 0; t < bits; t++) {
            double a_t = a >> t & 1, b_t = b >> t & 1, z = 0;
            double *before = h + t * hidden, *now = before + hidden;
            for (long k = 0; k < hidden; k++) now[k] = a_t * U[k] + b_t * U[hidden + k];
            for (long j = 0; j < hidden; j++)
                for (long k = 0; k < hidden; k++) now[k] += before[j] * W[j * hidden + k];
            for (long k = 0; k < hidden; k++) {
                now[k] = sigmoid(now[k]);
                z += now[k] * V[k];
            }
            double o = sigmoid(z);
            eps[t] = (o - (a + b >> t & 1)) * o * (1 - o);
        }
        for (long t = bits - 1; t >= 0; t--) {
            double *now = delta + t * hidden, *state = h + (t + 1) * hidden;
            for (long j = 0; j < hidden; j++) {
                double sum = eps[t] * V[j];
                if (t < bits - 1)
                    for (long k = 0; k < hidden; k++) sum += now[hidden + k] * W[j * hidden + k];
                now[j] = sum * state[j] * (1 - state[j]);
            }
        }
        for (long t = 0; t < bits; t++) {
            double a_t = a >> t & 1, b_t = b >> t & 1;
            double *before = h + t * hidden, *state = before + hidden, *error = delta + t * hidden;
            for (long k = 0; k < hidden; k++) {
                U[k] -= rate * a_t * error[k];
                U[hidden + k] -= rate * b_t * error[k];
                V[k] -= rate * eps[t] * state[k];
            }
            for (long j = 0; j < hidden; j++)
                for (long k = 0; k < hidden; k++)
                    W[j * hidden + k] -= rate * before[j] * error[k];
        }
    }
}
