// Soft refresh of a mask. The bits equal those of `Mask::refresh` in stompp-schedule: the same ChaCha8 stream, the same logarithm.
//
// The CPU finds one entry after the other by geometric skips. Here each thread makes one draw, because a ChaCha stream can be read at
// any position. The sums of the skips are the positions of the draws.

// The key of a stream: 256 bits.
struct Key {
    u32 words[8];
};

static __device__ void quarter_round(u32& a, u32& b, u32& c, u32& d) {
    a += b, d ^= a, d = (d << 16) | (d >> 16);
    c += d, b ^= c, b = (b << 12) | (b >> 20);
    a += b, d ^= a, d = (d << 8) | (d >> 24);
    c += d, b ^= c, b = (b << 7) | (b >> 25);
}

// Four words of the stream, starting at word 4 * at. A block of the stream has sixteen words.
static __device__ void stream_words(const Key& key, u32 at, u32 out[4]) {
    u32 start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    for (u32 i = 0; i < 8; ++i) start[4 + i] = key.words[i];
    start[12] = at / 4;  // the index of the block; always below 2^32
    start[13] = start[14] = start[15] = 0;
    u32 x[16];
    for (u32 i = 0; i < 16; ++i) x[i] = start[i];
    for (u32 round = 0; round < 8; round += 2) {
        quarter_round(x[0], x[4], x[8], x[12]);
        quarter_round(x[1], x[5], x[9], x[13]);
        quarter_round(x[2], x[6], x[10], x[14]);
        quarter_round(x[3], x[7], x[11], x[15]);
        quarter_round(x[0], x[5], x[10], x[15]);
        quarter_round(x[1], x[6], x[11], x[12]);
        quarter_round(x[2], x[7], x[8], x[13]);
        quarter_round(x[3], x[4], x[9], x[14]);
    }
    for (u32 i = 0; i < 16; ++i)
        if (i / 4 == at % 4) out[i % 4] = x[i] + start[i];
}

// Uniform on the multiples of 2^-53 in [0, 1).
static __device__ double uniform(u32 low, u32 high) {
    return double(((u64(high) << 32) | low) >> 11) * (1.0 / 9007199254740992.0);
}

// Converts a double to its bits, and back.
static __device__ u64 bits_of(double x) {
    union {
        double x;
        u64 bits;
    } both;
    both.x = x;
    return both.bits;
}
static __device__ double double_of(u64 bits) {
    union {
        u64 bits;
        double x;
    } both;
    both.bits = bits;
    return both.x;
}

// The logarithm of x in [2^-53, 1]. It uses the same operations as the crate libm (fdlibm's algorithm: x = 2^k (1 + f), log(1 + f) by
// a polynomial in s = f / (2 + f)). CUDA's `log` rounds differently.
static __device__ double stream_log(double x) {
    u64 bits = bits_of(x);
    u32 high = u32(bits >> 32);
    if (high == 0x3ff00000 && u32(bits) == 0) return 0.0;
    high += 0x3ff00000 - 0x3fe6a09e;
    int k = int(high >> 20) - 0x3ff;
    high = (high & 0x000fffff) + 0x3fe6a09e;
    double f = double_of((u64(high) << 32) | (bits & 0xffffffff)) - 1.0;
    double half_square = 0.5 * f * f;
    double s = f / (2.0 + f);
    double z = s * s, w = z * z;
    double t1 = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    double t2 = z * (6.666666666666735130e-01 +
                     w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    double r = t2 + t1, dk = double(k);
    return s * (half_square + r) + dk * 1.90821492927058770002e-10 - half_square + f + dk * 6.93147180369123816490e-01;
}

// A draw: the number of entries to skip, at most `n`. The highest bit is set if the next entry becomes frozen.
static __device__ u32 draw(const Key& key, u32 at, double ln_q, double p, u32 n) {
    u32 words[4];
    stream_words(key, at, words);
    double skip = stream_log(1.0 - uniform(words[0], words[1])) / ln_q;
    u32 passed = skip < double(n) ? u32(skip) : n;
    return passed | (uniform(words[2], words[3]) < p ? 0x80000000u : 0u);
}

KERNEL mask_draws(u32 count, Key key, double ln_q, double p, u32 n, u32* draws) {
    FOR_EACH(at, count) draws[at] = draw(key, at, ln_q, p, n);
}

// Redraws entries of a mask with n entries. One block. `draws` has the first `count` draws; more are drawn here if needed. counts has
// the numbers of entries that were redrawn, that became frozen and that became open.
KERNEL mask_apply(u32 count, Key key, double ln_q, double p, u32 n, const u32* draws, u32* mask, u32* counts) {
    __shared__ u64 sums[THREADS];
    double redrawn = 0.0, frozen = 0.0, opened = 0.0;
    u64 begin = 0;  // the first entry after all draws so far
    for (u32 first = 0; begin < n; first += THREADS) {
        u32 at = first + threadIdx.x;
        u32 drawn = at < count ? draws[at] : draw(key, at, ln_q, p, n);
        u64 passed = drawn & 0x7fffffff;
        sums[threadIdx.x] = passed + 1;
        __syncthreads();
        for (u32 step = 1; step < THREADS; step *= 2) {
            u64 before = threadIdx.x >= step ? sums[threadIdx.x - step] : 0;
            __syncthreads();
            sums[threadIdx.x] += before;
            __syncthreads();
        }
        u64 place = begin + sums[threadIdx.x] - 1;
        begin += sums[THREADS - 1];
        __syncthreads();
        if (place < n) {
            redrawn += 1.0;
            u32 bit = 1u << (place % 32);
            bool is = (mask[place / 32] & bit) != 0, becomes = (drawn & 0x80000000u) != 0;
            // Other threads may change other entries of this word.
            if (is != becomes) {
                atomicXor(mask + place / 32, bit);
                if (becomes) frozen += 1.0;
                else opened += 1.0;
            }
        }
    }
    // Sums of integers are exact in any order.
    redrawn = block_sum(redrawn);
    frozen = block_sum(frozen);
    opened = block_sum(opened);
    if (threadIdx.x == 0) {
        counts[0] = u32(redrawn);
        counts[1] = u32(frozen);
        counts[2] = u32(opened);
    }
}
