// The convolution of signs with XNOR and popcount on packed bits. A set bit is a negative sign.

// Packs the signs of x (N, C, plane) as bits (N, plane, ceil(C / 32)).
KERNEL pack_image_signs(u32 batch, u32 channels, u32 plane, const float* x, u32* bits) {
    u32 words = (channels + 31) / 32;
    FOR_EACH(at, batch * words * plane) {
        // Neighbouring threads read neighbouring pixels.
        u32 pixel = at % plane, word = at / plane % words, n = at / plane / words;
        u32 packed = 0;
        for (u32 bit = 0; bit < 32 && word * 32 + bit < channels; ++bit) {
            float value = x[(n * channels + word * 32 + bit) * plane + pixel];
            packed |= u32(!(value >= 0.0f)) << bit;
        }
        bits[(n * plane + pixel) * words + word] = packed;
    }
}

// Packs the signs of w (O, I, K K) as bits (O, K K, ceil(I / 32)).
KERNEL pack_weight_signs(u32 outputs, u32 inputs, u32 taps, const float* w, u32* bits) {
    u32 words = (inputs + 31) / 32;
    FOR_EACH(at, outputs * taps * words) {
        u32 word = at % words, tap = at / words % taps, o = at / words / taps;
        u32 packed = 0;
        for (u32 bit = 0; bit < 32 && word * 32 + bit < inputs; ++bit) {
            float value = w[(o * inputs + word * 32 + bit) * taps + tap];
            packed |= u32(!(value >= 0.0f)) << bit;
        }
        bits[at] = packed;
    }
}

// Output channels that a thread of sign_conv sums at once, and weight words for each of them in shared memory.
#define SIGN_OUTPUTS 16
#define SIGN_WORDS 32

// y (N, O, P). One thread a pixel; blockIdx.y is a group of output channels. Zero padding: taps outside of the image are skipped. The
// bits past the last channel are 0 in image and weight, so they never differ.
KERNEL sign_conv(Conv s, const u32* x, const u32* w, float* y) {
    __shared__ u32 weights[SIGN_OUTPUTS * SIGN_WORDS];
    u32 words = (s.in_channels + 31) / 32, taps = s.kernel * s.kernel;
    u32 pixels = s.out_height * s.out_width, total = s.batch * pixels;
    u32 first_output = blockIdx.y * SIGN_OUTPUTS;
    // All threads of a block have the same number of iterations, because of the barriers.
    for (u32 base = blockIdx.x * THREADS; base < total; base += gridDim.x * THREADS) {
        u32 at = base + threadIdx.x;
        u32 n = at / pixels, pixel = at % pixels;
        int top = int(pixel / s.out_width * s.stride) - int(s.padding);
        int left = int(pixel % s.out_width * s.stride) - int(s.padding);
        int differ[SIGN_OUTPUTS];
        for (u32 o = 0; o < SIGN_OUTPUTS; ++o) differ[o] = 0;
        int seen = 0;
        for (u32 tap = 0; tap < taps; ++tap) {
            int row = top + int(tap / s.kernel), column = left + int(tap % s.kernel);
            bool inside = at < total && row >= 0 && row < int(s.in_height) && column >= 0 && column < int(s.in_width);
            const u32* here = x + (inside ? ((n * s.in_height + row) * s.in_width + column) * words : 0);
            if (inside) seen += int(s.in_channels);
            for (u32 start = 0; start < words; start += SIGN_WORDS) {
                u32 count = words - start < SIGN_WORDS ? words - start : SIGN_WORDS;
                __syncthreads();
                for (u32 k = threadIdx.x; k < SIGN_OUTPUTS * count; k += THREADS) {
                    u32 o = first_output + k % SIGN_OUTPUTS;
                    weights[k] = o < s.out_channels ? w[(o * taps + tap) * words + start + k / SIGN_OUTPUTS] : 0;
                }
                __syncthreads();
                if (!inside) continue;
                for (u32 word = 0; word < count; ++word) {
                    u32 bits = here[start + word];
                    const u32* column_of = weights + word * SIGN_OUTPUTS;
                    for (u32 o = 0; o < SIGN_OUTPUTS; ++o) differ[o] += __popc(bits ^ column_of[o]);
                }
            }
        }
        if (at >= total) continue;
        for (u32 o = 0; o < SIGN_OUTPUTS && first_output + o < s.out_channels; ++o)
            y[(n * s.out_channels + first_output + o) * pixels + pixel] = float(seen - 2 * differ[o]);
    }
}

// --- The same on tensor cores: one byte a sign, four channels a word ---

// Packs the signs of x (N, C, plane) as bytes (N, plane, words): 1 or -1, and 0 past the last channel.
KERNEL pack_image_bytes(u32 batch, u32 channels, u32 plane, u32 words, const float* x, u32* bytes) {
    FOR_EACH(at, batch * words * plane) {
        // Neighbouring threads read neighbouring pixels.
        u32 pixel = at % plane, word = at / plane % words, n = at / plane / words;
        u32 packed = 0;
        for (u32 i = 0; i < 4 && word * 4 + i < channels; ++i) {
            float value = x[(n * channels + word * 4 + i) * plane + pixel];
            packed |= (value >= 0.0f ? 0x01u : 0xFFu) << 8 * i;
        }
        bytes[(n * plane + pixel) * words + word] = packed;
    }
}

// Converts the bits of a weight (O, K K, ceil(I / 32)) to bytes (O, K K, words).
KERNEL weight_sign_bytes(u32 len, u32 inputs, u32 words, const u32* bits, u32* bytes) {
    FOR_EACH(at, len) {
        u32 word = at % words, row = at / words, packed = 0;
        for (u32 i = 0; i < 4 && word * 4 + i < inputs; ++i) {
            u32 channel = word * 4 + i;
            u32 negative = bits[row * ((inputs + 31) / 32) + channel / 32] >> channel % 32 & 1;
            packed |= (negative ? 0xFFu : 0x01u) << 8 * i;
        }
        bytes[at] = packed;
    }
}

// Converts the bits of a weight to floats (O, I, K K).
KERNEL weight_sign_floats(u32 len, u32 inputs, u32 taps, const u32* bits, float* w) {
    FOR_EACH(at, len) {
        u32 tap = at % taps, channel = at / taps % inputs, o = at / taps / inputs;
        w[at] = bits[(o * taps + tap) * ((inputs + 31) / 32) + channel / 32] >> channel % 32 & 1 ? -1.0f : 1.0f;
    }
}

KERNEL signs_of(u32 n, const float* x, float* signs) {
    FOR_EACH(i, n) signs[i] = x[i] >= 0.0f ? 1.0f : -1.0f;
}

// Pixels and output channels that a warp sums at once. One instruction computes a tile of 16 pixels by 8 channels.
#define BYTE_PIXELS 32
#define BYTE_OUTPUTS 64
// Number of four-channel words that one instruction multiplies.
#define BYTE_WORDS 8

// sums += a b for a 16x32 and a 32x8 matrix of bytes, distributed over the warp as in PTX (mma.m16n8k32). Lane l has the rows l / 4 and
// l / 4 + 8 of `a` and the column l / 4 of `b`, and of each the words l % 4 and l % 4 + 4. Its sums are in the same rows as `a`, in the
// columns 2 (l % 4) and 2 (l % 4) + 1. All lanes must call it. Needs compute capability 8.0; the host does not launch it on older GPUs.
#ifndef mma_bytes
static __device__ void mma_bytes(int* sums, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#endif
}
#endif

// y (N, O, P). A warp has 32 pixels; blockIdx.y is a group of 64 output channels. Taps outside of the image are zero bytes. The order of
// the channel words may be chosen freely if it is the same in `a` and `b`: each lane loads two neighbouring words.
KERNEL sign_conv_bytes(Conv s, u32 words, const u32* x, const u32* w, float* y) {
    u32 taps = s.kernel * s.kernel, pixels = s.out_height * s.out_width, total = s.batch * pixels;
    u32 lane = threadIdx.x % 32, group = lane / 4, place = 2 * (lane % 4);
    u32 first_pixel = (blockIdx.x * (THREADS / 32) + threadIdx.x / 32) * BYTE_PIXELS;
    u32 first_output = blockIdx.y * BYTE_OUTPUTS;
    int sums[BYTE_PIXELS / 16][BYTE_OUTPUTS / 8][4];
    UNROLL for (u32 m = 0; m < BYTE_PIXELS / 16; ++m)
        UNROLL for (u32 o = 0; o < BYTE_OUTPUTS / 8; ++o)
            UNROLL for (u32 i = 0; i < 4; ++i) sums[m][o][i] = 0;
    for (u32 tap = 0; tap < taps; ++tap) {
        // Pointers to this lane's four rows of `a`; null outside of the image.
        const u32* rows[BYTE_PIXELS / 8];
        UNROLL for (u32 r = 0; r < BYTE_PIXELS / 8; ++r) {
            u32 at = first_pixel + 8 * r + group, n = at / pixels, pixel = at % pixels;
            int row = int(pixel / s.out_width * s.stride + tap / s.kernel) - int(s.padding);
            int column = int(pixel % s.out_width * s.stride + tap % s.kernel) - int(s.padding);
            bool inside = at < total && row >= 0 && row < int(s.in_height) && column >= 0 && column < int(s.in_width);
            rows[r] = inside ? x + ((n * s.in_height + row) * s.in_width + column) * words : 0;
        }
        for (u32 start = place; start < words; start += BYTE_WORDS) {
            u64 a[BYTE_PIXELS / 8];
            UNROLL for (u32 r = 0; r < BYTE_PIXELS / 8; ++r) a[r] = rows[r] ? *(const u64*)(rows[r] + start) : 0;
            UNROLL for (u32 o = 0; o < BYTE_OUTPUTS / 8; ++o) {
                u32 output = first_output + 8 * o + group;
                u64 b = output < s.out_channels ? *(const u64*)(w + (output * taps + tap) * words + start) : 0;
                UNROLL for (u32 m = 0; m < BYTE_PIXELS / 16; ++m)
                    mma_bytes(sums[m][o], u32(a[2 * m]), u32(a[2 * m + 1]), u32(a[2 * m] >> 32), u32(a[2 * m + 1] >> 32),
                              u32(b), u32(b >> 32));
            }
        }
    }
    UNROLL for (u32 m = 0; m < BYTE_PIXELS / 16; ++m)
        UNROLL for (u32 o = 0; o < BYTE_OUTPUTS / 8; ++o)
            UNROLL for (u32 i = 0; i < 4; ++i) {
                u32 at = first_pixel + 16 * m + 8 * (i / 2) + group, output = first_output + 8 * o + place + i % 2;
                if (at < total && output < s.out_channels)
                    y[(at / pixels * s.out_channels + output) * pixels + at % pixels] = float(sums[m][o][i]);
            }
}
