// Batch norm over (N, C, inner), alone or followed by a residual addition and a quantizer.
//
// Sums over a channel are in double and have two stages: block (c, s) of a grid (C, splits) sums its share of channel c; then one
// thread for each channel adds the shares in order. If the batch is split into slices, each slice has its own shares, and
// sums.cu makes one share of them.

struct Channels {
    u32 batch;
    u32 channels;
    u32 inner;
};

struct Norm {
    const float* mean;
    const float* inv_std;
    const float* scale;
    const float* shift;
};

// Loops over this block's share of channel blockIdx.x. `i` is the index of the element in the tensor, `entry` its index in the
// sample.
#define FOR_EACH_OF_CHANNEL(s, i, entry)                                                                        \
    for (u32 at = blockIdx.y * THREADS + threadIdx.x; at < s.batch * s.inner; at += gridDim.y * THREADS)       \
        for (u32 entry = blockIdx.x * s.inner + at % s.inner, i = at / s.inner * s.channels * s.inner + entry, \
                 once = 1;                                                                                     \
             once; once = 0)

// Sum and sum of squares of each share. parts is (C, splits, 2).
KERNEL channel_moments(Channels s, const float* x, double* parts) {
    double sum = 0.0, squares = 0.0;
    FOR_EACH_OF_CHANNEL(s, i, entry) {
        double value = x[i];
        sum += value;
        squares += value * value;
    }
    sum = block_sum(sum);
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        double* part = parts + 2 * (blockIdx.x * gridDim.y + blockIdx.y);
        part[0] = sum;
        part[1] = squares;
    }
}

// `count` is the number of values of a channel in the whole batch.
KERNEL channel_moments_finish(u32 channels, double count, u32 splits, float eps, const double* parts, float* mean,
                              float* variance, float* inv_std) {
    FOR_EACH(c, channels) {
        double sum = 0.0, squares = 0.0;
        for (u32 split = 0; split < splits; ++split) {
            sum += parts[2 * (c * splits + split)];
            squares += parts[2 * (c * splits + split) + 1];
        }
        double m = sum / count, v = squares / count - m * m;
        mean[c] = float(m);
        variance[c] = v > 0.0 || v != v ? float(v) : 0.0f;
        inv_std[c] = 1.0f / sqrtf(variance[c] + eps);
    }
}

// r += momentum (factor s - r)
KERNEL follow(u32 channels, float momentum, float factor, const float* batch, float* running) {
    FOR_EACH(c, channels) running[c] += momentum * (factor * batch[c] - running[c]);
}

KERNEL inverse_deviation(u32 channels, float eps, const float* variance, float* inv_std) {
    FOR_EACH(c, channels) inv_std[c] = 1.0f / sqrtf(variance[c] + eps);
}

static __device__ float normalized(const Norm& norm, u32 c, float x) {
    return (x - norm.mean[c]) * norm.inv_std[c] * norm.scale[c] + norm.shift[c];
}

KERNEL batch_norm(Channels s, Norm norm, const float* x, float* y) {
    FOR_EACH(i, s.batch * s.channels * s.inner) y[i] = normalized(norm, i / s.inner % s.channels, x[i]);
}

// residual may be null.
KERNEL norm_quantize(Channels s, Norm norm, Quantizer q, const float* x, const float* residual, float* y) {
    FOR_EACH(i, s.batch * s.channels * s.inner) {
        float u = normalized(norm, i / s.inner % s.channels, x[i]);
        if (residual) u += residual[i];
        y[i] = quantized(u, frozen(q, i % q.period));
    }
}

// The gradient of the norm's output: the gradient of the quantizer's output where the quantizer passes it, else 0.
static __device__ float arriving(const Norm& norm, const Quantizer& q, u32 c, u32 entry, u32 i, const float* x,
                                 const float* residual, const float* gout) {
    if (q.state < 0) return gout[i];  // no quantizer
    float u = normalized(norm, c, x[i]);
    if (residual) u += residual[i];
    return passes(u, frozen(q, entry), q.surrogate) ? gout[i] : 0.0f;
}

// Shares of the sums of g and of g h, where h = (x - mean) inv_std. Also adds to the residual's gradient, if given.
KERNEL norm_gradient_sums(Channels s, Norm norm, Quantizer q, const float* x, const float* residual, const float* gout,
                          float* gresidual, double* parts) {
    u32 c = blockIdx.x;
    double sum = 0.0, product = 0.0;
    FOR_EACH_OF_CHANNEL(s, i, entry) {
        float g = arriving(norm, q, c, entry, i, x, residual, gout);
        if (gresidual) gresidual[i] += g;
        sum += double(g);
        product += double(g) * double((x[i] - norm.mean[c]) * norm.inv_std[c]);
    }
    sum = block_sum(sum);
    product = block_sum(product);
    if (threadIdx.x == 0) {
        double* part = parts + 2 * (c * gridDim.y + blockIdx.y);
        part[0] = sum;
        part[1] = product;
    }
}

// Adds the sums to the gradients of shift and scale, and writes their means. means is (C, 2). `count` as above.
KERNEL norm_gradient_sums_finish(u32 channels, double count, u32 splits, const double* parts, float* gscale,
                                 float* gshift, float* means) {
    FOR_EACH(c, channels) {
        double sum = 0.0, product = 0.0;
        for (u32 split = 0; split < splits; ++split) {
            sum += parts[2 * (c * splits + split)];
            product += parts[2 * (c * splits + split) + 1];
        }
        gshift[c] += float(sum);
        gscale[c] += float(product);
        means[2 * c] = float(sum / count);
        means[2 * c + 1] = float(product / count);
    }
}

// scale inv_std (g - mean g - h mean(g h)). Adds to gx if `add`, else overwrites it.
KERNEL norm_gradient(Channels s, Norm norm, Quantizer q, int add, const float* means, const float* x,
                     const float* residual, const float* gout, float* gx) {
    FOR_EACH(i, s.batch * s.channels * s.inner) {
        u32 c = i / s.inner % s.channels, entry = i % (s.channels * s.inner);
        float g = arriving(norm, q, c, entry, i, x, residual, gout);
        float h = (x[i] - norm.mean[c]) * norm.inv_std[c];
        float value = norm.scale[c] * norm.inv_std[c] * (g - means[2 * c] - h * means[2 * c + 1]);
        gx[i] = add ? gx[i] + value : value;
    }
}
