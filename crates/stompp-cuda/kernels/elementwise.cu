// Elementwise kernels.

KERNEL relu(u32 n, const float* x, float* y) {
    FOR_EACH(i, n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

KERNEL relu_backward(u32 n, const float* x, const float* gy, float* gx) {
    FOR_EACH(i, n) if (x[i] > 0.0f) gx[i] += gy[i];
}

KERNEL add(u32 n, const float* a, const float* b, float* y) {
    FOR_EACH(i, n) y[i] = a[i] + b[i];
}

KERNEL accumulate(u32 n, const float* source, float* destination) {
    FOR_EACH(i, n) destination[i] += source[i];
}

// The factor is in device memory.
KERNEL scale_accumulate(u32 n, const float* factor, const float* source, float* destination) {
    float by = factor[0];
    FOR_EACH(i, n) destination[i] += by * source[i];
}

KERNEL scale(u32 n, float factor, float* x) {
    FOR_EACH(i, n) x[i] *= factor;
}

// Flushes tiny optimizer state to 0, as on the CPU.
static __device__ float negligible_to_zero(float x) { return fabsf(x) < 1e-30f ? 0.0f : x; }

// Clamps x to [-bound, bound]. NaN stays NaN.
static __device__ float clamped(float x, float bound) {
    if (x > bound) x = bound;
    if (x < -bound) x = -bound;
    return x;
}

// g' = g + decay w; v = momentum v + g'; w -= rate v; then w is clamped to [-bound, bound].
KERNEL sgd_step(u32 n, float rate, float momentum, float decay, float bound, float* w, float* v, const float* g) {
    FOR_EACH(i, n) {
        // A penalty of zero is not added, because it could turn a gradient of -0 into +0.
        float slope = decay == 0.0f ? g[i] : g[i] + decay * w[i];
        float moved = negligible_to_zero(momentum * v[i] + slope);
        v[i] = moved;
        w[i] = clamped(w[i] - rate * moved, bound);
    }
}

// g' = g + decay w; m += first_rate (g' - m); s = beta2 s + second_rate g'^2; w -= size m / (sqrt(s) / correction + epsilon); then w
// is clamped to [-bound, bound].
KERNEL adam_step(u32 n, float size, float first_rate, float beta2, float second_rate, float correction, float epsilon,
                 float decay, float bound, float* w, float* m, float* s, const float* g) {
    FOR_EACH(i, n) {
        float slope = g[i] + decay * w[i];
        float first = negligible_to_zero(m[i] + first_rate * (slope - m[i]));
        float second = negligible_to_zero(beta2 * s[i] + second_rate * (slope * slope));
        m[i] = first;
        s[i] = second;
        w[i] = clamped(w[i] - size * (first / (sqrtf(second) / correction + epsilon)), bound);
    }
}

// Each block sums its share of the squares.
KERNEL square_sums(u32 n, const float* x, double* parts) {
    double sum = 0.0;
    FOR_EACH(i, n) sum += double(x[i]) * double(x[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// The square root of the sum of all parts. One block.
KERNEL norm_of_sums(u32 count, const double* parts, u32 place, double* norms) {
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < count; i += THREADS) sum += parts[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) norms[place] = sqrt(sum);
}
