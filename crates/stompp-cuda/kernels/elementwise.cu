// Kernels that treat every entry alike.

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

// The factor is a number in the device's memory.
KERNEL scale_accumulate(u32 n, const float* factor, const float* source, float* destination) {
    float by = factor[0];
    FOR_EACH(i, n) destination[i] += by * source[i];
}

// v = momentum v + g; next = w - rate v, clamped to [-bound, bound]. Tiny velocities become 0, as on the CPU.
KERNEL sgd_step(u32 n, float rate, float momentum, float bound, const float* w, float* next, float* v, const float* g) {
    FOR_EACH(i, n) {
        float moved = momentum * v[i] + g[i];
        if (fabsf(moved) < 1e-30f) moved = 0.0f;
        v[i] = moved;
        float to = w[i] - rate * moved;
        if (to > bound) to = bound;
        if (to < -bound) to = -bound;
        next[i] = to;
    }
}

// Each block sums its share of the squares.
KERNEL square_sums(u32 n, const float* x, double* parts) {
    double sum = 0.0;
    FOR_EACH(i, n) sum += double(x[i]) * double(x[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// The root of the sum of all parts: one block.
KERNEL norm_of_sums(u32 count, const double* parts, u32 place, double* norms) {
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < count; i += THREADS) sum += parts[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) norms[place] = sqrt(sum);
}
