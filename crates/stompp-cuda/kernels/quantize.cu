// The masked quantizer: M sign(u) + (1 - M) clip(u, -1, 1).

enum State { OPEN = 0, FREEZING = 1, COMMITTED = 2 };
enum Surrogate { BLOCKED = 0, IDENTITY = 1, CLIPPED = 2 };

// The frozen entries and their surrogate gradient. Entry i of a sample is bit i % 32 of word i / 32.
struct Quantizer {
    int state;
    int surrogate;
    u32 period;
    const u32* mask;
};

static __device__ bool frozen(const Quantizer& q, u32 entry) {
    if (q.state == FREEZING) return (q.mask[entry / 32] >> (entry % 32)) & 1;
    return q.state == COMMITTED;
}

// sign(0) = sign(-0) = +1, and a frozen NaN is -1.
static __device__ float quantized(float u, bool is_frozen) {
    if (is_frozen) return u >= 0.0f ? 1.0f : -1.0f;
    return u > 1.0f ? 1.0f : (u < -1.0f ? -1.0f : u);
}

// Whether the gradient passes. It passes at |u| = 1.
static __device__ bool passes(float u, bool is_frozen, int surrogate) {
    bool inside = fabsf(u) <= 1.0f;
    if (!is_frozen || surrogate == CLIPPED) return inside;
    return surrogate == IDENTITY;
}

KERNEL quantize(u32 n, Quantizer q, const float* u, float* out) {
    FOR_EACH(i, n) out[i] = quantized(u[i], frozen(q, i % q.period));
}

KERNEL quantize_backward(u32 n, Quantizer q, const float* u, const float* gout, float* gu) {
    FOR_EACH(i, n) if (passes(u[i], frozen(q, i % q.period), q.surrogate)) gu[i] += gout[i];
}
