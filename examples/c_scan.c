/* h_t = a h_(t-1) + x_t of n units, and its backward pass: see c_scan.py. */

void forward(long steps, long n, const double *a, const double *x, const double *h_0, double *h) {
    for (long t = 0; t < steps; t++)
        for (long i = 0; i < n; i++)
            h[t * n + i] = a[i] * (t ? h[(t - 1) * n + i] : h_0[i]) + x[t * n + i];
}

void backward(long steps, long n, const double *a, const double *h_0, const double *h,
              const double *dh, double *da, double *dx, double *dh_0) {
    for (long i = 0; i < n; i++) {
        double error = 0;
        da[i] = 0;
        for (long t = steps - 1; t >= 0; t--) {
            error += dh[t * n + i];
            dx[t * n + i] = error;
            da[i] += error * (t ? h[(t - 1) * n + i] : h_0[i]);
            error *= a[i];
        }
        dh_0[i] = error;
    }
}
