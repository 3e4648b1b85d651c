// The masked quantizer: M sign(u) + (1 - M) clip(u, -1, 1).

enum State { OPEN = 0, FREEZING = 1, COMMITTED = 2 };
enum Surrogate { BLOCKED = 0, IDENTITY = 1, CLIPPED = 2 };

// Which entries are frozen, and what gradient they pass. Bit i % 32 of word i / 32 is entry i.
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

// Whether gradient passes; |u| = 1 is inside.
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
